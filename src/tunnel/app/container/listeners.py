"""Where clients' links come in, by the name of the configuration table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dependency_injector import providers

from tunnel.ports.ingress_links import IngressLinks
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Listener

if TYPE_CHECKING:
    from tunnel.adapters.memory.network import MemoryNetwork
    from tunnel.domain.configuration import (
        GrpcTransportSettings,
        MemoryTransportSettings,
        WebSocketTransportSettings,
    )

__all__ = ["listeners_by_table", "websocket_ingress_links"]


def listeners_by_table(network: providers.Provider[MemoryNetwork]) -> dict[str, providers.Provider[Listener]]:
    """What makes a listener of its table and, when it has TLS, of its ``ListenerTls`` as ``tls``."""
    return {
        "grpc": providers.Factory(_grpc_listener),
        "websocket": providers.Factory(_websocket_listener),
        "memory": providers.Factory(_memory_listener, network=network),
    }


def _grpc_listener(settings: GrpcTransportSettings, tls: ListenerTls | None = None) -> Listener:
    from tunnel.adapters.grpc.listener import GrpcListener

    return GrpcListener(settings.listen, tls=None if tls is None else lambda: tls.material)


def _websocket_listener(settings: WebSocketTransportSettings, tls: ListenerTls | None = None) -> Listener:
    from tunnel.adapters.websocket.listener import WebSocketListener

    assert settings.listen is not None
    return WebSocketListener(settings.listen, ssl_context=None if tls is None else tls.context)


def _memory_listener(settings: MemoryTransportSettings, network: MemoryNetwork) -> Listener:
    from tunnel.adapters.memory.listener import MemoryListener

    return MemoryListener(settings.name, network)


def websocket_ingress_links() -> IngressLinks:
    """Lets links in at HTTP ingresses."""
    from tunnel.adapters.websocket.ingress_links import WebSocketIngressLinks

    return WebSocketIngressLinks()
