"""All sessions of one end of a tunnel: who may open how many, and what is known of an id."""

from __future__ import annotations

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, Opening, TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import Limits
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.outbound import Outbound
from tunnel.domain.mux.pacing import LinkPacing
from tunnel.domain.mux.session import Session, SessionHost
from tunnel.domain.mux.windows import ReceiveWindow, SendWindow

__all__ = ["PeerMistake", "SessionTable"]

_HEAD_SLACK_BYTES = 16 * 1024
"""For what a head holds beside its header fields: method, path and query, and the encoding."""


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
        pacing: Knows the round trip.
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
    ) -> None:
        self._peer_parity = peer_parity
        self._local = local
        self._remote = remote
        self._budget = Budget(local.tunnel_receive_bytes, budget)
        self._out = outbound
        self._pacing = pacing
        self._sessions: dict[int, Session] = {}
        self._unopened: set[Session] = set()
        self._peer_sessions = 0
        self._refused_in_a_row = 0
        self._quiet = False
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

    def get(self, session_id: int) -> Session | None:
        """The session of this id that is not finished."""
        return self._sessions.get(session_id)

    def open(self, head: Opening, now: float) -> Session:
        """A session of ours, waiting to be opened.

        Raises:
            SessionError: ``overloaded``: no window left for the answer.
        """
        if not self._budget.reserve(self._local.session_window_bytes):
            raise SessionError(ErrorCode.OVERLOADED, "too many conversations at once")
        window = ReceiveWindow(self._local, self._budget, now)
        session = Session(self, head, opened_here=True, send_window=SendWindow(self._remote), receive_window=window)
        session.pending = head
        session.pending_cost = head.cost
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
        if self.knows(session_id):
            return None
        if session_id == 0 or session_id & 1 != self._peer_parity:
            raise PeerMistake(f"session {session_id} is not the peer's to open")
        if not _opens(head):
            raise PeerMistake(f"session {session_id} did not start with an opening")
        assert isinstance(head, (HttpRequest, GrpcFrame, TcpOpen))
        self.high_water = session_id
        if self.last_accepted is not None:
            return None
        window, refusal = self._admit(head, cost, now)
        session = Session(self, head, opened_here=False, send_window=SendWindow(self._remote), receive_window=window)
        session.id = session_id
        session.opened()
        self._sessions[session_id] = session
        self._peer_sessions += 1
        if refusal is not None:
            session.reset(refusal)
            session.finish()
            return None
        return session

    def _admit(self, head: Opening, cost: int, now: float) -> tuple[ReceiveWindow | None, SessionError | None]:
        if self._peer_sessions >= self._local.max_sessions:
            self._refused_in_a_row += 1
            if self._refused_in_a_row > self._local.max_sessions:
                raise PeerMistake("twice as many sessions as allowed were opened")
            return None, SessionError(ErrorCode.REFUSED, "too many conversations at once")
        self._refused_in_a_row = 0
        if head.end:
            return None, None
        if not self._budget.reserve(self._local.session_window_bytes):
            return None, SessionError(ErrorCode.OVERLOADED, "too many conversations at once")
        window = ReceiveWindow(self._local, self._budget, now)
        if not window.arrived(cost):
            return window, SessionError(ErrorCode.FLOW_CONTROL, "the opening is larger than the credit")
        # The handler gets the head at once, so it counts as consumed.
        window.consumed(cost, now, 0.0)
        return window, None

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
        self._quiet = True
        ended = []
        for session in [*self._out.take_openings(), *self._sessions.values()]:
            code = ErrorCode.PEER_LOST if session.id else ErrorCode.REFUSED
            if session.end(SessionError(code, "the tunnel was lost", detail=reason)):
                ended.append(session)
        return ended

    # -- SessionHost

    @property
    def round_trip_s(self) -> float:
        return self._pacing.smoothed_round_trip_s

    @property
    def max_head_bytes(self) -> int:
        return self._local.max_header_bytes + _HEAD_SLACK_BYTES

    def data_offered(self, session: Session) -> None:
        self._out.data(session)

    def control_offered(self, session: Session) -> None:
        if not self._quiet:
            self._out.control(session)

    def opening_withdrawn(self, session: Session) -> None:
        self._out.withdraw_opening(session)

    def finished(self, session: Session) -> None:
        if not session.id:
            self._unopened.discard(session)
        elif self._sessions.pop(session.id, None) is not None and not session.opened_here:
            self._peer_sessions -= 1


def _opens(payload: object) -> bool:
    match payload:
        case HttpRequest() | TcpOpen():
            return True
        case GrpcFrame(type=GrpcFrameType.METADATA):
            return True
        case _:
            return False
