"""Which adapter fills which role. The only module that knows dependency_injector, and where to find every adapter.

Adapters are imported when they are first asked for: a server that listens on WebSocket alone loads no gRPC. Replace a
part by overriding its provider, for example::

    container = ServerContainer()
    container.clock.override(providers.Object(MyClock()))
    server = Server(settings, container=container)

The aggregates ``transports`` and ``targets`` are keyed by URL scheme, ``listeners`` and ``ingresses`` by the name of
their configuration table; one of their parts is replaced by ``container.transports.providers["ws"].override(...)``,
``set_providers`` takes all parts that there shall be, so others are added by
``container.transports.set_providers(**container.transports.providers, own=...)``. Packages add to ``transports`` by
an entry point of the group ``tunnel.transports``, whose name is the scheme and whose value is a callable without
arguments that returns a ``Transport``. Those of ``grpcs`` and ``wss`` are called with the client's
``ClientTlsSettings``, those of these and of ``grpc`` and ``ws`` with ``proxies``, by URLs of servers, when there is
one to go through. Listeners, ingresses and admin ports that have TLS are called with their ``ListenerTls`` as
``tls``, and HTTP ingresses that let links in with ``links``. ``targets`` of ``asgi``, ``wsgi`` and ``app`` are called
with the ``Applications`` that run in the process.

The aggregate ``middleware`` is keyed by kind, and each of its parts returns a ``MiddlewareKind``. Packages add to it by
an entry point of the group ``tunnel.middleware``, whose name is the kind and whose value is the class.

What a client's conversations are given to first is ``front``, made of the target that chooses among its upstreams; by
default it is that target itself. Whoever wants to watch puts ``tunnel.app.served_target`` there.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from dependency_injector import containers, providers

from tunnel.adapters.clock import MonotonicClock
from tunnel.adapters.logging import LoggingTelemetry
from tunnel.adapters.process import is_local_address, process_load
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.app.application_object import ApplicationObject
from tunnel.app.applications import Applications
from tunnel.app.ledger import Ledger
from tunnel.domain.direction import Direction
from tunnel.domain.limits import MIB, Limits
from tunnel.domain.metrics import Counters
from tunnel.domain.mux.budget import Budget
from tunnel.domain.random_source import RandomSource
from tunnel.domain.request_ids import RequestIds
from tunnel.ports.access_log import AccessLog
from tunnel.ports.admin import AdminListener
from tunnel.ports.application import Application
from tunnel.ports.authenticator import Authenticator
from tunnel.ports.clock import Clock
from tunnel.ports.ingress import Ingress
from tunnel.ports.ingress_links import IngressLinks
from tunnel.ports.inspection import ClientInspection, ProcessLoad, ServerInspection
from tunnel.ports.middleware import MiddlewareKind
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import ProxyTarget, UpstreamTarget
from tunnel.ports.telemetry import CertificateOutOfDate, Telemetry
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Listener, Transport

if TYPE_CHECKING:
    from tunnel.adapters.http.ingress_types import IngressSettings
    from tunnel.adapters.memory.network import MemoryNetwork
    from tunnel.adapters.tls.client import OpensslClientTls
    from tunnel.domain.configuration import (
        AccessLogSettings,
        AdminSettings,
        AuthSettings,
        ClientTlsSettings,
        GrpcIngressSettings,
        GrpcTransportSettings,
        HttpListenerSettings,
        LimitsSettings,
        ListenerTlsSettings,
        MemoryTransportSettings,
        TargetPolicy,
        TcpListenerSettings,
        UpstreamSettings,
        WebSocketTransportSettings,
    )
    from tunnel.domain.configuration.proxies import Proxy

__all__ = ["ClientContainer", "ServerContainer"]

_NONE: Final[Mapping[str, Proxy]] = {}

PROCESS_RECEIVE_BYTES = 1024 * MIB
"""Credit that all tunnels of one server or client may have promised to their peers together. Sessions that peers open
take at most half of it, so that they cannot crowd out our own."""


@cache
def _network() -> MemoryNetwork:
    """The process's one namespace of ``memory://`` names."""
    from tunnel.adapters.memory.network import MemoryNetwork

    return MemoryNetwork()


