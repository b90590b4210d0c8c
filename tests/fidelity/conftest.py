"""Every test here runs over each transport: take the fixture ``wire`` and say what either end says and hears."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fidelity_calls import CallWire
from fidelity_settings import SCHEMES
from fidelity_wire import Wire


@pytest.fixture(scope="session", params=SCHEMES)
def running_wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with Wire(request.param) as wire:
        yield wire


@pytest.fixture
def wire(running_wire: Wire) -> Iterator[Wire]:
    with running_wire.scene():
        yield running_wire


@pytest.fixture(scope="module", params=SCHEMES)
def running_call_wire(request: pytest.FixtureRequest) -> Iterator[CallWire]:
    with CallWire(request.param) as wire:
        yield wire


@pytest.fixture
def call_wire(running_call_wire: CallWire) -> Iterator[CallWire]:
    """What ``wire`` is to a module about gRPC."""
    with running_call_wire.scene():
        yield running_call_wire
