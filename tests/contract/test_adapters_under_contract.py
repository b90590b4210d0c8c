"""Every adapter in the tree, those that stand for others in tests included, is made by a harness."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tunnel.adapters
import tunnel.domain.balancing
import tunnel.testing
from tunnel.domain.balancing.strategy import Strategy
from tunnel.ports.access_log import AccessLog
from tunnel.ports.admin import AdminListener
from tunnel.ports.authenticator import Authenticator
from tunnel.ports.clock import Clock
from tunnel.ports.config_source import ConfigSource
from tunnel.ports.ingress import Ingress
from tunnel.ports.middleware import Middleware
from tunnel.ports.signal import Signal
from tunnel.ports.target import UpstreamTarget
from tunnel.ports.telemetry import Telemetry
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Listener, Transport

PORTS: tuple[Any, ...] = (
    AccessLog,
    AdminListener,
    Authenticator,
    Clock,
    ConfigSource,
    Ingress,
    ListenerTls,
    Listener,
    Middleware,
    Signal,
    Strategy,
    Telemetry,
    Transport,
    UpstreamTarget,
)

HARNESSES = "".join(
    path.read_text()
    for path in (*Path(__file__).parent.glob("test_*.py"), Path(__file__).parents[1] / "support/memory_harness.py")
)


def adapters(package: ModuleType) -> Iterator[str]:
    """Names of the public classes in a package that fill a port."""
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for name, made in vars(import_module(info.name)).items():
            of_the_module = inspect.isclass(made) and made.__module__ == info.name and not name.startswith("_")
            if of_the_module and not getattr(made, "_is_protocol", False) and set(PORTS) & set(made.__mro__):
                yield name


@pytest.mark.parametrize(
    "name", [*adapters(tunnel.adapters), *adapters(tunnel.domain.balancing), *adapters(tunnel.testing)]
)
def test_adapter_is_under_the_contract_of_its_port(name: str) -> None:
    assert re.search(rf"\b{name}\b", HARNESSES)
