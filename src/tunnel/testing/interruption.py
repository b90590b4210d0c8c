"""Cancelling a call at each point where it waits.

A coroutine waits where it suspends, and the suspensions can be counted. So a call is made again and again, cancelled at
its first suspension, at its second, until it ends before it is cancelled: then every point was tried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import anyio

from tunnel.domain.errors import TunnelError

__all__ = ["Interrupted", "interrupt"]

PATIENCE_S: Final = 5.0
"""A call that was cancelled must end at once; the rest is for a busy machine."""

T = TypeVar("T")


@dataclass
class Interrupted(Generic[T]):
    """What became of a call that was to be cancelled.

    Args:
        result: What it returned, in a list, if it did.
        error: What it raised instead; None when it returned or was cancelled.
        reached: Whether it suspended often enough to be cancelled.
    """

    result: list[T] = field(default_factory=list)
    error: TunnelError | None = None
    reached: bool = False


async def interrupt(
    call: Callable[[], Awaitable[T]], *, at: int, give_up: Callable[[], object] = lambda: None
) -> Interrupted[T]:
    """Make a call and cancel it at one of its suspensions.

    Args:
        call: The call.
        at: Which suspension, from 1; if it has fewer, it is not cancelled.
        give_up: Ends a call that is deaf, called before the failure is raised.

    Raises:
        AssertionError: The call goes on although it was cancelled, or never ends.
    """
    outcome: Interrupted[T] = Interrupted()
    scope = anyio.CancelScope()
    ended = anyio.Event()

    def suspended(number: int) -> None:
        if number == at:
            outcome.reached = True
            scope.cancel()

    async def make_call() -> None:
        try:
            with scope:
                outcome.result.append(await _Counted(call, suspended))
        except TunnelError as exc:
            outcome.error = exc
        finally:
            ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make_call)
        with anyio.move_on_after(PATIENCE_S):
            await ended.wait()
        if not ended.is_set():
            give_up()
            tasks.cancel_scope.cancel()
            raise AssertionError(f"still runs after it was cancelled at suspension {at}")
    return outcome


class _Counted(Generic[T]):
    """Awaits ``call`` and tells of each suspension just before it."""

    def __init__(self, call: Callable[[], Awaitable[T]], suspended: Callable[[int], None]) -> None:
        self._call = call
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = self._call().__await__()
        number = 0
        try:
            waits_for = next(steps)
            while True:
                number += 1
                self._suspended(number)
                try:
                    sent = yield waits_for
                except BaseException as exc:  # noqa: BLE001
                    # Whatever the event loop throws, cancellation above all, belongs to the call. No variable keeps it:
                    # with its traceback it would keep all that the call held.
                    waits_for = steps.throw(exc)
                else:
                    waits_for = steps.send(sent) if hasattr(steps, "send") else next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
