"""Ports for operators, of either side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnel.domain.metrics import Counters
from tunnel.ports.admin import AdminListener
from tunnel.ports.inspection import ClientInspection, ServerInspection
from tunnel.ports.tls import ListenerTls

if TYPE_CHECKING:
    from tunnel.domain.configuration import AdminSettings

__all__ = ["client_admin", "server_admin"]


def server_admin(
    settings: AdminSettings, inspection: ServerInspection, counters: Counters, tls: ListenerTls | None = None
) -> AdminListener:
    """That of a server."""
    from tunnel.adapters.admin.endpoints import server_endpoints
    from tunnel.adapters.admin.listener import UvicornAdminListener

    endpoints = server_endpoints(inspection, counters)
    return UvicornAdminListener(settings, endpoints, ssl_context=None if tls is None else tls.context)


def client_admin(
    settings: AdminSettings, inspection: ClientInspection, counters: Counters, tls: ListenerTls | None = None
) -> AdminListener:
    """That of a client."""
    from tunnel.adapters.admin.endpoints import client_endpoints
    from tunnel.adapters.admin.listener import UvicornAdminListener

    endpoints = client_endpoints(inspection, counters)
    return UvicornAdminListener(settings, endpoints, ssl_context=None if tls is None else tls.context)
