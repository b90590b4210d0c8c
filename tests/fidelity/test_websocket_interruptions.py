"""A conversation that is interrupted at each of its points, by either end or in the middle, leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fidelity_sockets import RawSocket
from fidelity_wire import Wire
from support.held import held
from websocket_bytes import BINARY, CLOSE, TEXT, accepting, close, frame, hear, key_of, opening

MIB = 1 << 20

POINTS = [
    "connected",
    "asked",
    "heard",
    "accepted",
    "told",
    "said",
    "answered",
    "within a message",
    "within an answer",
    "stalled",
    "closing",
    "closed by the upstream",
]
"""Of a conversation, in order."""


class Ends:
    """Both ends of a conversation that gets as far as it is told to."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.visitor = wire.visitor()
        self.upstream: RawSocket | None = None

    def reach(self, point: str) -> None:
        for each, step in zip(POINTS, self._steps(), strict=False):
            step()
            if each == point:
                return

    def _steps(self) -> Iterator[Callable[[], Any]]:
        yield lambda: None
        yield lambda: self.visitor.say(opening())
        yield self._hear
        upstream = self.upstream
        assert upstream is not None
        yield lambda: upstream.say(accepting(self.key))
        yield self.visitor.head
        yield lambda: self.visitor.say(frame(TEXT, b"said", masked=True))
        yield lambda: (hear(upstream, masked=True), upstream.say(frame(TEXT, b"answer")), hear(self.visitor))
        yield lambda: self.visitor.say(frame(BINARY, bytes(MIB), masked=True)[: 1 << 17])
        yield lambda: upstream.say(frame(BINARY, bytes(MIB))[: 1 << 17])
        yield lambda: upstream.say_until_stuck(bytes(1 << 16), most_bytes=MIB - (1 << 17))
        yield lambda: self.visitor.say_until_stuck(bytes(1 << 16), most_bytes=1 << 18)
        yield lambda: upstream.say_what_is_taken(frame(CLOSE, close(1000)))

    def _hear(self) -> None:
        self.upstream = self.wire.upstream()
        self.key = key_of(self.upstream.head())


def reset_visitor(ends: Ends) -> None:
    ends.visitor.reset()


def close_visitor(ends: Ends) -> None:
    ends.visitor.close()


def say_nonsense(ends: Ends) -> None:
    ends.visitor.say_what_is_taken(b"\xff" * 64)
    ends.visitor.close()


def say_close(ends: Ends) -> None:
    ends.visitor.say_what_is_taken(frame(CLOSE, close(1000), masked=True))
    ends.visitor.close()


def reset_upstream(ends: Ends) -> None:
    if ends.upstream is not None:
        ends.upstream.reset()
    ends.visitor.close()


def close_upstream(ends: Ends) -> None:
    if ends.upstream is not None:
        ends.upstream.say_what_is_taken(frame(CLOSE, close(1000)))
        ends.upstream.close()
    ends.visitor.close()


def of_visitors(wire: Wire) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks(wire._loop) if "WebSocketVisitor" in task.get_coro().__qualname__]  # type: ignore[union-attr]


def cancel(ends: Ends) -> None:
    """Whoever runs the conversation gives it up."""

    async def cancel_all() -> None:
        for task in of_visitors(ends.wire):
            task.cancel()

    ends.wire.within(cancel_all())
    if not of_visitors(ends.wire):
        ends.visitor.close()


async def nothing_left(wire: Wire) -> None:
    """Return when no task, session or connection of a conversation is left."""
    entrance: Any = wire._server._entrances._current["ingress.http"]
    state = entrance._ingress._server.server_state
    async with asyncio.timeout(5):
        while (  # noqa: ASYNC110
            of_visitors(wire)
            or state.connections
            or any(client.in_flight for client in wire._server.clients().clients)
            or await held(wire._server)
            or any("_upload" in task.get_coro().__qualname__ for task in asyncio.all_tasks(wire._loop))  # type: ignore[union-attr]
        ):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    "interrupt",
    [reset_visitor, close_visitor, say_nonsense, say_close, reset_upstream, close_upstream, cancel],
)
def test_interrupted_conversation_leaves_nothing_behind(
    wire: Wire, point: str, interrupt: Callable[[Ends], None]
) -> None:
    ends = Ends(wire)
    ends.reach(point)

    interrupt(ends)

    if interrupt is say_close and ends.upstream is not None:
        ends.upstream.say_what_is_taken(frame(CLOSE, close(1000)))
        ends.upstream.close()
    elif interrupt not in (reset_upstream, close_upstream) and ends.upstream is not None:
        if point == "closed by the upstream":
            with contextlib.suppress(OSError):
                ends.upstream.half_close()  # it has said close, so it is waited for
        ends.upstream.ended()
    if point != "connected":
        ends.visitor.close()
    wire.within(nothing_left(wire))
