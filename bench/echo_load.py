"""Small messages that come back, over many connections: WebSocket, or bytes over TCP.

1. All connections are opened, and get as far as a first message can be sent.
2. Each sends a message, waits until it is back, and sends the next, until time is up: one is outstanding on each.

What is sent is made beforehand, and what comes back compared as a whole, so that generating costs little beside a read
and a write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import uvloop

from bench.accounting import Meter
from bench.echo_upstream import ECHO
from bench.lanes import Entrance, Lane
from bench.processes import Failed
from bench.samples import Result, percentile
from bench.websocket_frames import ACCEPTED, frame, handshake

__all__ = ["Conversation", "run_echoes", "websocket_conversation"]

_OPEN_S: Final = 20.0
_TIMEOUT_S: Final = 10.0
_MS_PER_S: Final = 1000
_PAYLOAD: Final = (b"0123456789" * 10)[:100]


@dataclass(frozen=True)
class Conversation:
    """What is said over each connection.

    Args:
        opening: Sent first.
        accepted: How the answer to it begins, which ends with an empty line; empty when there is none.
        message: Sent again and again.
        echo: What comes back for each.
    """

    opening: bytes
    accepted: bytes
    message: bytes
    echo: bytes


def websocket_conversation(entrance: Entrance) -> Conversation:
    """Messages of 100 bytes, one frame each."""
    return Conversation(
        handshake(entrance), ACCEPTED, message=frame(_PAYLOAD, masked=True), echo=frame(_PAYLOAD, masked=False)
    )


def tcp_conversation(entrance: Entrance) -> Conversation:
    """100 bytes there and back."""
    return Conversation(ECHO, b"", message=_PAYLOAD, echo=_PAYLOAD)


_CONVERSATIONS: Final[dict[str, Callable[[Entrance], Conversation]]] = {
    "websockets": websocket_conversation,
    "bytes": tcp_conversation,
}


class _Talker(asyncio.Protocol):
    def __init__(self, conversation: Conversation, latencies_s: list[float]) -> None:
        self._conversation = conversation
        self._latencies_s = latencies_s
        self._received = b""
        self._sent_at = 0.0
        self._until = 0.0
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[bool] = loop.create_future()
        """Whether the connection was closed, or something else came back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._conversation.opening)
        if not self._conversation.accepted:
            self.opened.set_result(None)

    def talk(self, until: float) -> None:
        """Begin, and go on until ``time.perf_counter`` is there. Without effect on a connection that has ended."""
        self._until = until
        if not self.ended.done():
            self._send()

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        if data == self._conversation.echo:
            self._received = b""
            now = time.perf_counter()
            self._latencies_s.append(now - self._sent_at)
            if now < self._until:
                self._send()
            else:
                self._end(failed=False)
        elif not self.opened.done():
            self._received = data
            if data.endswith(b"\r\n\r\n"):
                self._received = b""
                self._open(accepted=data.startswith(self._conversation.accepted))
        elif self._conversation.echo.startswith(data):
            self._received = data
        else:
            self._end(failed=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open(accepted=False)
        self._end(failed=True)

    def abort(self) -> None:
        """Close the connection at once, whatever it has come to."""
        self._transport.abort()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._conversation.message)

    def _open(self, *, accepted: bool) -> None:
        if not self.opened.done():
            if accepted:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(Failed("a connection was not accepted"))

    def _end(self, *, failed: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(failed)
            self._transport.close()


def run_echoes(lane: Lane, meter: Meter, *, entrance: str, connections: int, seconds: float) -> Result:
    """Exchange messages for ``seconds`` over ``connections``. Counts those that came back.

    Args:
        lane: Leads to the upstream.
        meter: Measures while messages are exchanged.
        entrance: ``websockets`` or ``bytes``.
        connections: Each has one message outstanding.
        seconds: For exchanging, after all are open.

    Raises:
        Failed: A connection cannot be opened.
    """
    where = lane.entrances[entrance]
    return uvloop.run(_run(where, _CONVERSATIONS[entrance](where), meter, connections=connections, seconds=seconds))


async def _run(
    entrance: Entrance, conversation: Conversation, meter: Meter, *, connections: int, seconds: float
) -> Result:
    latencies_s: list[float] = []
    talkers: list[_Talker] = []
    try:
        await _open_all(talkers, conversation, latencies_s, entrance, connections=connections)
        with meter:
            until = time.perf_counter() + seconds
            for talker in talkers:
                talker.talk(until)
            ended, late = await asyncio.wait([talker.ended for talker in talkers], timeout=seconds + _TIMEOUT_S)
    finally:
        # One that was refused, or is late, is open still, and its event loop is closed next.
        for talker in talkers:
            talker.abort()
    return Result(
        done=len(latencies_s),
        elapsed_s=meter.elapsed_s,
        p50_ms=percentile(latencies_s, 50) * _MS_PER_S,
        p99_ms=percentile(latencies_s, 99) * _MS_PER_S,
        failed=len(late) + sum(future.result() for future in ended),
    )


async def _open_all(
    talkers: list[_Talker],
    conversation: Conversation,
    latencies_s: list[float],
    entrance: Entrance,
    *,
    connections: int,
) -> None:
    """Open connections one after another; each is in ``talkers`` as soon as there is something to close."""
    host, _, port = entrance.address.rpartition(":")
    try:
        for _ in range(connections):
            _, talker = await asyncio.get_running_loop().create_connection(
                lambda: _Talker(conversation, latencies_s), host, int(port)
            )
            talkers.append(talker)
            await asyncio.wait_for(talker.opened, _OPEN_S)
    except (OSError, TimeoutError) as exc:
        raise Failed(f"{entrance.address}: {exc!r}") from exc
