"""One end's connection of a WebSocket conversation, after its handshake: what both kinds of ends have in common.

What arrives waits to be taken, up to a bound beyond which nothing is read. Pings are answered here: they tell of this
connection, and the other end of the conversation has its own. Of several that come together the last is answered, which
answers all. Close frames of the side that was not asked for the connection are answered here too. A connection without
traffic costs no timer; TCP keepalive finds out that a peer is gone.

Source: RFC 6455 sections 5.5 and 7.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import abstractmethod
from typing import Final

from tunnel.adapters.http.websocket_reader import WebSocketReader
from tunnel.adapters.http.websocket_writer import WebSocketWriter
from tunnel.domain.envelopes import WebSocketFrame, WebSocketOpcode
from tunnel.domain.limits import COST_OVERHEAD_BYTES, KIB
from tunnel.domain.websocket_close import close_frame

__all__ = ["CLOSING_S", "WebSocketHop", "keep_alive", "wake"]

CLOSING_S: Final = 10.0
"""How long one end may take to answer a close frame; as long as ``websockets`` gives it."""

_HIGH_BYTES: Final = 64 * KIB
"""Cost of what waits to be taken above which reading pauses; what one read brings may come on top."""

_LOW_BYTES: Final = 16 * KIB
"""At or below this, reading resumes."""

_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the first probe (``TCP_KEEPALIVE`` on macOS), between probes, and probes without answer
after which the peer is gone: two minutes in all. Well below the five minutes after which NATs forget connections."""

_CLOSE: Final = WebSocketOpcode.CLOSE.value
_PING: Final = WebSocketOpcode.PING.value
_PONG: Final = WebSocketOpcode.PONG.value


