"""One end of a tunnel at work: its multiplexer, the links it is attached to, and the conversations inside."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from tunnel.app.link_work import TICK_S, LinkWork, PeerClosed, TunnelClosed
from tunnel.app.on_demand_stream import OnDemandStream
from tunnel.app.session_stream import SessionStream
from tunnel.app.session_workers import SessionWorkers
from tunnel.app.tunnel_owner import TunnelOwner
from tunnel.domain.envelopes import Close, Opening
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, SendingStopped, SessionError
from tunnel.domain.expectation import awaits_permission
from tunnel.domain.identity import PeerInfo
from tunnel.domain.mux.inbox import Received
from tunnel.domain.mux.multiplexer import Multiplexer, TunnelMessage
from tunnel.domain.mux.session import Session
from tunnel.domain.request_ids import request_id_of
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import ProxyTarget
from tunnel.ports.telemetry import SessionFailed, Telemetry
from tunnel.ports.transport import Link

__all__ = ["Tunnel"]

_logger = logging.getLogger("tunnel.sessions")

_RESUMABLE: Final = frozenset({LinkEnd.BROKEN, LinkEnd.ENDED, LinkEnd.CLOSED})
"""Ends of a link that its tunnel may outlive (docs/reference/protocol.md, ends of links). ``CLOSED`` is one that a
listener closed, because it goes away."""


class Tunnel:
    """Moves frames between a multiplexer and its links, and runs what the peer opens.

    ``run`` is its life, ``carry`` that of one link. A link that is lost detaches the tunnel, which ends when no other
    comes in time.

    Args:
        mux: The multiplexer.
        target: Handles the sessions that the peer opens.
        owner: Told what becomes of it.
        clock: Time.
        signals: Makes what tasks wait with.
        telemetry: Told of failed sessions.
    """

    def __init__(
        self,
        *,
        mux: Multiplexer,
        target: ProxyTarget,
        owner: TunnelOwner,
        clock: Clock,
        signals: SignalFactory,
        telemetry: Telemetry,
    ) -> None:
        self.mux = mux
        self._target = target
        self._owner = owner
        self._clock = clock
        self._signals = signals
        self._telemetry = telemetry
        self._workers: SessionWorkers | None = None
        self._link: LinkWork | None = None
        self._running = anyio.Event()
        self._idle = anyio.Event()
        self._draining = False
        self._news = anyio.Event()
        self._over = anyio.Event()
        self._stopped = anyio.Event()
        self.reason = ""
        """Why it is over."""

    # -- its life

    async def run(self) -> None:
        """Run conversations until the tunnel is over, and end it when it is without a link for too long.

        Cancelling this ends the tunnel.
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._workers = SessionWorkers(tasks, self._handle, self._signals)
                self._running.set()
                await self._lasting()
                tasks.cancel_scope.cancel()
        finally:
            self.end("this process stopped")
            self._stopped.set()

    async def _lasting(self) -> None:
        while not self._over.is_set():
            self._news = anyio.Event()
            if not self.mux.detached:
                await self._news.wait()
                continue
            left_s = self.mux.expires - self._clock.now()
            if left_s <= 0:
                self.end("no link came in time to resume it")
                return
            with anyio.move_on_after(max(TICK_S, left_s)):
                await self._news.wait()

    def end(self, reason: str) -> None:
        """The tunnel is over: every session ends, once, and every handler is told. Idempotent."""
        if self._over.is_set():
            return
        self.reason = reason
        ended = self.mux.end(reason)
        self._over.set()
        for session in ended:
            self._tell(session)
        self._idle.set()
        self._news.set()
        if self._link is not None:
            self._link.abandon(LinkError(LinkEnd.CLOSED, reason))
        self._owner.on_ended(reason)

    async def running(self) -> None:
        """Return once ``run`` has begun."""
        await self._running.wait()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    async def ended(self) -> None:
        """Return once the tunnel is over and no handler of its conversations runs any more."""
        await self._stopped.wait()

    # -- the life of a link

    async def carry(self, link: Link, *, greet: Callable[[], Awaitable[None]], resume: int | None = None) -> LinkError:
        """Attach ``link`` and move frames until it ends; the tunnel is then detached, or over.

        A link carried so far is fenced at once, within this call and before anything is awaited: nothing it still
        brings counts, and its own ``carry`` returns. The link is left to the caller to close. Cancelling this is a loss
        of the link, without last words.

        Args:
            link: The link, its handshake done but for ``greet``.
            greet: Says the last words of the handshake. Nothing is received meanwhile, and ``mux.received`` is fixed.
            resume: The highest ``seq`` the peer has received; None for the tunnel's first link.

        Returns:
            How the link ended. Links lost leave the tunnel detached where it can be kept; ``PeerClosed``,
            ``TunnelClosed``, and ends by a refusal or a violation have ended it.
        """
        if self._over.is_set():
            return LinkError(LinkEnd.CLOSED, self.reason)
        if self._link is not None:
            self._link.abandon(LinkError(LinkEnd.BROKEN, "another link took its place"))
            self._lost("another link took its place", replaced=True)
            if self._over.is_set():
                return LinkError(LinkEnd.CLOSED, self.reason)
        work = self._link = LinkWork(self, link, clock=self._clock, signals=self._signals)
        end = LinkError(LinkEnd.BROKEN, "the link was given up")
        try:
            end = await work.run(greet, self._attach(resume))
        finally:
            if self._link is work:
                self._link = None
                self._link_ended(end)
        return end

    def _attach(self, resume: int | None) -> Callable[[], None]:
        def attach() -> None:
            if resume is not None:
                mistake = self.mux.attach(resume, self._clock.now())
                if mistake is not None:
                    raise LinkError(LinkEnd.VIOLATED, mistake)
                self._news.set()
            self._owner.on_attached(resumed=resume is not None)

        return attach

    def _link_ended(self, end: LinkError) -> None:
        if self._over.is_set():
            return
        if end.end in _RESUMABLE and not isinstance(end, PeerClosed | TunnelClosed):
            self._lost(end.reason)
        else:
            self.end(end.reason)

    def _lost(self, reason: str, *, replaced: bool = False) -> None:
        """The link is gone; whether the tunnel is kept is the multiplexer's to say."""
        if self.mux.detached:
            # Lost before it was attached: the tunnel is as it was.
            return
        hopeless = self.mux.detach(self._clock.now(), replaced=replaced)
        if hopeless is not None:
            self.end(f"{reason}; {hopeless}")
            return
        self._news.set()
        self._owner.on_detached(reason)

    def close(self, code: str, message: str = "") -> None:
        """Say goodbye with the next frame, then end. What is still running is cut off. Without a link: ends at once."""
        if self._link is None:
            self.end(message or code)
        else:
            self._link.close(Close(code, message))

    def end_if_closed(self) -> bool:
        """Whether ``close`` was called; then this ends it now, said or not."""
        words = None if self._link is None else self._link.last_words
        if words is not None:
            self.end(words.message or words.code)
        return words is not None

    @property
    def peer(self) -> PeerInfo | None:
        """The far end of the link carried now; None without one."""
        return None if self._link is None else self._link.peer

    @property
    def handlers(self) -> int:
        """Conversations of the peer's that are being handled."""
        return 0 if self._workers is None else self._workers.busy

    # -- what is said

    def open(self, head: Opening, cost: int | None = None) -> SessionStream:
        """Open a session; it goes out with the next frame.

        Args:
            head: Of a cost of at most ``mux.opening_cost``.
            cost: That cost, where the caller knows it already.

        Raises:
            SessionError: ``refused`` or ``overloaded``: nothing was sent.
        """
        session = self.mux.open(head, self._clock.now(), cost)
        stream = self._stream(session)
        self.wake_writer()
        return stream

    def go_away(self, code: str) -> None:
        """Take and open no more sessions; those there are finish."""
        self.mux.go_away(code)
        self.wake_writer()

    def say(self, *messages: TunnelMessage) -> None:
        """Send messages of the tunnel's own; without effect while it is detached."""
        for message in messages:
            self.mux.send(message)
        self.wake_writer()

    def ping(self) -> None:
        """Ask the peer for a sign of life now."""
        self.mux.ping(self._clock.now())
        self.wake_writer()

    async def drained(self) -> None:
        """Return once no session is left and the peer knows all that was said, or the tunnel is over."""
        self._draining = True
        while not self.mux.drained and not self._over.is_set():
            await self._idle.wait()

    def wake_writer(self) -> None:
        """Something may be there to be sent."""
        if self._link is not None:
            self._link.wake_writer()

    # -- what its link reports

    def received(self, received: Received) -> None:
        """Hand on what a frame brought.

        Raises:
            LinkError: The peer must not have sent a message.
        """
        for session in received.changed:
            self._tell(session)
        for session in received.opened:
            assert self._workers is not None, "not running"
            head = session.head
            on_demand = not head.end and awaits_permission(head)
            self._workers.submit(self._stream(session, OnDemandStream if on_demand else SessionStream))
        for message in received.messages:
            self._owner.on_message(message)
        if received.going_away:
            self._owner.on_go_away()
        if received.pong:
            self._owner.on_pong()
        self._finished()

    def framed(self) -> None:
        """Tell those whose envelope was framed."""
        framed = self.mux.framed
        for session in framed:
            owner = session.owner
            if owner is not None:
                owner.framed()
        framed.clear()

    # -- sessions

    def _stream(self, session: Session, kind: type[SessionStream] = SessionStream) -> SessionStream:
        return kind(
            session,
            clock=self._clock,
            signals=self._signals,
            wake_writer=self.wake_writer,
            on_finished=self._finished,
        )

    def _finished(self) -> None:
        if self._draining and self.mux.drained:
            idle, self._idle = self._idle, anyio.Event()
            idle.set()

    def _tell(self, session: Session) -> None:
        owner = session.owner
        if owner is not None:
            owner.changed()

    async def _handle(self, stream: SessionStream) -> None:
        try:
            if not stream.lost:
                await self._target.handle(stream)
        except SendingStopped:
            # The peer has what it wanted.
            stream.reset(SessionError(ErrorCode.CANCELLED, "the peer wanted no more"))
        except SessionError as exc:
            stream.reset(exc)
            self._telemetry.record(SessionFailed(exc.code.value, exc.message, exc.detail, request_id_of(stream.head)))
        except Exception:
            _logger.exception("the handler of a conversation failed")
            stream.reset(SessionError(ErrorCode.INTERNAL, "the conversation failed"))
        except BaseExceptionGroup as group:
            # On trio, what fails in tasks that are being cancelled comes together with their cancellation.
            failed, rest = group.split(Exception)
            if failed is not None:
                _logger.exception("the handler of a conversation failed while it was cancelled")
            if rest is not None:
                raise rest from None
        finally:
            stream.finish()
