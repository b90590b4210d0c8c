"""What TLS towards a gRPC upstream requires of it."""

from __future__ import annotations

import ssl
from functools import lru_cache

import grpc

from tunnel.domain.configuration import UpstreamTlsSettings
from tunnel.domain.errors import ConfigurationError

__all__ = ["channel_credentials"]


@lru_cache(maxsize=64)
def channel_credentials(settings: UpstreamTlsSettings) -> grpc.ChannelCredentials:
    """Credentials of channels that verify certificate and name, as ``settings`` say.

    Without ``ca`` the certificates of this system are the roots, as for https, and not those that gRPC brings along;
    unless the system has none in a file.

    Raises:
        ConfigurationError: ``verify`` is off: gRPC always verifies.
    """
    if not settings.verify:
        raise ConfigurationError("expected true: gRPC always verifies", key_path="tls.verify")
    ca = settings.ca if settings.ca is not None else _system_certificates()
    return grpc.ssl_channel_credentials(None if ca is None else ca.encode())


def _system_certificates() -> str | None:
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)) or None
