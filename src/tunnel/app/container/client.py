"""Which adapter fills which role at a client."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from dependency_injector import containers, providers

from tunnel.adapters.clock import MonotonicClock
from tunnel.adapters.logging import LoggingTelemetry
from tunnel.adapters.process import is_local_address, process_load
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.app.applications import Applications
from tunnel.app.container.admin import client_admin
from tunnel.app.container.ingresses import ingresses_by_table
from tunnel.app.container.middleware import middleware_by_kind
from tunnel.app.container.shared import (
    PROCESS_RECEIVE_BYTES,
    memory_network,
    new_request_ids,
    openssl_listener_tls,
)
from tunnel.app.container.targets import asgi_application, targets_by_scheme
from tunnel.app.container.transports import transports_by_scheme
from tunnel.app.ledger import Ledger
from tunnel.domain.direction import Direction
from tunnel.domain.metrics import Counters
from tunnel.domain.mux.budget import Budget
from tunnel.domain.request_ids import RequestIds
from tunnel.ports.admin import AdminListener
from tunnel.ports.application import Application
from tunnel.ports.clock import Clock
from tunnel.ports.ingress import Ingress
from tunnel.ports.inspection import ProcessLoad
from tunnel.ports.middleware import MiddlewareKind
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import ProxyTarget, UpstreamTarget
from tunnel.ports.telemetry import Telemetry
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Transport

if TYPE_CHECKING:
    from tunnel.adapters.memory.network import MemoryNetwork

__all__ = ["ClientContainer"]


def _hop_token() -> bytes:
    return secrets.token_hex(8).encode()


def _unobserved(target: ProxyTarget) -> ProxyTarget:
    return target


class ClientContainer(containers.DeclarativeContainer):
    """A client's parts."""

    clock: providers.Provider[Clock] = providers.Singleton(MonotonicClock)
    signals: providers.Provider[SignalFactory] = providers.Callable(signals_of_running_loop)
    random: providers.Provider[random.Random] = providers.Singleton(random.Random)
    telemetry: providers.Provider[Telemetry] = providers.Singleton(LoggingTelemetry)
    counters: providers.Provider[Counters] = providers.Singleton(Counters)
    ledger: providers.Provider[Ledger] = providers.Singleton(Ledger, telemetry, counters, clock, Direction.TO_SERVER)
    budget: providers.Provider[Budget] = providers.Singleton(Budget, PROCESS_RECEIVE_BYTES)
    network: providers.Provider[MemoryNetwork] = providers.Callable(memory_network)
    transports: providers.Aggregate[Transport] = providers.Aggregate(transports_by_scheme(telemetry, network))
    targets: providers.Aggregate[UpstreamTarget] = providers.Aggregate(targets_by_scheme())
    application: providers.Provider[Application] = providers.Factory(asgi_application, signals=signals)
    applications: providers.Provider[Applications] = providers.Factory(Applications, application.provider)
    is_local: providers.Provider[Callable[[str], bool]] = providers.Object(is_local_address)
    hop_token: providers.Provider[bytes] = providers.Singleton(_hop_token)
    request_ids: providers.Provider[RequestIds] = providers.Singleton(new_request_ids)
    ingresses: providers.Aggregate[Ingress] = providers.Aggregate(ingresses_by_table(request_ids, ledger))
    middleware: providers.Aggregate[MiddlewareKind] = providers.Aggregate(middleware_by_kind(clock))
    front: providers.Provider[Callable[[ProxyTarget], ProxyTarget]] = providers.Object(_unobserved)
    listener_tls: providers.Provider[ListenerTls] = providers.Factory(openssl_listener_tls)
    admin: providers.Provider[AdminListener] = providers.Factory(client_admin, counters=counters)
    process: providers.Provider[Callable[[], ProcessLoad]] = providers.Object(process_load)