def _listener_tls(settings: ListenerTlsSettings, where: str) -> ListenerTls:
    from tunnel.adapters.tls.listener import OpensslListenerTls

    return OpensslListenerTls(settings, where)


def _grpc_listener(settings: GrpcTransportSettings, tls: ListenerTls | None = None) -> Listener:
    from tunnel.adapters.grpc.listener import GrpcListener

    return GrpcListener(settings.listen, tls=None if tls is None else lambda: tls.material)


def _websocket_listener(settings: WebSocketTransportSettings, tls: ListenerTls | None = None) -> Listener:
    from tunnel.adapters.websocket.listener import WebSocketListener

    assert settings.listen is not None
    return WebSocketListener(settings.listen, ssl_context=None if tls is None else tls.context)


def _ingress_links() -> IngressLinks:
    from tunnel.adapters.websocket.ingress_links import WebSocketIngressLinks

    return WebSocketIngressLinks()


def _memory_listener(settings: MemoryTransportSettings, network: MemoryNetwork) -> Listener:
    from tunnel.adapters.memory.listener import MemoryListener

    return MemoryListener(settings.name, network)


def _request_ids() -> RequestIds:
    return RequestIds(secrets.token_hex(8))


def _hop_token() -> bytes:
    return secrets.token_hex(8).encode()


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


def _tcp_ingress(settings: TcpListenerSettings) -> Ingress:
    from tunnel.adapters.tcp.ingress import TcpIngress

    return TcpIngress(
        settings.listen,
        name=settings.entrance,
        upstream=settings.upstream,
        max_connections=settings.max_connections,
    )


def _grpc_ingress(
    settings: GrpcIngressSettings, request_ids: RequestIds, ledger: Ledger, tls: ListenerTls | None = None
) -> Ingress:
    from tunnel.adapters.grpc.ingress import GrpcIngress

    material = None if tls is None else lambda: tls.material
    return GrpcIngress(settings, tls=material, request_ids=request_ids, telemetry=ledger)


def _asgi_ingress(
    target: ProxyTarget,
    settings: HttpListenerSettings | None,
    limits: LimitsSettings,
    request_ids: RequestIds,
    ledger: Ledger,
    links: IngressLinks | None = None,
) -> Callable[..., Any]:
    from tunnel.adapters.http.ingress_asgi import AsgiIngress

    return AsgiIngress(target, settings=_ingress_options(settings, limits, request_ids, ledger, links))


def _access_log(settings: AccessLogSettings, random: RandomSource) -> AccessLog:
    from tunnel.adapters.access_log import ThreadedAccessLog

    return ThreadedAccessLog(settings.path, format=settings.format, sample=settings.sample, random=random)


def _server_admin(
    settings: AdminSettings, inspection: ServerInspection, counters: Counters, tls: ListenerTls | None = None
) -> AdminListener:
    from tunnel.adapters.admin.endpoints import server_endpoints
    from tunnel.adapters.admin.listener import UvicornAdminListener

    endpoints = server_endpoints(inspection, counters)
    return UvicornAdminListener(settings, endpoints, ssl_context=None if tls is None else tls.context)


def _client_admin(
    settings: AdminSettings, inspection: ClientInspection, counters: Counters, tls: ListenerTls | None = None
) -> AdminListener:
    from tunnel.adapters.admin.endpoints import client_endpoints
    from tunnel.adapters.admin.listener import UvicornAdminListener

    endpoints = client_endpoints(inspection, counters)
    return UvicornAdminListener(settings, endpoints, ssl_context=None if tls is None else tls.context)


def _authenticator(settings: AuthSettings) -> Authenticator:
    from tunnel.adapters.token_auth import TokenAuthenticator

    return TokenAuthenticator(settings.tokens)


def _grpc_transport(proxies: Mapping[str, Proxy] = _NONE) -> Transport:
    from tunnel.adapters.grpc.transport import GrpcTransport

    return GrpcTransport(proxies=proxies)


def _websocket_transport(proxies: Mapping[str, Proxy] = _NONE) -> Transport:
    from tunnel.adapters.websocket.transport import WebSocketTransport

    return WebSocketTransport(proxies=proxies)


def _client_tls(settings: ClientTlsSettings | None, telemetry: Telemetry) -> OpensslClientTls:
    from tunnel.adapters.tls.client import OpensslClientTls

    tls = OpensslClientTls(settings)
    if why := tls.out_of_date:
        telemetry.record(CertificateOutOfDate("tls.certificate", why))
    return tls


