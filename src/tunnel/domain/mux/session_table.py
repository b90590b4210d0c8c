"""All sessions of one end of a tunnel: who may open how many, and what is known of an id."""

from __future__ import annotations

from typing import Final, TypeGuard

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, Opening, TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import MAX_UNFINISHED_HEADS, Limits
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.outbound import Outbound
from tunnel.domain.mux.pacing import LinkPacing
from tunnel.domain.mux.pieces import HeadLimits, needs_assembly
from tunnel.domain.mux.reset_rate import ResetCount
from tunnel.domain.mux.session import Session, SessionHost
from tunnel.domain.mux.windows import ReceiveWindow, SendWindow

__all__ = ["HEAD_COMPLETION_S", "PeerMistake", "SessionTable"]

_HEAD_SLACK_BYTES = 16 * 1024
"""For what a head holds beside its header fields: method, path and query, and the encoding."""

HEAD_COMPLETION_S = 10.0
"""For the parts of an opening to come in. Until then it holds a window, and no handler watches over it."""

_NOTHING: Final = TcpOpen("")
"""Stands for the head of a session that is not taken, which waits without it for its refusal to be sent."""


class PeerMistake(Exception):
    """The peer broke a rule that the tunnel cannot survive. Stays within the multiplexer."""


class SessionTable(SessionHost):
    """Opens, accepts, finds and forgets sessions.

    Args:
        peer_parity: What the peer's session ids leave when divided by two.
        local: The limits this end announced.
        remote: The limits the peer announced.
        budget: The process's budget of receive windows; None for no more than the tunnel's own.
        outbound: Where sessions queue what they have to say.
        pacing: The attached link's: knows the round trip, and how large chunks had better be.
        accepts: Whether the peer may open sessions at all.
        settled: Whether it may do so from the start, rather than once its configuration is settled.
    """

    def __init__(
        self,
        *,
        peer_parity: int,
        local: Limits,
        remote: Limits,
        budget: Budget | None,
        outbound: Outbound,
        pacing: LinkPacing,
        accepts: bool,
        settled: bool,
    ) -> None:
        self._peer_parity = peer_parity
        self._local = local
        self._remote = remote
        self._budget = Budget(local.tunnel_receive_bytes, budget)
        self._out = outbound
        self.pacing = pacing
        self.accepts = accepts
        """Whether openings of the peer's are taken from now on."""
        self.head_limits = HeadLimits(
            max_items=2 * local.max_headers, max_bytes=local.max_header_bytes + _HEAD_SLACK_BYTES
        )
        self._sessions: dict[int, Session] = {}
        self._unopened: set[Session] = set()
        self._unfinished: dict[Session, float] = {}
        """Openings of the peer's with parts to come, and until when these may; the oldest first."""
        self._peer_sessions = 0
        self._resets = ResetCount(remote)
        self._refused: set[int] = set()
        """Refused sessions that the peer may still believe open."""
        self._refused_until = 0
        self.settled = settled
        """Whether the peer may open sessions by now."""
        self.high_water = 0
        """Highest id the peer has opened."""
        self.last_accepted: int | None = None
        """Once set, openings of the peer's above it are dropped."""

    def __len__(self) -> int:
        return len(self._sessions) + len(self._unopened)

    @property
    def reserved_bytes(self) -> int:
        """Credit promised to the peer, all sessions together."""
        return self._budget.reserved_bytes

    def all(self) -> tuple[Session, ...]:
        """The sessions that are not finished, those that wait to be opened last."""
        return (*self._sessions.values(), *self._unopened)

    def get(self, session_id: int) -> Session | None:
        """The session of this id that is not finished."""
        return self._sessions.get(session_id)

    def open(self, head: Opening, cost: int, now: float) -> Session:
        """A session of ours, waiting to be opened by ``head`` of ``cost``.

        Raises:
            SessionError: ``overloaded``: the peer takes no more at once, no window is left for the answer, or too many
                were reset of late; ``too_large``: no frame holds so many fields. Nothing was sent.
        """
        ours = len(self._sessions) + len(self._unopened) - self._peer_sessions
        if ours >= self._remote.max_sessions:
            raise SessionError(ErrorCode.OVERLOADED, "as many conversations are open as the peer takes")
        if self._resets.count and not self._resets.bears_another(ours, now):
            raise SessionError(ErrorCode.OVERLOADED, "too many conversations are given up")
        if not self._budget.reserve(self._local.session_window_bytes):
            raise SessionError(ErrorCode.OVERLOADED, "too many conversations at once")
        window = ReceiveWindow(self._local, self._budget, now)
        session = Session(self, head, opened_here=True, send_window=SendWindow(self._remote), receive_window=window)
        try:
            session.wait_with(head, cost)
        except SessionError:
            window.close()
            raise
        self._unopened.add(session)
        self._out.opening(session)
        return session

    def opened(self, session: Session) -> None:
        """``session`` of ours was handed to a link."""
        self._unopened.discard(session)
        self._sessions[session.id] = session

    def accept(self, session_id: int, head: object, cost: int, now: float) -> Session | None:
        """A session that the peer opens; None when it was closed before, or is not taken.

        Raises:
            PeerMistake: This id, or this head, opens nothing; or the peer goes on opening far above the cap.
        """
        if session_id <= self.high_water or session_id & 1 != self._peer_parity:
            if self.knows(session_id):
                self.check_reuse(session_id, head)
                return None
            raise PeerMistake(f"session {session_id} is not the peer's to open")
        if not self.settled:
            raise PeerMistake("a session was opened before the configuration was settled")
        if not _is_opening(head):
            raise PeerMistake(f"session {session_id} did not start with an opening")
        self.high_water = session_id
        if self.last_accepted is not None:
            return None
        window, refusal = self._admit(session_id, head, cost, now)
        if refusal is not None:
            head = _NOTHING
        session = Session(self, head, opened_here=False, send_window=SendWindow(self._remote), receive_window=window)
        session.id = session_id
        session.opened()
        self._sessions[session_id] = session
        self._peer_sessions += 1
        if refusal is not None:
            session.reset(refusal)
            session.finish()
            return None
        if session.head_incomplete:
            self._unfinished[session] = now + HEAD_COMPLETION_S
        if window is not None:
            # The handler gets the head at once.
            session.consumed_at_once(cost, now)
        return session

    def _admit(
        self, session_id: int, head: Opening, cost: int, now: float
    ) -> tuple[ReceiveWindow | None, SessionError | None]:
        if not self.accepts:
            self._note_refused(session_id)
            return None, SessionError(ErrorCode.FORBIDDEN, "no conversations are taken from this side")
        if self._peer_sessions >= self._local.max_sessions:
            self._note_refused(session_id)
            return None, SessionError(ErrorCode.REFUSED, "too many conversations at once")
        if len(self._unfinished) >= MAX_UNFINISHED_HEADS and needs_assembly(head):
            self._note_refused(session_id)
            return None, SessionError(ErrorCode.REFUSED, "too many large heads at once")
        if cost > self._local.session_window_bytes:
            return None, SessionError(ErrorCode.FLOW_CONTROL, "the opening is larger than the credit")
        problem = self.head_limits.problem(head, cost)
        if problem is not None:
            return None, problem
        # What ends with its opening takes no window, but what the opening itself holds.
        size = cost if head.end else self._local.session_window_bytes
        if not self._budget.reserve_for_peer(size):
            return None, SessionError(ErrorCode.OVERLOADED, "too many conversations at once")
        window = ReceiveWindow(self._local, self._budget, now, size=size)
        window.arrived(cost)
        return window, None

    def _note_refused(self, session_id: int) -> None:
        # The refusals up to then went with the frame after the first of them, or are about to.
        retention = self._out.retention
        if retention.acked >= self._refused_until:
            self._refused.clear()
            self._refused_until = retention.sent + 1
        self._refused.add(session_id)
        if len(self._refused) > self._local.max_sessions:
            raise PeerMistake("twice as many sessions as allowed were opened")

    def head_completed(self, session: Session) -> None:
        """No part of the opening is to come any more."""
        self._unfinished.pop(session, None)

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do next; None while no head is incomplete."""
        return next(iter(self._unfinished.values()), None)

    def tick(self, now: float) -> None:
        """Reset the sessions whose opening did not become whole in time."""
        for session in [session for session, until in self._unfinished.items() if until <= now]:
            session.reset(SessionError(ErrorCode.UPSTREAM_TIMEOUT, "the head did not arrive in time"))
            # Nobody was told of it yet, so nobody else will finish it.
            session.finish()

    def attached(self, now: float) -> None:
        """Another link was attached: what could not come without one gets its time anew, and all is settled."""
        self.settled = True
        for session in self._unfinished:
            self._unfinished[session] = now + HEAD_COMPLETION_S

    def done_with(self, session_id: int) -> bool:
        """The peer has done with a session that is gone here; whether it was one that had been refused."""
        if session_id not in self._refused:
            return False
        self._refused.remove(session_id)
        return True

    def check_reuse(self, session_id: int, payload: object) -> None:
        """Nothing opens a session that was opened before.

        Raises:
            PeerMistake: ``payload`` does.
        """
        # METADATA also answers, on sessions of ours.
        if isinstance(payload, (HttpRequest, TcpOpen)) or (
            session_id & 1 == self._peer_parity and _opens_call(payload)
        ):
            raise PeerMistake(f"session {session_id} was opened twice")

    def knows(self, session_id: int) -> bool:
        """Whether a session of this id was ever opened."""
        if session_id & 1 == self._peer_parity:
            return 0 < session_id <= self.high_water
        return 0 < session_id < self._out.next_id

    def refuse_above(self, last_session_id: int, error: SessionError) -> list[Session]:
        """The peer takes none of our sessions above ``last_session_id``; those that this ended."""
        above = [s for s in self._sessions.values() if s.opened_here and s.id > last_session_id]
        return [session for session in [*self._out.take_openings(), *above] if session.end(error)]

    def end(self, reason: str) -> list[Session]:
        """The tunnel ended: what was never handed to a link is ``refused``, all else ``peer_lost``, once each."""
        ended = []
        for session in [*self._out.take_openings(), *self._sessions.values()]:
            code = ErrorCode.PEER_LOST if session.id else ErrorCode.REFUSED
            if not session.end(SessionError(code, "the tunnel was lost", detail=reason)):
                continue
            if session.announced:
                ended.append(session)
            else:
                # Nobody was told of it yet, so nobody else will finish it.
                session.finish()
        return ended

    # -- SessionHost

    @property
    def round_trip_s(self) -> float:
        return self.pacing.smoothed_round_trip_s

    def data_offered(self, session: Session) -> None:
        self._out.data(session)

    def control_offered(self, session: Session) -> None:
        self._out.control(session)

    def given_up(self) -> None:
        self._resets.count += 1

    def opening_withdrawn(self, session: Session) -> None:
        self._out.withdraw_opening(session)

    def finished(self, session: Session) -> None:
        if session.head_incomplete:
            self._unfinished.pop(session, None)
        if not session.id:
            self._unopened.discard(session)
        elif self._sessions.pop(session.id, None) is not None and not session.opened_here:
            self._peer_sessions -= 1


def _is_opening(payload: object) -> TypeGuard[Opening]:
    return isinstance(payload, (HttpRequest, TcpOpen)) or _opens_call(payload)


def _opens_call(payload: object) -> bool:
    return isinstance(payload, GrpcFrame) and payload.type in (GrpcFrameType.METADATA, GrpcFrameType.WHOLE)
