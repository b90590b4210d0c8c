"""Where a server's clients, visitors and operators come in, as its settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunnel.app.admin_entrance import AdminEntrance
from tunnel.app.container import ServerContainer
from tunnel.app.entrance import Entrance
from tunnel.app.group_route import GroupRoute
from tunnel.app.ingress_entrance import GroupEntrance, IngressEntrance
from tunnel.app.link_service import ServerLinks
from tunnel.app.listener_tls import given, read_listener_tls, report_out_of_date
from tunnel.app.routes import Routes
from tunnel.app.transport_entrance import TransportEntrance
from tunnel.domain.configuration import ServerSettings
from tunnel.domain.link_entry import LINK_PATH
from tunnel.ports.ingress_links import IngressLinks
from tunnel.ports.inspection import ServerInspection
from tunnel.ports.tls import ListenerTls

__all__ = ["ServerEntrances"]


class ServerEntrances:
    """Makes entrances of the ``[transports]``, ``[ingress]`` and ``[admin]`` tables.

    Args:
        container: Names the parts.
        links: Serves clients' links.
        routes: Where the conversations of visitors go.
        inspection: What operators see.
        address: Tells where the entrance of a name listens.
    """

    def __init__(
        self,
        container: ServerContainer,
        *,
        links: ServerLinks,
        routes: Routes,
        inspection: ServerInspection,
        address: Callable[[str], str],
    ) -> None:
        self._container = container
        self._links = links
        self._routes = routes
        self._inspection = inspection
        self._address = address
        self._ingress_links: IngressLinks | None = None

    def mounted(self, settings: ServerSettings) -> Callable[..., Any]:
        """An ASGI application that does what the HTTP ingress does."""
        application: Callable[..., Any] = self._container.asgi_ingress(
            self._routes, settings.ingress.http, settings.limits, **self._links_on_ingress(settings)
        )
        return application

    def made(self, settings: ServerSettings) -> dict[str, Entrance]:
        """Entrances as configured, neither bound nor started, by name.

        Raises:
            ConfigurationError: A file that TLS needs is missing or wrong.
        """
        found = read_listener_tls(settings, self._container.listener_tls)
        report_out_of_date(found, self._container.ledger())
        # Operators' comes first, and so opens first: it tells what the others are waiting for.
        return self._admin(settings, found) | self._transports(settings, found) | self._ingresses(settings, found)

    def _admin(self, settings: ServerSettings, found: Mapping[str, ListenerTls]) -> dict[str, Entrance]:
        if settings.admin is None:
            return {}
        tls = found.get("admin")
        listener = self._container.admin(settings.admin, self._inspection, **given(tls))
        return {"admin": AdminEntrance(settings.admin, listener, tls=tls)}

    def _transports(self, settings: ServerSettings, found: Mapping[str, ListenerTls]) -> dict[str, Entrance]:
        made: dict[str, Entrance] = {}
        listeners = self._container.listeners
        for name in listeners.providers:
            table = getattr(settings.transports, name, None)
            place = getattr(table, "listen", None) or getattr(table, "name", None)
            if place is not None:
                tls = found.get(f"transports.{name}")
                made[f"transport.{name}"] = TransportEntrance(
                    name,
                    place,
                    settings=(table, tls and tls.material),
                    listener=listeners(name, table, **given(tls)),
                    service=self._links,
                    tls=tls,
                )
        for each in self._links_on_ingress(settings).values():
            made["transport.websocket-ingress"] = TransportEntrance(
                "websocket-ingress",
                LINK_PATH,
                settings=settings.transports.websocket,
                listener=each.listener(self._links_address),
                service=self._links,
            )
        return made

    def _ingresses(self, settings: ServerSettings, found: Mapping[str, ListenerTls]) -> dict[str, Entrance]:
        made: dict[str, Entrance] = {}
        ingresses = self._container.ingresses
        http, grpc = settings.ingress.http, settings.ingress.grpc
        if http is not None:
            tls, links = found.get("ingress.http"), self._links_on_ingress(settings)
            made["ingress.http"] = IngressEntrance(
                "http",
                http.listen,
                settings=(http, settings.limits, tls and tls.material, links),
                ingress=ingresses("http", http, settings.limits, **given(tls), **links),
                target=self._routes,
                tls=tls,
            )
        for tcp in settings.ingress.tcp:
            made[f"ingress.{tcp.entrance}"] = GroupEntrance(
                tcp.entrance,
                tcp.listen,
                settings=tcp,
                ingress=ingresses("tcp", tcp),
                route=GroupRoute(self._routes, tcp.group, self._container.ledger()),
            )
        if grpc is not None:
            tls = found.get("ingress.grpc")
            made["ingress.grpc"] = IngressEntrance(
                "grpc",
                grpc.listen,
                settings=(grpc, tls and tls.material),
                ingress=ingresses("grpc", grpc, **given(tls)),
                target=self._routes,
                tls=tls,
            )
        return made

    def _links_on_ingress(self, settings: ServerSettings) -> dict[str, IngressLinks]:
        """What to add to the arguments of HTTP ingresses, which stay while settings change: so this is one for life."""
        websocket = settings.transports.websocket
        if websocket is None or not websocket.on_ingress:
            return {}
        if self._ingress_links is None:
            self._ingress_links = self._container.ingress_links()
        return {"links": self._ingress_links}

    def _links_address(self) -> str:
        return self._address("ingress.http") + LINK_PATH