def _grpcs_transport(
    settings: ClientTlsSettings | None = None, *, telemetry: Telemetry, proxies: Mapping[str, Proxy] = _NONE
) -> Transport:
    from tunnel.adapters.grpc.transport import GrpcTransport

    tls = _client_tls(settings, telemetry)
    return GrpcTransport(tls=tls.complete_material, server_name=tls.server_name, proxies=proxies)


def _wss_transport(
    settings: ClientTlsSettings | None = None, *, telemetry: Telemetry, proxies: Mapping[str, Proxy] = _NONE
) -> Transport:
    from tunnel.adapters.websocket.transport import WebSocketTransport

    tls = _client_tls(settings, telemetry)
    return WebSocketTransport(ssl_context=tls.context, server_name=tls.server_name, proxies=proxies)


def _memory_transport(network: MemoryNetwork) -> Transport:
    from tunnel.adapters.memory.transport import MemoryTransport

    return MemoryTransport(network)


def _http_target(url: str, settings: UpstreamSettings, policy: TargetPolicy) -> UpstreamTarget:
    from tunnel.adapters.http.upstream import HttpUpstream

    announced = Limits().max_websocket_message_bytes
    return HttpUpstream(
        target=url,
        permits=policy.permits,
        connect_timeout_s=settings.connect_timeout_s,
        first_byte_timeout_s=settings.first_byte_timeout_s,
        keepalive_s=settings.keepalive_s,
        max_connections=settings.max_connections,
        max_message_bytes=announced if settings.max_message_bytes is None else settings.max_message_bytes,
        tls=settings.tls,
        host_header=settings.host_header,
    )


def _tcp_target(url: str, settings: UpstreamSettings, policy: TargetPolicy) -> UpstreamTarget:
    from tunnel.adapters.tcp.upstream import TcpUpstream

    return TcpUpstream(
        url,
        permits=policy.permits,
        connect_timeout_s=settings.connect_timeout_s,
        max_connections=settings.max_connections,
    )


def _grpc_target(url: str, settings: UpstreamSettings, policy: TargetPolicy) -> UpstreamTarget:
    from tunnel.adapters.grpc.upstream import GrpcUpstream

    announced = Limits().max_grpc_message_bytes
    return GrpcUpstream(
        target=url,
        permits=policy.permits,
        connect_timeout_s=settings.connect_timeout_s,
        first_byte_timeout_s=settings.first_byte_timeout_s,
        keepalive_s=settings.keepalive_s,
        tls=settings.tls,
        host_header=settings.host_header,
        max_message_bytes=announced if settings.max_message_bytes is None else settings.max_message_bytes,
    )


def _headers() -> MiddlewareKind:
    from tunnel.adapters.middleware.headers import HeadersMiddleware

    return HeadersMiddleware


def _strip_prefix() -> MiddlewareKind:
    from tunnel.adapters.middleware.strip_prefix import StripPrefixMiddleware

    return StripPrefixMiddleware


def _rewrite() -> MiddlewareKind:
    from tunnel.adapters.middleware.rewrite import RewriteMiddleware

    return RewriteMiddleware


def _redirect() -> MiddlewareKind:
    from tunnel.adapters.middleware.redirect import RedirectMiddleware

    return RedirectMiddleware


def _request_id() -> MiddlewareKind:
    from tunnel.adapters.middleware.request_id import RequestIdMiddleware

    return RequestIdMiddleware


def _ip_filter() -> MiddlewareKind:
    from tunnel.adapters.middleware.ip_filter import IpFilterMiddleware

    return IpFilterMiddleware


def _basic_auth() -> MiddlewareKind:
    from tunnel.adapters.middleware.basic_auth import BasicAuthMiddleware

    return BasicAuthMiddleware


def _compression() -> MiddlewareKind:
    from tunnel.adapters.middleware.compression import CompressionMiddleware

    return CompressionMiddleware


def _rate_limit(clock: Clock) -> MiddlewareKind:
    from tunnel.adapters.middleware.rate_limit import RateLimitMiddleware as Kind
    from tunnel.adapters.middleware.timed_kind import TimedKind

    return TimedKind(Kind, options=Kind.Options, protocols=Kind.protocols, clock=clock)


