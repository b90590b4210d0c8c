"""TLS of a server's listeners, by the names of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tunnel.domain.configuration import ListenerTlsSettings, ServerSettings
from tunnel.ports.telemetry import CertificateOutOfDate, Telemetry
from tunnel.ports.tls import ListenerTls

__all__ = ["ReadTls", "read_listener_tls", "report_out_of_date"]

ReadTls: TypeAlias = Callable[[ListenerTlsSettings, str], ListenerTls]
"""Reads the files of a TLS table, given its key path."""


def read_listener_tls(settings: ServerSettings, read: ReadTls) -> dict[str, ListenerTls]:
    """Read what listeners prove themselves with, by the key paths of their tables: ``transports.grpc``.

    Raises:
        ConfigurationError: A file is missing or wrong.
    """
    tables = (
        ("transports.grpc", settings.transports.grpc),
        ("transports.websocket", settings.transports.websocket),
        ("ingress.http", settings.ingress.http),
    )
    return {
        path: read(table.tls, f"{path}.tls") for path, table in tables if table is not None and table.tls is not None
    }


def report_out_of_date(found: Mapping[str, ListenerTls], telemetry: Telemetry) -> None:
    """Tell which certificates are not valid now. They are used all the same: the clock may be what is wrong."""
    for path, tls in found.items():
        if why := tls.out_of_date:
            telemetry.record(CertificateOutOfDate(f"{path}.tls.certificate", why))
