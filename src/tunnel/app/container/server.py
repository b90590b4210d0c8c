"""Which adapter fills which role at a server."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from tunnel.adapters.clock import MonotonicClock
from tunnel.adapters.logging import LoggingTelemetry
from tunnel.adapters.process import process_load
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.app.applications import Applications
from tunnel.app.container.admin import server_admin
from tunnel.app.container.ingresses import ingresses_by_table, mountable_ingress
from tunnel.app.container.listeners import listeners_by_table, websocket_ingress_links
from tunnel.app.container.middleware import middleware_by_kind
from tunnel.app.container.shared import (
    PROCESS_RECEIVE_BYTES,
    memory_network,
    new_request_ids,
    openssl_listener_tls,
)
from tunnel.app.container.targets import asgi_application, targets_by_scheme
from tunnel.app.ledger import Ledger
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
from tunnel.ports.inspection import ProcessLoad
from tunnel.ports.middleware import MiddlewareKind
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import UpstreamTarget
from tunnel.ports.telemetry import Telemetry
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Listener

if TYPE_CHECKING:
    from tunnel.adapters.memory.network import MemoryNetwork
    from tunnel.domain.configuration import AccessLogSettings, AuthSettings

__all__ = ["ServerContainer"]


def _authenticator(settings: AuthSettings) -> Authenticator:
    from tunnel.adapters.token_auth import TokenAuthenticator

    return TokenAuthenticator(settings.tokens)


def _access_log(settings: AccessLogSettings, random: RandomSource) -> AccessLog:
    from tunnel.adapters.access_log import ThreadedAccessLog

    return ThreadedAccessLog(settings.path, format=settings.format, sample=settings.sample, random=random)


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
    network: providers.Provider[MemoryNetwork] = providers.Callable(memory_network)
    authenticator: providers.Provider[Authenticator] = providers.Factory(_authenticator)
    access_log: providers.Provider[AccessLog] = providers.Factory(_access_log, random=random)
    request_ids: providers.Provider[RequestIds] = providers.Singleton(new_request_ids)
    listener_tls: providers.Provider[ListenerTls] = providers.Factory(openssl_listener_tls)
    listeners: providers.Aggregate[Listener] = providers.Aggregate(listeners_by_table(network))
    ingress_links: providers.Provider[IngressLinks] = providers.Factory(websocket_ingress_links)
    ingresses: providers.Aggregate[Ingress] = providers.Aggregate(ingresses_by_table(request_ids, ledger))
    targets: providers.Aggregate[UpstreamTarget] = providers.Aggregate(targets_by_scheme())
    application: providers.Provider[Application] = providers.Factory(asgi_application, signals=signals)
    applications: providers.Provider[Applications] = providers.Factory(Applications, application.provider)
    middleware: providers.Aggregate[MiddlewareKind] = providers.Aggregate(middleware_by_kind(clock))
    asgi_ingress: providers.Provider[Callable[..., Any]] = providers.Factory(
        mountable_ingress, request_ids=request_ids, ledger=ledger
    )
    admin: providers.Provider[AdminListener] = providers.Factory(server_admin, counters=counters)
    process: providers.Provider[Callable[[], ProcessLoad]] = providers.Object(process_load)