def _circuit_breaker(clock: Clock) -> MiddlewareKind:
    from tunnel.adapters.middleware.circuit_breaker import CircuitBreakerMiddleware as Kind
    from tunnel.adapters.middleware.timed_kind import TimedKind

    return TimedKind(Kind, options=Kind.Options, protocols=Kind.protocols, clock=clock)


def _middleware(clock: providers.Provider[Clock]) -> providers.Aggregate[MiddlewareKind]:
    """Kinds by name. Those that come with this package go before others of their names."""
    installed = {each.name: providers.Callable(each.load) for each in entry_points(group="tunnel.middleware")}
    return providers.Aggregate(
        {
            **installed,
            "headers": providers.Callable(_headers),
            "strip_prefix": providers.Callable(_strip_prefix),
            "rewrite": providers.Callable(_rewrite),
            "redirect": providers.Callable(_redirect),
            "request_id": providers.Callable(_request_id),
            "ip_filter": providers.Callable(_ip_filter),
            "basic_auth": providers.Callable(_basic_auth),
            "rate_limit": providers.Callable(_rate_limit, clock=clock),
            "compression": providers.Callable(_compression),
            "circuit_breaker": providers.Callable(_circuit_breaker, clock=clock),
        }
    )


def _application(found: ApplicationObject, signals: SignalFactory) -> Application:
    from tunnel.adapters.asgi.application import AsgiApplication

    if found.interface == "wsgi":
        from tunnel.adapters.wsgi.bridge import WsgiBridge

        return AsgiApplication(WsgiBridge(found.called), name=found.name, signals=signals)
    return AsgiApplication(found.called, name=found.name, signals=signals)


def _in_process_target(
    url: str, settings: UpstreamSettings, _: TargetPolicy, applications: Applications
) -> UpstreamTarget:
    from tunnel.adapters.asgi.application import AsgiApplication
    from tunnel.adapters.asgi.upstream import AsgiUpstream

    hosted = applications.share(url)
    assert isinstance(hosted.application, AsgiApplication)
    announced = Limits().max_websocket_message_bytes
    return AsgiUpstream(
        hosted.application,
        release=hosted.release,
        max_connections=settings.max_connections,
        connect_timeout_s=settings.connect_timeout_s,
        first_byte_timeout_s=settings.first_byte_timeout_s,
        max_message_bytes=announced if settings.max_message_bytes is None else settings.max_message_bytes,
    )


def _unobserved(target: ProxyTarget) -> ProxyTarget:
    return target


def _installed_transports() -> dict[str, providers.Provider[Transport]]:
    return {
        each.name: providers.Factory(lambda each=each: each.load()())
        for each in entry_points(group="tunnel.transports")
    }


def _ingresses(
    request_ids: providers.Provider[RequestIds], ledger: providers.Provider[Ledger]
) -> dict[str, providers.Provider[Ingress]]:
    return {
        "http": providers.Factory(_http_ingress, request_ids=request_ids, ledger=ledger),
        "grpc": providers.Factory(_grpc_ingress, request_ids=request_ids, ledger=ledger),
        "tcp": providers.Factory(_tcp_ingress),
    }


def _targets() -> dict[str, providers.Provider[UpstreamTarget]]:
    return {
        "http": providers.Factory(_http_target),
        "https": providers.Factory(_http_target),
        "tcp": providers.Factory(_tcp_target),
        "unix": providers.Factory(_http_target),
        "grpc": providers.Factory(_grpc_target),
        "grpcs": providers.Factory(_grpc_target),
        "asgi": providers.Factory(_in_process_target),
        "wsgi": providers.Factory(_in_process_target),
        "app": providers.Factory(_in_process_target),
    }


