"""What finally answers a conversation, by the scheme of its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dependency_injector import providers

from tunnel.app.application_object import ApplicationObject
from tunnel.app.applications import Applications
from tunnel.domain.limits import Limits
from tunnel.ports.application import Application
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import UpstreamTarget

if TYPE_CHECKING:
    from tunnel.domain.configuration import TargetPolicy, UpstreamSettings

__all__ = ["asgi_application", "targets_by_scheme"]


def targets_by_scheme() -> dict[str, providers.Provider[UpstreamTarget]]:
    """What makes a target of its URL, its upstream's settings and the policy; in-process ones of applications too."""
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


def asgi_application(found: ApplicationObject, signals: SignalFactory) -> Application:
    """An application of either interface, to be called as one of ASGI."""
    from tunnel.adapters.asgi.application import AsgiApplication

    if found.interface == "wsgi":
        from tunnel.adapters.wsgi.bridge import WsgiBridge

        return AsgiApplication(WsgiBridge(found.called), name=found.name, signals=signals)
    return AsgiApplication(found.called, name=found.name, signals=signals)
