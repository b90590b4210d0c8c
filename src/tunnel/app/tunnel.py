"""One end of a tunnel at work: its multiplexer, the link it is attached to, and the conversations inside."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from tunnel.app.session_stream import SessionStream
from tunnel.app.session_workers import SessionWorkers
from tunnel.domain.envelopes import Close, Opening
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, SendingStopped, SessionError
from tunnel.domain.mux.multiplexer import ControlOverflow, Multiplexer, TunnelMessage
from tunnel.domain.mux.session import Session
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import ProxyTarget
from tunnel.ports.telemetry import SessionFailed, Telemetry
from tunnel.ports.transport import Link

__all__ = ["Tunnel", "TunnelClosed"]

_logger = logging.getLogger("tunnel.sessions")

_TICK_S = 0.001
"""Shortest sleep: a deadline that rounding keeps a hair away would otherwise be waited for without end."""
_CLOSE_S = 1.0
"""For the last words on a link whose peer may not read."""


class TunnelClosed(Exception):
    """The peer closed the tunnel.

    Args:
        close: What it said.
    """

    def __init__(self, close: Close) -> None:
        super().__init__(close)
        self.close = close


class Tunnel:
    """Moves frames between a multiplexer and a link, and runs what the peer opens.

    Args:
        mux: The multiplexer.
        target: Handles the sessions that the peer opens; None when the multiplexer accepts none.
        tasks: Where their handlers run; outlives the links.
        clock: Time.
        signals: Makes what tasks wait with.
        telemetry: Told of failed sessions.
        on_message: Called with the tunnel's own messages.
        on_go_away: Called when the peer announces that it takes no more sessions.
        on_pong: Called when the peer answered a ping; None for nobody.
    """

    def __init__(
        self,
        *,
        mux: Multiplexer,
        target: ProxyTarget | None,
        tasks: TaskGroup,
        clock: Clock,
        signals: SignalFactory,
        telemetry: Telemetry,
        on_message: Callable[[TunnelMessage], None],
        on_go_away: Callable[[], None],
        on_pong: Callable[[], None] | None = None,
    ) -> None:
        self.mux = mux
        self._target = target
        self._workers = SessionWorkers(tasks, self._handle, signals)
        self._clock = clock
        self._telemetry = telemetry
        self._on_message = on_message
        self._on_go_away = on_go_away
        self._on_pong = on_pong
        self._signals = signals
        self._writer = signals()
        self._timer = signals()
        self._idle = anyio.Event()
        self._draining = False
        self._sleeping_until = float("inf")
        self._last_words: Close | None = None
        self._link_scope: anyio.CancelScope | None = None
        self._failure: Exception | None = None
        self._over = anyio.Event()

    # -- sessions of our own

    def open(self, head: Opening) -> SessionStream:
        """Open a session; it goes out with the next frame.

        Args:
            head: Of a cost of at most ``mux.opening_cost``.

        Raises:
            SessionError: ``refused`` or ``overloaded``: nothing was sent.
        """
        session = self.mux.open(head, self._clock.now())
        stream = self._stream(session)
        self._writer.notify()
        return stream

    # -- the life of a link

    async def carry(self, link: Link) -> None:
        """Move frames until the link ends.

        The link is left to the caller to close. Cancelling this ends the moving at once, without last words.

        Raises:
            LinkError: The link ended, or a peer's mistake ended it (``VIOLATED``); ``CLOSED`` after ``close``.
            TunnelClosed: The peer closed the tunnel.
        """
        self._failure = None
        with anyio.CancelScope() as scope:
            self._link_scope = scope
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._guarded, self._read, link)
                tasks.start_soon(self._guarded, self._write, link)
                tasks.start_soon(self._guarded, self._watch, link)
        self._link_scope = None
        if self._failure is not None:
            raise self._failure

    def close(self, code: str, message: str = "") -> None:
        """Say goodbye with the next frame; ``carry`` then ends. What is still running is cut off."""
        if self._last_words is None:
            self._last_words = Close(code, message)
            self.mux.close(code, message)
            self._writer.notify()
            self._timer.notify()

    def go_away(self, code: str) -> None:
        """Take and open no more sessions; those there are finish."""
        self.mux.go_away(code)
        self._writer.notify()

    def say(self, message: TunnelMessage) -> None:
        """Send a message of the tunnel's own."""
        self.mux.send(message)
        self._writer.notify()

    def ping(self) -> None:
        """Ask the peer for a sign of life now."""
        self.mux.ping(self._clock.now())
        self._writer.notify()

    async def drained(self) -> None:
        """Return once no session is left and the peer knows all that was said, or the tunnel is over."""
        self._draining = True
        while not self.mux.drained and not self._over.is_set():
            await self._idle.wait()

    def end(self, reason: str) -> None:
        """The tunnel is over: every session ends, once, and every handler is told."""
        for session in self.mux.end(reason):
            self._tell(session)
        self._over.set()
        self._idle.set()
        self._abandon(LinkError(LinkEnd.CLOSED, reason))

    async def ended(self) -> None:
        """Return once the tunnel is over."""
        await self._over.wait()

    # -- tasks of a link

    async def _guarded(self, task: Callable[[Link], object], link: Link) -> None:
        try:
            await task(link)  # type: ignore[misc]  # the three below
        except (LinkError, TunnelClosed) as exc:
            self._abandon(exc)
        except ControlOverflow:
            self._abandon(LinkError(LinkEnd.VIOLATED, "the peer does not acknowledge control"))
        except Exception as exc:
            _logger.exception("a task of a link failed")
            self._abandon(LinkError(LinkEnd.VIOLATED, f"an unforeseen {type(exc).__name__}"))

    def _abandon(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        if self._link_scope is not None:
            self._link_scope.cancel()

    async def _read(self, link: Link) -> None:
        mux = self.mux
        clock = self._clock
        while True:
            frame = await link.receive()
            received = mux.receive(frame, clock.now())
            for session in received.changed:
                self._tell(session)
            for session in received.opened:
                self._start(session)
            for message in received.messages:
                self._on_message(message)
            if received.closed is not None:
                raise TunnelClosed(received.closed)
            if received.violation is not None:
                self._violated(received.violation)
                return
            if received.going_away:
                self._on_go_away()
            if received.pong and self._on_pong is not None:
                self._on_pong()
            if mux.sendable:
                self._writer.notify()
            self._finished()
            if mux.deadline < self._sleeping_until:
                self._timer.notify()

    async def _write(self, link: Link) -> None:
        mux = self.mux
        clock = self._clock
        while True:
            frame = mux.next_frame(clock.now())
            if mux.framed:
                for session in mux.framed:
                    stream = session.owner
                    if isinstance(stream, SessionStream):
                        stream.framed()
                mux.framed.clear()
            if frame is None:
                await self._writer.wait()
                continue
            try:
                await link.send(frame)
            except LinkError:
                # The reader comes upon the same end, after what the peer said before it.
                return
            if self._last_words is not None and frame.envelopes and type(frame.envelopes[0].payload) is Close:
                raise LinkError(LinkEnd.CLOSED, self._last_words.message or self._last_words.code)

    async def _watch(self, link: Link) -> None:
        """Time: acknowledgements that are due, heartbeats, and the patience for last words."""
        while True:
            now = self._clock.now()
            dead = self.mux.tick(now)
            if dead is not None:
                raise LinkError(LinkEnd.BROKEN, dead)
            if self.mux.sendable:
                self._writer.notify()
            if self._last_words is not None:
                await self._clock.sleep(_CLOSE_S)
                raise LinkError(LinkEnd.CLOSED, self._last_words.message or self._last_words.code)
            self._sleeping_until = self.mux.deadline
            with anyio.move_on_after(max(_TICK_S, self._sleeping_until - now)):
                await self._timer.wait()

    def _violated(self, why: str) -> None:
        # The peer is told why before the link goes; what it answers does not matter any more.
        self._failure = self._failure or LinkError(LinkEnd.VIOLATED, why)
        self.close(ErrorCode.PROTOCOL_ERROR.value, why)

    # -- sessions of the peer's

    def _stream(self, session: Session) -> SessionStream:
        return SessionStream(
            session,
            clock=self._clock,
            signals=self._signals,
            wake_writer=self._writer.notify,
            on_finished=self._finished,
        )

    def _finished(self) -> None:
        if self._draining and self.mux.drained:
            idle, self._idle = self._idle, anyio.Event()
            idle.set()

    def _tell(self, session: Session) -> None:
        stream = session.owner
        if isinstance(stream, SessionStream):
            stream.changed()

    def _start(self, session: Session) -> None:
        stream = self._stream(session)
        self._workers.submit(stream)

    async def _handle(self, stream: SessionStream) -> None:
        assert self._target is not None
        try:
            if not stream.lost:
                await self._target.handle(stream)
        except SendingStopped:
            # The peer has what it wanted.
            stream.reset(SessionError(ErrorCode.CANCELLED, "the peer wanted no more"))
        except SessionError as exc:
            stream.reset(exc)
            self._telemetry.record(SessionFailed(exc.code.value, exc.message, exc.detail))
        except Exception:
            _logger.exception("the handler of a conversation failed")
            stream.reset(SessionError(ErrorCode.INTERNAL, "the conversation failed"))
        finally:
            stream.finish()
