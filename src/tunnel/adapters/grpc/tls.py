"""TLS of gRPC, which has its own: credentials of listeners and channels, and words for what fails.

gRPC speaks TLS 1.2 and later and HTTP/2 only (ALPN ``h2``), and always verifies the server's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import grpc

from tunnel.domain.tls_material import TlsMaterial

__all__ = ["channel_credentials", "plain_words", "server_credentials"]

_WORDS: Final = (
    ("certificate has expired", "the server's certificate has expired"),
    ("certificate is not yet valid", "the server's certificate is not valid yet"),
    ("Hostname Verification Check failed", "the server's certificate is for another name"),
    ("is not in peer certificate", "the server's certificate is for another name"),
    ("CERTIFICATE_VERIFY_FAILED", "the server's certificate was not issued by a trusted authority"),
    ("WRONG_VERSION_NUMBER", "the server does not speak TLS at this address"),
    # With TLS 1.3 a server refuses a client that has finished its handshake already. Without TLS a listener that speaks
    # TLS does the same.
    ("Socket closed", "the server closed the connection; perhaps it asks for TLS, or another client certificate"),
    ("Handshake read failed", "the server ended the TLS handshake"),
)


def server_credentials(current: Callable[[], TlsMaterial]) -> grpc.ServerCredentials:
    """Credentials that ask ``current`` at each handshake, in a thread of gRPC's.

    Whether clients need certificates is decided now, and for good.
    """
    used = current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        material = current()
        if material is used:
            return None  # what gRPC has, it keeps
        used = material
        return _configuration(material)

    asks = bool(used.authorities)
    # The stubs do not know that None stands for no change.
    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        renewed,  # type: ignore[arg-type]
        require_client_authentication=asks,
    )


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.certificate)], root_certificates=material.authorities or None
    )


def channel_credentials(material: TlsMaterial) -> grpc.ChannelCredentials:
    """Credentials of a client; without authorities gRPC trusts those that it ships."""
    return grpc.ssl_channel_credentials(
        root_certificates=material.authorities or None,
        private_key=material.key or None,
        certificate_chain=material.certificate or None,
    )


def plain_words(details: str) -> str:
    """What went wrong in a handshake, by the words of gRPC and of BoringSSL; those themselves when it was not TLS."""
    return next((words for found, words in _WORDS if found in details), details)
