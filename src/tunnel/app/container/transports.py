"""What a client dials its servers with, by the scheme of their URLs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from dependency_injector import providers

from tunnel.ports.telemetry import CertificateOutOfDate, Telemetry
from tunnel.ports.transport import Transport

if TYPE_CHECKING:
    from tunnel.adapters.memory.network import MemoryNetwork
    from tunnel.adapters.tls.client import OpensslClientTls
    from tunnel.domain.configuration import ClientTlsSettings
    from tunnel.domain.configuration.proxies import Proxy

__all__ = ["transports_by_scheme"]

_NONE: Final[Mapping[str, Proxy]] = {}


def transports_by_scheme(
    telemetry: providers.Provider[Telemetry], network: providers.Provider[MemoryNetwork]
) -> dict[str, providers.Provider[Transport]]:
    """What makes a transport. Those that come with this package go before others of their schemes."""
    return {
        **_installed_transports(),
        "grpc": providers.Factory(_grpc_transport),
        "grpcs": providers.Factory(_grpcs_transport, telemetry=telemetry),
        "ws": providers.Factory(_websocket_transport),
        "wss": providers.Factory(_wss_transport, telemetry=telemetry),
        "memory": providers.Factory(_memory_transport, network=network),
    }


def _grpc_transport(proxies: Mapping[str, Proxy] = _NONE) -> Transport:
    from tunnel.adapters.grpc.transport import GrpcTransport

    return GrpcTransport(proxies=proxies)


def _grpcs_transport(
    settings: ClientTlsSettings | None = None, *, telemetry: Telemetry, proxies: Mapping[str, Proxy] = _NONE
) -> Transport:
    from tunnel.adapters.grpc.transport import GrpcTransport

    tls = _client_tls(settings, telemetry)
    return GrpcTransport(tls=tls.complete_material, server_name=tls.server_name, proxies=proxies)


def _websocket_transport(proxies: Mapping[str, Proxy] = _NONE) -> Transport:
    from tunnel.adapters.websocket.transport import WebSocketTransport

    return WebSocketTransport(proxies=proxies)


def _wss_transport(
    settings: ClientTlsSettings | None = None, *, telemetry: Telemetry, proxies: Mapping[str, Proxy] = _NONE
) -> Transport:
    from tunnel.adapters.websocket.transport import WebSocketTransport

    tls = _client_tls(settings, telemetry)
    return WebSocketTransport(ssl_context=tls.context, server_name=tls.server_name, proxies=proxies)


def _client_tls(settings: ClientTlsSettings | None, telemetry: Telemetry) -> OpensslClientTls:
    from tunnel.adapters.tls.client import OpensslClientTls

    tls = OpensslClientTls(settings)
    if why := tls.out_of_date:
        telemetry.record(CertificateOutOfDate("tls.certificate", why))
    return tls


def _memory_transport(network: MemoryNetwork) -> Transport:
    from tunnel.adapters.memory.transport import MemoryTransport

    return MemoryTransport(network)


def _installed_transports() -> dict[str, providers.Provider[Transport]]:
    return {
        each.name: providers.Factory(lambda each=each: each.load()())
        for each in entry_points(group="tunnel.transports")
    }
