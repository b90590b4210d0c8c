"""Entering and leaving while something else goes wrong."""

from __future__ import annotations

import anyio
import pytest
from support.app_kit import World

from tunnel.app.background import Background

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("side", ["server", "client"])
async def test_entering_in_a_cancelled_scope_is_cancelled_and_leaves_nothing(world: World, side: str) -> None:
    subject = world.server() if side == "server" else world.client()
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with subject:
            pytest.fail("entered though cancelled")
    assert scope.cancelled_caught


async def test_failure_of_a_task_cancels_the_body_and_is_raised_on_leaving() -> None:
    async def fail() -> None:
        raise KeyError("background")

    with pytest.RaisesGroup(pytest.RaisesExc(KeyError), flatten_subgroups=True):
        async with Background() as background:
            background.tasks.start_soon(fail)
            await anyio.sleep_forever()


async def test_exception_of_the_body_is_not_wrapped() -> None:
    with pytest.raises(KeyError):  # noqa: PT012
        async with Background() as background:
            background.tasks.start_soon(anyio.sleep_forever)
            raise KeyError("body")


async def test_cancelled_in_the_moment_of_its_start_it_is_not_entered() -> None:
    """The wait for the start is over, so nothing but asking tells that there will be nobody to start tasks in."""
    background = Background()

    class Cancelling:
        def __init__(self) -> None:
            self._event = anyio.Event()

        def set(self) -> None:
            self._event.set()
            scope.cancel()

        async def wait(self) -> None:
            with anyio.CancelScope(shield=True):
                await self._event.wait()

    background._started = Cancelling()  # type: ignore[assignment]
    entered = False
    with anyio.CancelScope() as scope:
        async with background:
            entered = True
    assert scope.cancelled_caught
    assert not entered
