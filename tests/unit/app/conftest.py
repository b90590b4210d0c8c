"""Both event loops, each on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.app_kit import World
from support.virtual_loop import VirtualLoop
from trio.testing import MockClock


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}


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
