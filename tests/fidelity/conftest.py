"""Every test here runs over each transport: take the fixture ``wire`` and say what either end says and hears."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
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
