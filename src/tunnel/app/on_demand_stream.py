"""A session whose opener sends the body of its request only when asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunnel.app.session_stream import SessionStream
from tunnel.domain.envelopes import SessionPayload
from tunnel.domain.expectation import PERMISSION
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory

if TYPE_CHECKING:
    from tunnel.domain.mux.session import Session

__all__ = ["OnDemandStream"]


class OnDemandStream(SessionStream):
    """Asks for the body when it is first received from, unless the answer has begun by then.

    So a target that answers without receiving leaves the body with the visitor.

    Args:
        session: Opened by the peer, with a head that awaits permission; this takes it over.
        clock: As of ``SessionStream``, like all that follow.
        signals: Makes what it waits with.
        wake_writer: Called when there is something to frame.
        on_finished: Called when the slot is free.

    Source: RFC 9110 section 10.1.1; docs/reference/protocol.md, sessions.
    """

    __slots__ = ("_settled",)

    def __init__(
        self,
        session: Session,
        *,
        clock: Clock,
        signals: SignalFactory,
        wake_writer: Callable[[], None],
        on_finished: Callable[[], None],
    ) -> None:
        super().__init__(session, clock=clock, signals=signals, wake_writer=wake_writer, on_finished=on_finished)
        self._settled = False
        """The body was asked for, or cannot be any more."""

    async def receive(self) -> SessionPayload:
        if not self._settled:
            self._settled = True
            session = self._session
            if session.error is None and session.stopped is None:
                # Framed without waiting for it: an answer that is sent meanwhile waits its turn.
                session.offer(PERMISSION)
                self._wake_writer()
        return await super().receive()

    async def send(self, payload: SessionPayload) -> None:
        self._settled = True
        await super().send(payload)

    async def conclude(self, *payloads: SessionPayload) -> None:
        self._settled = True
        await super().conclude(*payloads)
