"""What arrives for sessions: their data, and the control that concerns one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from tunnel.domain.envelopes import (
    BodyChunk,
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Envelope,
    Error,
    GrpcFrame,
    HeadPart,
    HttpRequest,
    HttpResponse,
    SessionPayload,
    StopSending,
    TcpOpen,
    Trailers,
    UnknownPayload,
    WebSocketFrame,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import MAX_TEXT_CHARS, Limits
from tunnel.domain.mux.outbound import Outbound
from tunnel.domain.mux.reset_rate import reset_budget
from tunnel.domain.mux.session import Session
from tunnel.domain.mux.session_table import PeerMistake, SessionTable

__all__ = ["DATA", "Inbox", "Received", "TunnelMessage"]

TunnelMessage: TypeAlias = ConfigSyncResponse | ConfigApplied | ConfigRejected
"""Messages of the tunnel that are the application's business."""

_MAX_CREDIT: Final = 1 << 40
"""More credit than any window: a peer that grants this much is broken."""

DATA: Final = frozenset(
    {HttpRequest, HttpResponse, BodyChunk, Trailers, GrpcFrame, WebSocketFrame, HeadPart, TcpOpen},
)
"""What sessions carry under flow control."""
_MAY_OPEN: Final = frozenset({HttpRequest, GrpcFrame, TcpOpen})


class Received:
    """What a frame brought.

    Attributes:
        opened: Sessions the peer opened; each must get a handler.
        changed: Sessions whose handler has something new: input, an end, a stop or a reset.
        messages: Messages of the tunnel itself, in order.
        going_away: The peer takes no more sessions.
        pong: The peer answered a ping: it has read everything sent before.
        closed: The peer closed the tunnel.
        violation: What the peer did wrong; the tunnel has to end.
    """

    __slots__ = ("changed", "closed", "going_away", "messages", "opened", "pong", "violation")

    def __init__(self) -> None:
        self.opened: list[Session] = []
        self.changed: list[Session] = []
        self.messages: list[TunnelMessage] = []
        self.going_away = False
        self.pong = False
        self.closed: Close | None = None
        self.violation: str | None = None


class Inbox:
    """Takes in what counted frames hold for sessions.

    Args:
        sessions: All of them.
        outbound: Where a session with new credit queues its data.
        local: The limits this end announced.
        now: Seconds.
    """

    def __init__(self, sessions: SessionTable, outbound: Outbound, local: Limits, now: float) -> None:
        self._sessions = sessions
        self._out = outbound
        self._resets = reset_budget(local, now)
        self.control: dict[type, Callable[[Envelope, Received, float], None]] = {
            Error: self._on_error,
            WindowUpdate: self._on_window_update,
            StopSending: self._on_stop_sending,
            UnknownPayload: self.unknown,
        }
        """What takes in each kind of control that concerns a session. Raises ``PeerMistake``."""

    def data(self, envelope: Envelope, received: Received, now: float) -> int:
        """Take in an envelope of one of the types in ``DATA``; its cost.

        Raises:
            PeerMistake: It belongs to no session and opens none.
        """
        payload: SessionPayload = envelope.payload  # type: ignore[assignment]  # the caller has checked
        cost = payload.cost
        sessions = self._sessions
        session = sessions.get(envelope.session_id)
        if session is None:
            session = sessions.accept(envelope.session_id, payload, cost, now)
            if session is not None and not session.head_incomplete:
                session.announced = True
                received.opened.append(session)
            return cost
        if type(payload) in _MAY_OPEN:
            sessions.check_reuse(session.id, payload)
        if session.arrived(payload, cost, now):
            self._changed(session, received)
        return cost

    def _known(self, envelope: Envelope) -> Session | None:
        session = self._sessions.get(envelope.session_id)
        if session is None and not self._sessions.knows(envelope.session_id):
            kind = type(envelope.payload).__name__
            raise PeerMistake(f"a {kind} came for session {envelope.session_id}, which was never opened")
        return session

    def _on_error(self, envelope: Envelope, received: Received, now: float) -> None:
        session = self._known(envelope)
        payload = envelope.payload
        assert isinstance(payload, Error)
        refused = session is None and self._sessions.done_with(envelope.session_id)
        if (refused or (session is not None and not session.opened_here)) and not self._resets.spend(now):
            raise PeerMistake("sessions are reset too often")
        if session is None:
            return
        text, detail = payload.message[:MAX_TEXT_CHARS], payload.detail[:MAX_TEXT_CHARS]
        if session.end(SessionError(ErrorCode.parse(payload.code), text, detail=detail)):
            self._changed(session, received)

    def _on_window_update(self, envelope: Envelope, received: Received, now: float) -> None:
        session = self._known(envelope)
        payload = envelope.payload
        assert isinstance(payload, WindowUpdate)
        if session is None:
            return
        if payload.bytes <= 0 or session.send_window.credit + payload.bytes > _MAX_CREDIT:
            session.reset(SessionError(ErrorCode.FLOW_CONTROL, "credit was granted beyond measure"))
            self._changed(session, received)
            return
        session.send_window.granted(payload.bytes)
        if session.pending is not None:
            self._out.data(session)

    def _on_stop_sending(self, envelope: Envelope, received: Received, now: float) -> None:
        session = self._known(envelope)
        payload = envelope.payload
        assert isinstance(payload, StopSending)
        if session is None:
            self._sessions.done_with(envelope.session_id)
        elif session.peer_stopped(payload.code[:MAX_TEXT_CHARS]):
            self._changed(session, received)

    def unknown(self, envelope: Envelope, received: Received, now: float) -> None:
        """Reset the session whose envelope could not be read; of the tunnel's own, unknown ones are ignored."""
        payload = envelope.payload
        assert isinstance(payload, UnknownPayload)
        if envelope.session_id == 0:
            return
        session = self._known(envelope)
        if session is not None:
            session.reset(SessionError(ErrorCode.PROTOCOL_ERROR, "an envelope was not understood", detail=payload.why))
            self._changed(session, received)

    def _changed(self, session: Session, received: Received) -> None:
        if session.left:
            return
        if session.announced:
            received.changed.append(session)
        elif session.error is not None:
            # Nobody was told of it yet, so nobody else will finish it.
            session.finish()
        elif not session.head_incomplete:
            self._sessions.head_completed(session)
            session.announced = True
            received.opened.append(session)