def keep_alive(transport: asyncio.Transport) -> None:
    """Have the operating system find out when the peer of a silent connection is gone. Nothing for socket files."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # reset in this moment, which its protocol is told of soon
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


class WebSocketHop(asyncio.Protocol):
    """Reads and writes the frames of one connection.

    Args:
        transport: The connection, which this becomes the protocol of.
        asked: Whether the other side asked for this connection: it masks then, and we do not.
        max_message_bytes: Largest message that is taken.

    Attributes:
        close_received: The other side said close, or what it must not say; nothing of it is taken any more.
        close_payload: What it said with close.
        close_sent: We did; nothing is written any more.
        lost: The connection is gone.
    """

    __slots__ = (
        "_at",
        "_discarding",
        "_drainer",
        "_hearing_on",
        "_inbox",
        "_inbox_bytes",
        "_interrupted",
        "_loop",
        "_reader",
        "_reading_paused",
        "_taker",
        "_timer",
        "_transport",
        "_writer",
        "_writing_paused",
        "close_payload",
        "close_received",
        "close_sent",
        "lost",
    )

    def __init__(self, transport: asyncio.Transport, *, asked: bool, max_message_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._reader = WebSocketReader(masked=asked, max_message_bytes=max_message_bytes)
        self._writer = WebSocketWriter(masked=not asked)
        self._inbox: list[WebSocketFrame] = []
        self._at = 0
        self._inbox_bytes = 0
        self._taker: asyncio.Future[None] | None = None
        self._drainer: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._hearing_on = False
        self._writing_paused = False
        self._discarding = False
        self._interrupted = False
        self.close_payload = b""
        self.close_received = False
        self.close_sent = False
        self.lost = False

    # -- what arrives

    @abstractmethod
    def broke(self) -> None:
        """The conversation cannot go on: the connection was lost, or failed for a violation, without a close frame."""

    async def take(self) -> WebSocketFrame | None:
        """The next data frame or the close frame, in order.

        None when the connection broke and nothing is left, and when waiting was interrupted.

        Cancelling loses nothing. One caller at a time.
        """
        while self._at == len(self._inbox):
            if self.lost and self._reader.unread:
                self._hear(b"")
                continue
            if self.lost or self._interrupted or self._reader.violation is not None:
                return None
            self._taker = self._loop.create_future()
            try:
                await self._taker
            finally:
                self._taker = None
        inbox = self._inbox
        frame = inbox[self._at]
        self._at += 1
        if self._at == len(inbox):
            self._at = 0
            inbox.clear()
        self._inbox_bytes -= len(frame.payload) + COST_OVERHEAD_BYTES
        if self._reading_paused and self._inbox_bytes <= _LOW_BYTES:
            self._read_on()
        return frame

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if not self.close_received:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        """Read some of what has arrived, ``data`` last; the rest when others have had a turn, and there is room."""
        pinged = None
        for frame in self._reader.feed(data):
            if frame.opcode == _PING:
                pinged = frame.payload
                continue
            if frame.opcode == _CLOSE:
                self.close_received = True
                self.close_payload = frame.payload
                self._closed_by_peer()
            if not self._discarding:
                self._put(frame)
        if pinged is not None:
            self._send(_PONG, pinged)
        violation = self._reader.violation
        if violation is not None and not self.close_received:
            self.close_received = True
            self.say_close(close_frame(*violation))
            wake(self._taker)
            self.broke()
        full = self._inbox_bytes > _HIGH_BYTES
        if not self.close_received and (full or self._reader.unread):
            if not self._reading_paused and not self.lost:
                self._reading_paused = True
                self._transport.pause_reading()
            if not full:
                self._read_on()
        elif self._reading_paused and (self.close_received or self._inbox_bytes <= _LOW_BYTES):
            self._read_on()

    def _put(self, frame: WebSocketFrame) -> None:
        """Let ``frame`` be taken, after what came before it."""
        self._inbox.append(frame)
        self._inbox_bytes += len(frame.payload) + COST_OVERHEAD_BYTES
        wake(self._taker)

    @abstractmethod
    def _closed_by_peer(self) -> None:
        """A close frame arrived, and can be taken after what came before it."""

    def _read_on(self) -> None:
        """There is room: for the rest of what has arrived, and then for more."""
        if self._reader.unread:
            if not self._hearing_on:
                self._hearing_on = True
                self._loop.call_soon(self._hear_on)
            return
        self._reading_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _hear_on(self) -> None:
        self._hearing_on = False
        if not self.close_received:
            self._hear(b"")

    # -- what is written

    async def say(self, frame: WebSocketFrame) -> None:
        """Write a frame of the conversation; waits while the other side is not ready for more. Dropped after a close.

        Raises:
            SessionError: ``protocol_error``: the frame does not belong here.
        """
        data = self._writer.write(frame)
        if frame.opcode == _CLOSE:
            self.say_close(frame)
            return
        while self._writing_paused and not (self.lost or self._interrupted):
            self._drainer = self._loop.create_future()
            try:
                await self._drainer
            finally:
                self._drainer = None
        if not data:
            return
        if self.close_sent or self.lost or self._transport.is_closing():
            # Who goes on, never waiting, would never let the event loop tell that the conversation is over.
            await asyncio.sleep(0)
        else:
            self._transport.write(data)

    def say_close(self, frame: WebSocketFrame) -> None:
        """Write a close frame, unless one was written."""
        if not self.close_sent:
            self._send(_CLOSE, frame.payload)
            self.close_sent = True

    def _send(self, opcode: int, payload: bytes) -> None:
        """Write a control frame at once. Pongs to a visitor that reads nothing are dropped: it asks for them."""
        if not self.close_sent and not self.lost and not (opcode == _PONG and self._writing_paused):
            self._transport.write(self._writer.frame(opcode, payload))

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writing_paused = False
        wake(self._drainer)

    # -- the end

    def abort(self) -> None:
        """Close at once, without a word: abnormally, as the other side sees it."""
        self._transport.abort()

    def interrupt(self) -> None:
        """Have nobody wait here any more."""
        self._interrupted = True
        wake(self._taker)
        wake(self._drainer)

    def _linger(self) -> None:
        """Nothing of what comes is needed: drop it, and wait no longer than ``CLOSING_S`` for the other side's end."""
        self._discarding = True
        self._inbox.clear()
        self._at = self._inbox_bytes = 0
        if self._reading_paused:
            self._read_on()
        self._expire(CLOSING_S)

    def _expire(self, delay_s: float) -> None:
        """Have it ``overdue`` after ``delay_s`` seconds."""
        if self._timer is None and not self.lost:
            self._timer = self._loop.call_later(delay_s, self.overdue)

    def overdue(self) -> None:
        """The other side took too long to close."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, once."""
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake(self._taker)
        wake(self._drainer)
        if not self.close_received:
            self.broke()


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Wake who waits, unless that was done or is not wanted any more."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
