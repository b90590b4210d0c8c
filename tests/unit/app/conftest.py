"""Both event loops, each on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.app_kit import World
from support.virtual_loop import VirtualLoop
from trio.testing import MockClock

from tunnel.adapters.memory.link import _Lane
from tunnel.domain.errors import LinkEnd


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture(autouse=True)
def orderly_end_of_memory_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that were closed in order keep what was handed over, though they are aborted afterwards."""
    end_receiver = _Lane._end_receiver

    def first_end_only(self: _Lane, end: LinkEnd, *, even_if_silent: bool = False) -> None:
        if self.receiver_end is None:
            end_receiver(self, end, even_if_silent=even_if_silent)

    monkeypatch.setattr(_Lane, "_end_receiver", first_end_only)


@pytest.fixture
async def world(anyio_backend: tuple[str, dict[str, Any]]) -> AsyncIterator[World]:
    """A world of its own, of which nothing may be left when the test is over."""
    world = World()
    before = _tasks(anyio_backend[0])
    yield world
    assert before == _tasks(anyio_backend[0])
    world.check_nothing_left()


def _tasks(library: str) -> set[object]:
    """Of asyncio; trio's tasks cannot outlive the block that started them."""
    if library != "asyncio":
        return set()
    return {task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())}
