"""TLS of listeners, by the names of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Final, Protocol, TypeAlias

from tunnel.domain.configuration import ClientSettings, ListenerTlsSettings, ServerSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.ports.telemetry import CertificateOutOfDate, Telemetry
from tunnel.ports.tls import ListenerTls

__all__ = ["ReadTls", "check_listener_files", "follow_tls", "given", "read_listener_tls", "report_out_of_date"]

ReadTls: TypeAlias = Callable[[ListenerTlsSettings, str], ListenerTls]
"""Reads the files of a TLS table, given its key path."""


_SERVER: Final = ("transports.grpc", "transports.websocket", "ingress.http", "ingress.grpc", "admin")
_CLIENT: Final = ("entry.http", "entry.grpc", "admin")
"""Tables that may have one for TLS, by key path."""

_GRPC: Final = ("transports.grpc", "ingress.grpc", "entry.grpc")

_GRPC_KEYS: Final = frozenset({"RSA", "P-256", "P-384"})
"""What gRPC's servers and clients agree on by default; of others it says nothing but that a handshake failed."""


class _Table(Protocol):
    @property
    def tls(self) -> ListenerTlsSettings | None: ...


def read_listener_tls(settings: ServerSettings | ClientSettings, read: ReadTls) -> dict[str, ListenerTls]:
    """Read what listeners prove themselves with, by the key paths of their tables: ``transports.grpc``.

    Raises:
        ConfigurationError: Files are missing or wrong, or gRPC cannot use their keys.
    """
    found = Findings()
    made = check_listener_files(settings, read, found)
    found.tell()
    return made


def check_listener_files(
    settings: ServerSettings | ClientSettings, read: ReadTls, found: Findings
) -> dict[str, ListenerTls]:
    """As ``read_listener_tls``, of the tables in which nothing is wrong yet.

    Args:
        settings: Of either side.
        read: Reads the files of a table.
        found: Takes the mistakes.
    """
    made: dict[str, ListenerTls] = {}
    for path in _SERVER if isinstance(settings, ServerSettings) else _CLIENT:
        with found:
            table: _Table | None = attrgetter(path)(settings)
            if table is not None and table.tls is not None and found.clean(f"{path}.tls"):
                tls = read(table.tls, f"{path}.tls")
                if path in _GRPC and tls.key not in _GRPC_KEYS:
                    kinds = ", ".join(sorted(_GRPC_KEYS))
                    raise ConfigurationError(
                        f"expected a certificate with a key of a kind that gRPC speaks ({kinds})",
                        key_path=f"{path}.tls.certificate",
                    )
                made[path] = tls
    return made


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
