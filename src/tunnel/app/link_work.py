"""What is done with one link while a tunnel is attached to it: reading, writing, and watching the time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import anyio

from tunnel.domain.envelopes import Close
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.mux.multiplexer import ControlOverflow
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory
from tunnel.ports.transport import Link

if TYPE_CHECKING:
    from tunnel.app.tunnel import Tunnel

__all__ = ["TICK_S", "LinkWork", "PeerClosed", "TunnelClosed"]

_logger = logging.getLogger("tunnel.links")

TICK_S: Final = 0.001
"""Shortest sleep: a deadline that rounding keeps a hair away would otherwise be waited for without end."""
_CLOSE_S: Final = 1.0
"""For the last words on a link whose peer may not read."""


class PeerClosed(LinkError):
    """The peer closed the tunnel, not merely the link.

    Args:
        close: What it said.
    """

    def __init__(self, close: Close) -> None:
        super().__init__(LinkEnd.ENDED, close.message or close.code or "closed by the peer")
        self.close = close


class TunnelClosed(LinkError):
    """This side closed the tunnel, not merely the link.

    Args:
        close: What it said.
    """

    def __init__(self, close: Close) -> None:
        super().__init__(LinkEnd.CLOSED, close.message or close.code or "closed by this side")


class LinkWork:
    """The tasks of one link.

    A link that was fenced may still bring frames, and its tasks may run once more before they notice: what they read is
    dropped by the multiplexer, and they take nothing from it.

    Args:
        tunnel: Whose frames are moved.
        link: The link.
        clock: Time.
        signals: Makes what the tasks wait with.
    """

    def __init__(self, tunnel: Tunnel, link: Link, *, clock: Clock, signals: SignalFactory) -> None:
        self._tunnel = tunnel
        self._link = link
        self._clock = clock
        self._writer = signals()
        self._timer = signals()
        self._attachment = 0
        self._sending = False
        """Whether the writer has a frame in hand, which nothing may overtake."""
        self._scope = anyio.CancelScope()
        self._sleeping_until = float("inf")
        self.last_words: Close | None = None
        """With which the tunnel is closed: what is left to do is to send them."""
        self._end: LinkError | None = None

    async def run(self, greet: Callable[[], Awaitable[None]], attach: Callable[[], None]) -> LinkError:
        """Say the last words of the handshake, attach the tunnel, then move frames until the link ends.

        Args:
            greet: Says them.
            attach: Attaches the tunnel; may raise ``LinkError``.

        Returns:
            How the link ended.
        """
        with self._scope:
            async with anyio.create_task_group() as tasks:
                if await self._began(greet, attach):
                    for task in (self._read, self._write, self._watch):
                        tasks.start_soon(self._guarded, task)
        end = self._end or LinkError(LinkEnd.BROKEN, "the link was given up")
        if self.last_words is not None and end.end is not LinkEnd.VIOLATED and not isinstance(end, PeerClosed):
            # Said or not: the tunnel is closed.
            return TunnelClosed(self.last_words)
        return end

    async def _began(self, greet: Callable[[], Awaitable[None]], attach: Callable[[], None]) -> bool:
        try:
            await self._tunnel.running()
            await greet()
            if self._end is not None:
                # Overtaken in the very step in which the greeting was done: too late to be cancelled.
                return False
            attach()
        except LinkError as exc:
            self.abandon(exc)
            return False
        self._attachment = self._tunnel.mux.attachment
        return True

    def abandon(self, end: LinkError) -> None:
        """Stop at once. The first reason counts."""
        if self._end is None:
            self._end = end
        self._scope.cancel()

    def close(self, close: Close) -> None:
        """Say goodbye with the next frame, and stop once that was sent. The first goodbye counts."""
        if self.last_words is None:
            self.last_words = close
            self._tunnel.mux.close(close.code, close.message)
            self._writer.notify()
            self._timer.notify()

    @property
    def peer(self) -> PeerInfo:
        """The far end."""
        return self._link.peer

    def wake_writer(self) -> None:
        """Something may be there to be sent."""
        if self._tunnel.mux.worth_a_frame and not self._sending and self._link.ready:
            self._send_early()
        else:
            self._writer.notify()

    def _send_early(self) -> None:
        """Send a frame now, and leave the rest to the writer, which otherwise runs once everybody has spoken."""
        mux = self._tunnel.mux
        if not self._attachment or mux.attachment != self._attachment or self.last_words is not None:
            self._writer.notify()
            return
        try:
            frame = mux.next_frame(self._clock.now())
        except ControlOverflow:
            # Nobody here can be told; it happens to the writer again, who ends the link.
            self._writer.notify()
            return
        if mux.framed:
            self._tunnel.framed()
        if frame is not None:
            self._link.push(frame)
        if mux.sendable:
            self._writer.notify()

    # -- the tasks

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except LinkError as exc:
            self.abandon(exc)
        except ControlOverflow:
            self.abandon(LinkError(LinkEnd.VIOLATED, "the peer does not acknowledge control"))
        except Exception as exc:
            _logger.exception("a task of a link failed")
            self.abandon(LinkError(LinkEnd.VIOLATED, f"an unforeseen {type(exc).__name__}"))

    async def _read(self) -> None:
        tunnel = self._tunnel
        mux = tunnel.mux
        link = self._link
        clock = self._clock
        attachment = self._attachment
        while mux.attachment == attachment:
            frame = await link.receive()
            received = mux.receive(frame, clock.now(), attachment)
            tunnel.received(received)
            if received.closed is not None:
                raise PeerClosed(received.closed)
            if received.violation is not None:
                self._violated(received.violation)
                return
            if mux.sendable:
                self._writer.notify()
            if mux.deadline < self._sleeping_until:
                self._timer.notify()

    async def _write(self) -> None:
        tunnel = self._tunnel
        mux = tunnel.mux
        link = self._link
        clock = self._clock
        attachment = self._attachment
        while mux.attachment == attachment:
            frame = mux.next_frame(clock.now())
            if mux.framed:
                tunnel.framed()
            if frame is None:
                await self._writer.wait()
                continue
            self._sending = True
            try:
                await link.send(frame)
            except LinkError:
                # The reader comes upon the same end, after what the peer said before it.
                return
            self._sending = False
            if self.last_words is not None and frame.envelopes and type(frame.envelopes[0].payload) is Close:
                raise TunnelClosed(self.last_words)
            await link.gather(self._waiting)

    def _waiting(self) -> float:
        """How many conversations wait for the next frame; infinitely many when that is not to wait."""
        mux = self._tunnel.mux
        return mux.waiting if self.last_words is None and mux.attachment == self._attachment else float("inf")

    async def _watch(self) -> None:
        """Time: acknowledgements that are due, heartbeats, and the patience for last words."""
        mux = self._tunnel.mux
        while mux.attachment == self._attachment:
            now = self._clock.now()
            dead = mux.tick(now)
            if dead is not None:
                raise LinkError(LinkEnd.BROKEN, dead)
            if mux.sendable:
                self._writer.notify()
            if self.last_words is not None:
                await self._clock.sleep(_CLOSE_S)
                raise TunnelClosed(self.last_words)
            self._sleeping_until = mux.deadline
            with anyio.move_on_after(max(TICK_S, self._sleeping_until - now)):
                await self._timer.wait()

    def _violated(self, why: str) -> None:
        # The peer is told why before the link goes; what it answers does not matter any more.
        if self._end is None:
            self._end = LinkError(LinkEnd.VIOLATED, why)
        self.close(Close(ErrorCode.PROTOCOL_ERROR.value, why))
