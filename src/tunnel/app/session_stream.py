"""A session of a tunnel, seen as a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunnel.domain.envelopes import Opening, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.clock import Clock
from tunnel.ports.signal import Signal, SignalFactory
from tunnel.ports.target import Stream

if TYPE_CHECKING:
    import anyio

    from tunnel.domain.mux.session import Session

__all__ = ["SessionStream"]


class SessionStream(Stream):
    """Waits where the session cannot: for input, and for its output to be framed.

    Args:
        session: The session; this takes it over.
        clock: Tells the time at which credit is returned.
        signals: Makes what it waits with; a small exchange seldom waits at all.
        wake_writer: Called when there is something to frame.
        on_finished: Called when the slot is free.
    """

    __slots__ = ("_clock", "_input", "_on_finished", "_output", "_session", "_signals", "_wake_writer", "scope")

    def __init__(
        self,
        session: Session,
        *,
        clock: Clock,
        signals: SignalFactory,
        wake_writer: Callable[[], None],
        on_finished: Callable[[], None],
    ) -> None:
        session.owner = self
        self._session = session
        self._clock = clock
        self._wake_writer = wake_writer
        self._on_finished = on_finished
        self._signals = signals
        self._input: Signal | None = None
        self._output: Signal | None = None
        self.scope: anyio.CancelScope | None = None
        """Cancelled when the peer resets the session; for whoever runs its handler."""

    @property
    def head(self) -> Opening:
        return self._session.head

    @property
    def lost(self) -> bool:
        """Whether the conversation was reset."""
        return self._session.error is not None

    @property
    def error(self) -> SessionError | None:
        """Why the conversation was reset; None when it was not."""
        return self._session.error

    @property
    def started(self) -> bool:
        """Whether its opening was handed to a link: the other end may know of it."""
        return self._session.id != 0

    @property
    def credited(self) -> bool:
        """Whether the other end returned credit: it has used what it was sent."""
        return self._session.send_window.returned

    async def receive(self) -> SessionPayload:
        session = self._session
        while True:
            payload = session.take(self._clock.now())
            if payload is not None:
                if session.control_queued:
                    self._wake_writer()
                return payload
            if self._input is None:
                self._input = self._signals()
            await self._input.wait()

    async def send(self, payload: SessionPayload) -> None:
        session = self._session
        if session.pending is not None:
            await self.opened()
        cost = payload.cost
        whole = session.takes_whole(cost)
        if whole:
            session.offer(payload, cost)
        else:
            session.offer_pieces(payload)
        self._wake_writer()
        # Nothing comes after an end, so nobody has to wait for it: finishing does, where it matters.
        if not (whole and payload.end):
            await self._framed(withdraw=True)

    async def conclude(self, *payloads: SessionPayload) -> None:
        session = self._session
        if session.pending is None and session.offer_last(payloads):
            self._wake_writer()
        else:
            await super().conclude(*payloads)

    def take_end(self) -> SessionPayload | None:
        """Receive the end, if it has arrived and comes next; else None."""
        return self._session.take_end()

    async def until_reset(self) -> None:
        """Wait for the conversation to be reset, when nothing is left to receive. Cancel it when it need not be known.

        Raises:
            SessionError: It was reset.
        """
        session = self._session
        while session.error is None:
            if self._input is None:
                self._input = self._signals()
            await self._input.wait()
        raise session.error

    async def opened(self) -> None:
        """Wait until what was queued before, such as the opening, is framed.

        Raises:
            SessionError: The session was reset.
        """
        await self._framed(withdraw=False)

    async def _framed(self, *, withdraw: bool) -> None:
        session = self._session
        try:
            while session.pending is not None:
                if self._output is None:
                    self._output = self._signals()
                await self._output.wait()
        except BaseException:
            # Cancelled. Unless all of it can be taken back, the conversation has a hole from here on.
            if not (withdraw and session.withdraw()):
                self.reset(SessionError(ErrorCode.CANCELLED, "sending was cancelled"))
            raise
        if session.error is not None:
            raise session.error
        if session.stopped is not None:
            raise session.stopped

    def stop_receiving(self, code: str) -> None:
        """Tell the peer that no more of its input is needed."""
        self._session.stop_receiving(code)
        self._wake_writer()

    def reset(self, error: SessionError) -> None:
        self._session.reset(error)
        _notify(self._output)
        _notify(self._input)
        self._wake_writer()

    def finish(self) -> None:
        """The handler is done: stop what is unread, reset what is unended, free the slot."""
        session = self._session
        session.finish()
        # Nobody is told of it any more; and two objects that know each other are left to the cyclic collector.
        session.owner = None
        if session.control_queued:
            self._wake_writer()
        self._on_finished()

    # -- called by the tunnel

    def framed(self) -> None:
        """What waited to be framed was framed."""
        if self._output is not None:
            self._output.notify()

    def changed(self) -> None:
        """Something arrived, or the session was ended."""
        _notify(self._input)
        if self._session.error is not None or self._session.stopped is not None:
            _notify(self._output)
            if self._session.error is not None and self.scope is not None:
                self.scope.cancel()


def _notify(signal: Signal | None) -> None:
    if signal is not None:
        signal.notify()
