"""TLS of listeners and of clients: the ``tls`` tables, and where plain text needs to be asked for."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec

from tunnel.domain.configuration.mistakes import mistake
from tunnel.domain.findings import Findings
from tunnel.domain.rules.hosts import is_host_name

__all__ = [
    "ClientTlsSettings",
    "ListenerTlsSettings",
    "check_client_tls",
    "check_listener_tls",
    "check_tls_succession",
    "is_loopback",
]

_FILE: Final = "the name of a file"


class ListenerTlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tls`` of a listener. Names of files are relative to the configuration file; to the working directory in code.

    Args:
        certificate: File with the certificate, then those that lead to a trusted one, in PEM.
        key: File with its private key in PEM, not encrypted.
        client_ca: File with certificates in PEM; connections without a certificate that one of them leads to are
            refused in the handshake. None: connections need no certificate.
    """

    certificate: str
    key: str
    client_ca: str | None = None


class ClientTlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client's ``[tls]``, for servers that begin with ``grpcs:`` or ``wss:``. Names of files as for listeners.

    The server's certificate and its name are always verified.

    Args:
        ca: File with certificates in PEM; the server's must lead to one of them. None: to one of the system's.
        certificate: File with this client's certificate, then those that lead to a trusted one, in PEM.
        key: File with its private key in PEM, not encrypted. Given with ``certificate`` or not at all.
        server_name: The name that is asked for and that the certificate must be for. None: the host of the URL.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None


def check_listener_tls(tls: ListenerTlsSettings, path: str, found: Findings) -> None:
    """Refuse what the types let pass; files are not looked at.

    Args:
        tls: The table.
        path: Its key path.
        found: Takes the mistakes.
    """
    for key in ("certificate", "key", "client_ca"):
        with found:
            if getattr(tls, key) == "":
                raise mistake(f"{path}.{key}", _FILE, got="")


def check_tls_succession(
    before: ListenerTlsSettings | None, after: ListenerTlsSettings | None, path: str, *, asks_for_good: bool = False
) -> None:
    """Refuse what a listener cannot become while it listens: with TLS what was without, or the other way round.

    Args:
        before: Of the listener as it is.
        after: What it would follow.
        path: Key path of both.
        asks_for_good: Whether the listener decides once whether it asks for certificates.

    Raises:
        ConfigurationError: Naming the key.
    """
    if before is None or after is None:
        if before is not after:
            raise mistake(path, "TLS to come or go with another address, or with a restart")
    elif asks_for_good and (before.client_ca is None) != (after.client_ca is None):
        raise mistake(f"{path}.client_ca", "it to come or go with another address, or with a restart")


def check_client_tls(tls: ClientTlsSettings, path: str, found: Findings) -> None:
    """Refuse what the types let pass; files are not looked at.

    Args:
        tls: The table.
        path: Its key path.
        found: Takes the mistakes.
    """
    for key in ("ca", "certificate", "key"):
        with found:
            if getattr(tls, key) == "":
                raise mistake(f"{path}.{key}", _FILE, got="")
    for key, other in (("certificate", "key"), ("key", "certificate")):
        with found:
            if getattr(tls, key) is not None and getattr(tls, other) is None:
                raise mistake(f"{path}.{other}", f'{_FILE}, as "{key}" is given')
    if tls.server_name is not None and not is_name(tls.server_name):
        raise mistake(f"{path}.server_name", 'a host name such as "edge.example.test"', got=tls.server_name)


def is_name(host: str) -> bool:
    """Whether a certificate can be for ``host``: a host name, or an IP address without brackets."""
    try:
        ip_address(host)
    except ValueError:
        return is_host_name(host)
    return "%" not in host


def is_loopback(host: str) -> bool:
    """Whether what is sent to ``host`` stays on this machine: ``localhost`` (RFC 6761), ``127.0.0.0/8``, ``::1``.

    Other names are not looked up. An address that stands for all, such as ``0.0.0.0``, is not loopback.

    Args:
        host: Name or address, IPv6 without brackets.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