class ServerContainer(containers.DeclarativeContainer):
    """A server's parts."""

    clock: providers.Provider[Clock] = providers.Singleton(MonotonicClock)
    signals: providers.Provider[SignalFactory] = providers.Callable(signals_of_running_loop)
    random: providers.Provider[random.Random] = providers.Singleton(random.Random)
    unpredictable: providers.Provider[RandomSource] = providers.Singleton(secrets.SystemRandom)
    telemetry: providers.Provider[Telemetry] = providers.Singleton(LoggingTelemetry)
    counters: providers.Provider[Counters] = providers.Singleton(Counters)
    ledger: providers.Provider[Ledger] = providers.Singleton(Ledger, telemetry, counters, clock)
    budget: providers.Provider[Budget] = providers.Singleton(Budget, PROCESS_RECEIVE_BYTES)
    network: providers.Provider[MemoryNetwork] = providers.Callable(_network)
    authenticator: providers.Provider[Authenticator] = providers.Factory(_authenticator)
    access_log: providers.Provider[AccessLog] = providers.Factory(_access_log, random=random)
    request_ids: providers.Provider[RequestIds] = providers.Singleton(_request_ids)
    listener_tls: providers.Provider[ListenerTls] = providers.Factory(_listener_tls)
    listeners: providers.Aggregate[Listener] = providers.Aggregate(
        grpc=providers.Factory(_grpc_listener),
        websocket=providers.Factory(_websocket_listener),
        memory=providers.Factory(_memory_listener, network=network),
    )
    ingress_links: providers.Provider[IngressLinks] = providers.Factory(_ingress_links)
    ingresses: providers.Aggregate[Ingress] = providers.Aggregate(_ingresses(request_ids, ledger))
    targets: providers.Aggregate[UpstreamTarget] = providers.Aggregate(_targets())
    application: providers.Provider[Application] = providers.Factory(_application, signals=signals)
    applications: providers.Provider[Applications] = providers.Factory(Applications, application.provider)
    middleware: providers.Aggregate[MiddlewareKind] = _middleware(clock)
    asgi_ingress: providers.Provider[Callable[..., Any]] = providers.Factory(
        _asgi_ingress, request_ids=request_ids, ledger=ledger
    )
    admin: providers.Provider[AdminListener] = providers.Factory(_server_admin, counters=counters)
    process: providers.Provider[Callable[[], ProcessLoad]] = providers.Object(process_load)


class ClientContainer(containers.DeclarativeContainer):
    """A client's parts."""

    clock: providers.Provider[Clock] = providers.Singleton(MonotonicClock)
    signals: providers.Provider[SignalFactory] = providers.Callable(signals_of_running_loop)
    random: providers.Provider[random.Random] = providers.Singleton(random.Random)
    telemetry: providers.Provider[Telemetry] = providers.Singleton(LoggingTelemetry)
    counters: providers.Provider[Counters] = providers.Singleton(Counters)
    ledger: providers.Provider[Ledger] = providers.Singleton(Ledger, telemetry, counters, clock, Direction.TO_SERVER)
    budget: providers.Provider[Budget] = providers.Singleton(Budget, PROCESS_RECEIVE_BYTES)
    network: providers.Provider[MemoryNetwork] = providers.Callable(_network)
    transports: providers.Aggregate[Transport] = providers.Aggregate(
        {
            **_installed_transports(),
            "grpc": providers.Factory(_grpc_transport),
            "grpcs": providers.Factory(_grpcs_transport, telemetry=telemetry),
            "ws": providers.Factory(_websocket_transport),
            "wss": providers.Factory(_wss_transport, telemetry=telemetry),
            "memory": providers.Factory(_memory_transport, network=network),
        }
    )
    targets: providers.Aggregate[UpstreamTarget] = providers.Aggregate(_targets())
    application: providers.Provider[Application] = providers.Factory(_application, signals=signals)
    applications: providers.Provider[Applications] = providers.Factory(Applications, application.provider)
    is_local: providers.Provider[Callable[[str], bool]] = providers.Object(is_local_address)
    hop_token: providers.Provider[bytes] = providers.Singleton(_hop_token)
    request_ids: providers.Provider[RequestIds] = providers.Singleton(_request_ids)
    ingresses: providers.Aggregate[Ingress] = providers.Aggregate(_ingresses(request_ids, ledger))
    middleware: providers.Aggregate[MiddlewareKind] = _middleware(clock)
    front: providers.Provider[Callable[[ProxyTarget], ProxyTarget]] = providers.Object(_unobserved)
    listener_tls: providers.Provider[ListenerTls] = providers.Factory(_listener_tls)
    admin: providers.Provider[AdminListener] = providers.Factory(_client_admin, counters=counters)
    process: providers.Provider[Callable[[], ProcessLoad]] = providers.Object(process_load)
