"""Whatever fills a port, what stands for others in tests included, is made by a harness.

Classes are found by what they inherit from, in the package, the benchmarks, the examples and the tests, and the modules
of harnesses have to name them. The line is drawn here:

- `ProxyTarget`, `Stream`, `Link` and `LinkService` have no contract of their own: targets of others, the conversations
  they are given and what a listener serves are seen through the contracts of those that make or use them.
- What is private to a module is seen through what it is made by. So is a class within a test, which is nobody else's:
  a spy that counts the calls of that test, or fails as nothing under contract would.
- Mutants break a rule each on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunnel.domain.balancing.strategy import Strategy
from tunnel.ports.access_log import AccessLog
from tunnel.ports.admin import AdminListener
from tunnel.ports.application import Application
from tunnel.ports.authenticator import Authenticator
from tunnel.ports.clock import Clock
from tunnel.ports.config_source import ConfigSource
from tunnel.ports.ingress import Ingress
from tunnel.ports.ingress_links import IngressLinks
from tunnel.ports.middleware import Middleware, MiddlewareKind
from tunnel.ports.signal import Signal
from tunnel.ports.target import UpstreamTarget
from tunnel.ports.telemetry import Telemetry
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Listener, Transport

PORTS: tuple[Any, ...] = (
    AccessLog,
    AdminListener,
    Application,
    Authenticator,
    Clock,
    ConfigSource,
    Ingress,
    IngressLinks,
    ListenerTls,
    Listener,
    Middleware,
    MiddlewareKind,
    Signal,
    Strategy,
    Telemetry,
    Transport,
    UpstreamTarget,
)

ROOT = Path(__file__).parents[2]
PLACES = ("src", "bench", "examples", "tests")
MUTANTS = ROOT / "tests/contract/mutants"
CLASS = re.compile(r"^class (\w+)\(([^)]*)\):", re.MULTILINE)
NAMES = re.compile(r"(?<![.\w])(?:\w+\.)*(\w+)")

HARNESSES = "".join(
    path.read_text()
    for path in (
        *Path(__file__).parent.glob("test_*.py"),
        *ROOT.glob("examples/*/tests/test_*.py"),
        ROOT / "tests/support/memory_harness.py",
        ROOT / "tests/support/ingress_listeners.py",
    )
    if path != Path(__file__)
)


def classes(texts: Iterable[str]) -> dict[str, set[str]]:
    """What each class of a module's own inherits from, by name."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for name, bases in CLASS.findall(text):
            found.setdefault(name, set()).update(NAMES.findall(bases))
    return found


def adapters(inherits: Mapping[str, set[str]], ports: Iterable[str]) -> list[str]:
    """Names of the public classes that fill a port, by themselves or as others do that they inherit from."""
    filling = set(ports)
    while more := {name for name, bases in inherits.items() if bases & filling} - filling:
        filling |= more
    return sorted(name for name in filling.difference(ports) if not name.startswith("_"))


def sources() -> Iterable[str]:
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")):
            if MUTANTS not in path.parents:
                yield path.read_text()


@pytest.mark.parametrize("name", adapters(classes(sources()), [port.__name__ for port in PORTS]))
def test_adapter_is_under_the_contract_of_its_port(name: str) -> None:
    assert re.search(rf"\b{name}\b", HARNESSES)


def test_new_adapter_is_found_wherever_it_is() -> None:
    found = classes(
        [
            "class Tower(Clock):\n    pass\n",
            "class Leaning(Tower, Generic[T]):\n    pass\nclass _Own(Clock):\n    pass\n",
            "class Paper(\n    ports.ConfigSource[str],\n):\n    pass\nclass Clockwork(Machine):\n    pass\n",
            "def test_one():\n    class Local(Clock):\n        pass\n",
        ]
    )
    assert adapters(found, ["Clock", "ConfigSource"]) == ["Leaning", "Paper", "Tower"]
