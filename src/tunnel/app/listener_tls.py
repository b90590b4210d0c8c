"""TLS of a server's listeners, by the names of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from tunnel.domain.configuration import ListenerTlsSettings, ServerSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.telemetry import CertificateOutOfDate, Telemetry
from tunnel.ports.tls import ListenerTls

__all__ = ["ReadTls", "read_listener_tls", "report_out_of_date"]

ReadTls: TypeAlias = Callable[[ListenerTlsSettings, str], ListenerTls]
"""Reads the files of a TLS table, given its key path."""


_GRPC: Final = "transports.grpc"

_GRPC_KEYS: Final = frozenset({"RSA", "P-256", "P-384"})
"""What gRPC's servers and clients agree on by default; of others it says nothing but that a handshake failed."""


def read_listener_tls(settings: ServerSettings, read: ReadTls) -> dict[str, ListenerTls]:
    """Read what listeners prove themselves with, by the key paths of their tables: ``transports.grpc``.

    Raises:
        ConfigurationError: A file is missing or wrong, or gRPC cannot use its key.
    """
    tables = (
        (_GRPC, settings.transports.grpc),
        ("transports.websocket", settings.transports.websocket),
        ("ingress.http", settings.ingress.http),
    )
    found = {
        path: read(table.tls, f"{path}.tls") for path, table in tables if table is not None and table.tls is not None
    }
    if _GRPC in found and found[_GRPC].key not in _GRPC_KEYS:
        kinds = ", ".join(sorted(_GRPC_KEYS))
        raise ConfigurationError(
            f"expected a certificate with a key of a kind that gRPC speaks ({kinds})",
            key_path=f"{_GRPC}.tls.certificate",
        )
    return found


def report_out_of_date(found: Mapping[str, ListenerTls], telemetry: Telemetry) -> None:
    """Tell which certificates are not valid now. They are used all the same: the clock may be what is wrong."""
    for path, tls in found.items():
        if why := tls.out_of_date:
            telemetry.record(CertificateOutOfDate(f"{path}.tls.certificate", why))
