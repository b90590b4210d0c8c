"""Where visitors come in, at a server and at a client's entries, by the name of the configuration table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dependency_injector import providers

from tunnel.app.ledger import Ledger
from tunnel.domain.request_ids import RequestIds
from tunnel.ports.ingress import Ingress
from tunnel.ports.ingress_links import IngressLinks
from tunnel.ports.target import ProxyTarget
from tunnel.ports.telemetry import Telemetry
from tunnel.ports.tls import ListenerTls

if TYPE_CHECKING:
    from tunnel.adapters.http.ingress_types import IngressSettings
    from tunnel.domain.configuration import (
        GrpcIngressSettings,
        HttpListenerSettings,
        LimitsSettings,
        TcpListenerSettings,
    )

__all__ = ["ingresses_by_table", "mountable_ingress"]


def ingresses_by_table(
    request_ids: providers.Provider[RequestIds], ledger: providers.Provider[Ledger]
) -> dict[str, providers.Provider[Ingress]]:
    """What makes an ingress of its table, that for HTTP of the limits too."""
    return {
        "http": providers.Factory(_http_ingress, request_ids=request_ids, ledger=ledger),
        "grpc": providers.Factory(_grpc_ingress, request_ids=request_ids, ledger=ledger),
        "tcp": providers.Factory(_tcp_ingress),
    }


def mountable_ingress(
    target: ProxyTarget,
    settings: HttpListenerSettings | None,
    limits: LimitsSettings,
    request_ids: RequestIds,
    ledger: Ledger,
    links: IngressLinks | None = None,
) -> Callable[..., Any]:
    """An ASGI application that does what the HTTP ingress does; ``settings`` of None stand for the usual ones."""
    from tunnel.adapters.http.ingress_asgi import AsgiIngress

    return AsgiIngress(target, settings=_ingress_options(settings, limits, request_ids, ledger, links))


def _http_ingress(
    settings: HttpListenerSettings,
    limits: LimitsSettings,
    request_ids: RequestIds,
    ledger: Ledger,
    tls: ListenerTls | None = None,
    links: IngressLinks | None = None,
) -> Ingress:
    from tunnel.adapters.http.ingress_uvicorn import UvicornIngress

    return UvicornIngress(
        settings.listen,
        name="http",
        settings=_ingress_options(settings, limits, request_ids, ledger, links),
        ssl_context=None if tls is None else tls.context,
    )


def _ingress_options(
    settings: HttpListenerSettings | None,
    limits: LimitsSettings,
    request_ids: RequestIds,
    telemetry: Telemetry,
    links: IngressLinks | None,
) -> IngressSettings:
    from tunnel.adapters.http.forwarded import Forwarder
    from tunnel.adapters.http.ingress_types import IngressSettings

    if settings is None:
        return IngressSettings(
            max_headers=limits.max_headers, request_ids=request_ids, telemetry=telemetry, links=links
        )
    return IngressSettings(
        forwarder=Forwarder(settings.forwarded, settings.trusted_proxies),
        max_body_bytes=settings.max_body_bytes,
        max_header_bytes=settings.max_header_bytes,
        max_headers=limits.max_headers,
        max_message_bytes=settings.max_message_bytes,
        upload_stall_s=settings.upload_stall_s,
        request_ids=None if settings.request_id == "off" else request_ids,
        telemetry=telemetry,
        keep_request_ids=settings.request_id == "keep",
        links=links,
    )


def _grpc_ingress(
    settings: GrpcIngressSettings, request_ids: RequestIds, ledger: Ledger, tls: ListenerTls | None = None
) -> Ingress:
    from tunnel.adapters.grpc.ingress import GrpcIngress

    material = None if tls is None else lambda: tls.material
    return GrpcIngress(settings, tls=material, request_ids=request_ids, telemetry=ledger)


def _tcp_ingress(settings: TcpListenerSettings) -> Ingress:
    from tunnel.adapters.tcp.ingress import TcpIngress

    return TcpIngress(
        settings.listen,
        name=settings.entrance,
        upstream=settings.upstream,
        max_connections=settings.max_connections,
    )
