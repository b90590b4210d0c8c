"""TLS of listeners, by the names of those."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeAlias

from tunnel.domain.configuration import ClientSettings, ListenerTlsSettings, ServerSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.telemetry import CertificateOutOfDate, Telemetry
from tunnel.ports.tls import ListenerTls

__all__ = ["ReadTls", "follow_tls", "given", "read_listener_tls", "report_out_of_date"]

ReadTls: TypeAlias = Callable[[ListenerTlsSettings, str], ListenerTls]
"""Reads the files of a TLS table, given its key path."""


_GRPC: Final = ("transports.grpc", "ingress.grpc", "entry.grpc")

_GRPC_KEYS: Final = frozenset({"RSA", "P-256", "P-384"})
"""What gRPC's servers and clients agree on by default; of others it says nothing but that a handshake failed."""


class _Table(Protocol):
    @property
    def tls(self) -> ListenerTlsSettings | None: ...


def read_listener_tls(settings: ServerSettings | ClientSettings, read: ReadTls) -> dict[str, ListenerTls]:
    """Read what listeners prove themselves with, by the key paths of their tables: ``transports.grpc``.

    Raises:
        ConfigurationError: A file is missing or wrong, or gRPC cannot use its key.
    """
    found = {
        path: read(table.tls, f"{path}.tls")
        for path, table in _tables(settings)
        if table is not None and table.tls is not None
    }
    for path in _GRPC:
        if path in found and found[path].key not in _GRPC_KEYS:
            kinds = ", ".join(sorted(_GRPC_KEYS))
            raise ConfigurationError(
                f"expected a certificate with a key of a kind that gRPC speaks ({kinds})",
                key_path=f"{path}.tls.certificate",
            )
    return found


def _tables(settings: ServerSettings | ClientSettings) -> Iterator[tuple[str, _Table | None]]:
    if isinstance(settings, ServerSettings):
        yield "transports.grpc", settings.transports.grpc
        yield "transports.websocket", settings.transports.websocket
        yield "ingress.http", settings.ingress.http
        yield "ingress.grpc", settings.ingress.grpc
    else:
        yield "entry.http", settings.entry.http
        yield "entry.grpc", settings.entry.grpc
    yield "admin", settings.admin


def report_out_of_date(found: Mapping[str, ListenerTls], telemetry: Telemetry) -> None:
    """Tell which certificates are not valid now. They are used all the same: the clock may be what is wrong."""
    for path, tls in found.items():
        if why := tls.out_of_date:
            telemetry.record(CertificateOutOfDate(f"{path}.tls.certificate", why))


def given(tls: ListenerTls | None) -> dict[str, ListenerTls]:
    """What to add to the arguments of a listener: those of other makers that have no TLS need not know of it."""
    return {} if tls is None else {"tls": tls}


def follow_tls(current: ListenerTls | None, successor: ListenerTls | None) -> None:
    """Have a listener prove itself with what was made for its successor, which stays unused."""
    # Where one of them has none the reload was refused before.
    if current is not None and successor is not None:
        current.follow(successor)
