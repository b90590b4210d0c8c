"""A client's entries: ingresses like those of a server, whose conversations go to the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunnel.app.accounted_target import Destination
from tunnel.app.container import ClientContainer
from tunnel.app.direct_ways import tcp_entry
from tunnel.app.entrance import Entrance
from tunnel.app.entry_target import EntryTarget
from tunnel.app.ingress_entrance import IngressEntrance, TcpEntrance
from tunnel.app.listener_tls import given
from tunnel.domain.configuration import ClientSettings
from tunnel.ports.tls import ListenerTls

__all__ = ["Entries"]


class Entries:
    """Makes entrances of the ``[entry]`` tables.

    Args:
        container: Names the parts.
        destination: Tells where the conversations of an entry go; see ``Fallback.at``.
        group: Tells which group this client serves.
    """

    def __init__(
        self, container: ClientContainer, destination: Callable[[str], Destination], *, group: Callable[[], str]
    ) -> None:
        self._container = container
        self._destination = destination
        self._group = group

    def made(self, settings: ClientSettings, found: Mapping[str, ListenerTls]) -> dict[str, Entrance]:
        """Entrances as configured, neither bound nor started, by name.

        Args:
            settings: The client's.
            found: What listeners prove themselves with, by key path.
        """
        made: dict[str, Entrance] = {}
        ingresses = self._container.ingresses
        http, grpc = settings.entry.http, settings.entry.grpc
        if http is not None:
            tls = found.get("entry.http")
            made["entry.http"] = IngressEntrance(
                "http",
                http.listen,
                settings=(http, settings.limits, tls and tls.material),
                ingress=ingresses("http", http, settings.limits, **given(tls)),
                target=self._target("http"),
                tls=tls,
                kind="entry",
            )
        if grpc is not None:
            tls = found.get("entry.grpc")
            made["entry.grpc"] = IngressEntrance(
                "grpc",
                grpc.listen,
                settings=(grpc, tls and tls.material),
                ingress=ingresses("grpc", grpc, **given(tls)),
                target=self._target("grpc"),
                tls=tls,
                kind="entry",
            )
        for tcp in settings.entry.tcp:
            made[f"entry.{tcp.entrance}"] = TcpEntrance(
                tcp.entrance,
                tcp.listen,
                settings=tcp,
                ingress=ingresses("tcp", tcp),
                target=self._target(tcp_entry(tcp)),
                kind="entry",
            )
        return made

    def _target(self, entry: str) -> EntryTarget:
        return EntryTarget(self._destination(entry), group=self._group, ledger=self._container.ledger())
