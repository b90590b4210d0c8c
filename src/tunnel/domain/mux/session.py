"""One session as one end of a tunnel keeps it: what waits to be framed, what waits to be read, and how it ends."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from tunnel.domain.envelopes import BodyChunk, HeadPart, Opening, SessionPayload
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.mux.pacing import LinkPacing
from tunnel.domain.mux.pieces import MAX_ENVELOPE_BYTES, HeadAssembly, HeadLimits, encoded_bound, needs_assembly, split
from tunnel.domain.mux.session_state import TRANSITIONS, SessionInput, SessionState
from tunnel.domain.mux.windows import ReceiveWindow, SendWindow

__all__ = ["Session", "SessionHost", "SessionOwner"]

# Looking up a member of an enum takes as long as all else that is done with it, and every envelope needs several.
_UNOPENED, _OPEN, _LOCAL_ENDED, _REMOTE_ENDED, _CLOSED = SessionState
_OPENED, _LOCAL_END, _REMOTE_END, _RESET = SessionInput

_MAX_ASSEMBLED_HEADS = 2
"""A direction has a head and trailers. Assembled heads are not charged to the window until they are read."""


class SessionHost(Protocol):
    """What a session asks of the multiplexer that owns it."""

    head_limits: HeadLimits
    """What heads are taken from the peer."""

    pacing: LinkPacing
    """The attached link's."""

    @property
    @abstractmethod
    def round_trip_s(self) -> float:
        """The usual round trip of the link."""

    @abstractmethod
    def data_offered(self, session: Session) -> None:
        """``session`` has an envelope to frame."""

    @abstractmethod
    def control_offered(self, session: Session) -> None:
        """``session`` has control to frame."""

    @abstractmethod
    def given_up(self) -> None:
        """A session that this end opened was reset by it, as the peer will learn."""

    @abstractmethod
    def opening_withdrawn(self, session: Session) -> None:
        """``session`` will not be opened after all."""

    @abstractmethod
    def finished(self, session: Session) -> None:
        """Nobody uses ``session`` any more."""


class SessionOwner(Protocol):
    """Whoever handles a session, and waits for what becomes of it. Whatever kind it is, it is told of everything."""

    @abstractmethod
    def framed(self) -> None:
        """What waited to be framed was framed."""

    @abstractmethod
    def changed(self) -> None:
        """Something arrived, or the session was ended."""


class Session:
    """One conversation inside a tunnel.

    At most one envelope waits to be framed, or the last few together; a payload too large for one is cut up as its
    pieces are framed. What arrived waits in ``inbound``, bounded by the receive window. The first terminal event
    decides how it ended. ``finish`` must be called once, by whoever handled it.

    Args:
        host: The multiplexer.
        head: The opening; the bare announcement of one while its parts are still coming.
        opened_here: Whether this end opened it.
        send_window: Credit towards the peer.
        receive_window: Credit given to the peer; None when the peer's direction ended with the opening.
    """

    __slots__ = (
        "_assembled",
        "_assembly",
        "_discarding",
        "_host",
        "_inbound",
        "_pieces",
        "ahead",
        "announced",
        "begun",
        "control_grant",
        "control_queued",
        "deficit",
        "error",
        "error_to_send",
        "head",
        "head_incomplete",
        "id",
        "in_ring",
        "left",
        "opened_here",
        "owner",
        "pending",
        "pending_bytes",
        "pending_cost",
        "receive_window",
        "send_window",
        "state",
        "stop_to_send",
        "stopped",
    )

    def __init__(
        self,
        host: SessionHost,
        head: Opening,
        *,
        opened_here: bool,
        send_window: SendWindow,
        receive_window: ReceiveWindow | None,
    ) -> None:
        self._host = host
        self._inbound: deque[tuple[SessionPayload, int]] = deque()
        self._assembly: HeadAssembly | None = None
        self._assembled = 0
        self._discarding = False
        self.left = False
        """Whether its handler is done with it."""
        self.announced = opened_here
        """Whether a handler knows of this session."""
        self.head = head
        self.head_incomplete = False
        """Whether parts of the opening are still to come from the peer."""
        self.opened_here = opened_here
        self.id = 0
        self.state = _UNOPENED
        self.owner: SessionOwner | None = None
        """Who handles the session; None before somebody does, and afterwards."""
        self.send_window = send_window
        self.receive_window = receive_window
        self.pending: SessionPayload | None = None
        self.pending_cost = 0
        self.pending_bytes = 0
        """Most that ``pending`` takes in a frame."""
        self.ahead: tuple[SessionPayload, ...] = ()
        """What goes right before ``pending``, which is the end then: in the same frame, and counted with it."""
        self._pieces: Iterator[SessionPayload] | None = None
        """What follows ``pending``, of the same payload."""
        self.begun = False
        """Whether pieces of that payload have been framed."""
        self.deficit = 0
        self.in_ring = False
        self.control_queued = False
        self.control_grant = 0
        self.stop_to_send: str | None = None
        self.error_to_send: SessionError | None = None
        self.stopped: SendingStopped | None = None
        self.error: SessionError | None = None

    # -- used by whoever handles the session

    def offer(self, payload: SessionPayload, cost: int | None = None) -> None:
        """Let ``payload`` be framed next; its cost is at most ``send_window.chunk_cost``, and nothing else waits.

        Args:
            payload: What is to be sent.
            cost: Its cost, where the caller knows it already.

        Raises:
            SendingStopped: The peer wants no more.
            SessionError: The session was reset, or ``too_large``: no frame holds so many fields.
        """
        if self.error is not None:
            raise self.error
        if self.stopped is not None:
            raise self.stopped
        assert self.pending is None, "one envelope at a time"
        assert self.sending, "nothing follows the end"
        self.wait_with(payload, payload.cost if cost is None else cost)
        self._host.data_offered(self)

    def takes_whole(self, cost: int) -> bool:
        """Whether a payload of ``cost`` is framed in one piece."""
        return cost <= self.send_window.chunk_cost and cost <= self._host.pacing.chunk_cost

    def offer_pieces(self, payload: SessionPayload) -> None:
        """Let ``payload``, of any cost, be framed next, in pieces as small as the peer and the link want them.

        Raises:
            SendingStopped: The peer wants no more.
            SessionError: The session was reset, or ``too_large``: it cannot be cut up.
        """
        pieces = split(payload, min(self.send_window.chunk_cost, self._host.pacing.chunk_cost))
        self.offer(next(pieces))
        self._pieces = pieces

    def offer_last(self, payloads: tuple[SessionPayload, ...]) -> bool:
        """Let ``payloads``, of which the last is the end, be framed next and together; False: they are too large.

        Raises:
            SendingStopped: The peer wants no more.
            SessionError: The session was reset.
        """
        costs = [payload.cost for payload in payloads]
        cost = sum(costs)
        size = sum(map(encoded_bound, payloads, costs))
        if not self.takes_whole(cost) or size > MAX_ENVELOPE_BYTES:
            return False
        self.offer(payloads[-1], cost)
        self.ahead = payloads[:-1]
        self.pending_bytes = size
        return True

    def withdraw(self) -> bool:
        """Take back what waits to be framed; False when some of it has been framed already.

        An opening that is taken back closes the session as if it had never been.
        """
        if self.pending is None or self.begun:
            return False
        self._forget_pending()
        if self.state is _UNOPENED:
            self.reset(SessionError(ErrorCode.CANCELLED, "withdrawn before it was opened"))
        return True

    @property
    def unread_bytes(self) -> int:
        """Cost of what arrived and was not taken."""
        return sum(cost for _, cost in self._inbound)

    @property
    def unframed_bytes(self) -> int:
        """Cost of what waits to be framed."""
        return 0 if self.pending is None else self.pending_cost

    @property
    def readable(self) -> bool:
        """Whether ``take`` would return or raise."""
        return bool(self._inbound) or self.error is not None

    @property
    def sending(self) -> bool:
        """Whether this side was handed to a link and has not ended."""
        return self.state is _OPEN or self.state is _REMOTE_ENDED

    def take_end(self) -> SessionPayload | None:
        """The end, if it has arrived and comes next; else None, and nothing was taken."""
        inbound = self._inbound
        return inbound.popleft()[0] if inbound and inbound[0][0].end else None

    def take(self, now: float) -> SessionPayload | None:
        """The next envelope that arrived, None when there is none yet. Returns its credit to the peer.

        Raises:
            SessionError: The session was reset, and all that came before has been taken.
        """
        if not self._inbound:
            if self.error is not None:
                raise self.error
            return None
        payload, cost = self._inbound.popleft()
        if not payload.end:
            self._consume(cost, now)
        return payload

    def reset(self, error: SessionError) -> None:
        """End both directions, telling the peer. Without effect on a session that is over."""
        if self.state is _CLOSED:
            return
        if self.state is _UNOPENED:
            self._host.opening_withdrawn(self)
        else:
            # It says all there is left to say.
            self.control_grant = 0
            self.stop_to_send = None
            self.error_to_send = error
            self._host.control_offered(self)
            if self.opened_here:
                self._host.given_up()
        self._inbound.clear()
        self.end(error)

    def finish(self) -> None:
        """The handler is done: input unread is stopped, output unended is reset, and the slot is free.

        An end that still waits to be framed is sent first; the slot is free then.
        """
        last = self.pending
        if last is not None and last.end and self.state is not _UNOPENED:
            self.stop_receiving("")
            self.left = True
            return
        if self.state is _LOCAL_ENDED:
            self.stop_receiving("")
        elif self.state is not _CLOSED:
            self.reset(SessionError(ErrorCode.INTERNAL, "the conversation was left unfinished"))
        self.left = True
        self._release()

    def stop_receiving(self, code: str) -> None:
        """Tell the peer that no more of its input is needed; what still comes is dropped."""
        if self.state in (_REMOTE_ENDED, _CLOSED, _UNOPENED) or self._discarding:
            return
        self._discarding = True
        self._inbound.clear()
        self.stop_to_send = code
        self._host.control_offered(self)
        self.state = TRANSITIONS[self.state, _REMOTE_END]

    # -- used by the multiplexer

    def wait_with(self, payload: SessionPayload, cost: int) -> None:
        """Let ``payload`` of ``cost`` wait to be framed.

        Raises:
            SessionError: ``too_large``: no frame holds so many fields.
        """
        size = encoded_bound(payload, cost)
        if size > MAX_ENVELOPE_BYTES:
            raise SessionError(ErrorCode.TOO_LARGE, "the head has too many fields")
        self.pending = payload
        self.pending_cost = cost
        self.pending_bytes = size

    def opened(self) -> None:
        """The opening was framed, or arrived."""
        self.state = TRANSITIONS[self.state, _OPENED]
        if not self.opened_here:
            if needs_assembly(self.head):
                self.head_incomplete = True
                self._begin_assembly(self.head)
            elif self.head.end:
                self.state = TRANSITIONS[self.state, _REMOTE_END]

    def consumed_at_once(self, cost: int, now: float) -> None:
        """What arrived is in the handler's hands already: return its credit to the peer."""
        self._consume(cost, now)

    def framed(self) -> None:
        """What waited was framed."""
        payload = self.pending
        assert payload is not None
        self.pending = None
        self.ahead = ()
        if self._pieces is not None:
            self._next_piece()
        if payload.end:
            self.state = TRANSITIONS[self.state, _LOCAL_END]
            if self.left:
                self._release()

    def arrived(self, payload: SessionPayload, cost: int, now: float) -> bool:
        """Take in an envelope of the peer's; whether there is something new for the handler."""
        if self.state is _CLOSED or self._discarding:
            return False
        if self.state is _REMOTE_ENDED:
            self.reset(SessionError(ErrorCode.PROTOCOL_ERROR, "the peer sent more after its end"))
            return True
        window = self.receive_window
        if window is None or not window.arrived(cost):
            self.reset(SessionError(ErrorCode.FLOW_CONTROL, "the peer sent more than it had credit for"))
            return True
        if type(payload) is not BodyChunk:
            problem = self._host.head_limits.problem(payload, cost)
            if problem is not None:
                self.reset(problem)
                return True
        if self._assembly is not None or needs_assembly(payload) or isinstance(payload, HeadPart):
            return self._assemble(payload, cost, now)
        self._inbound.append((payload, cost))
        if payload.end:
            self.state = TRANSITIONS[self.state, _REMOTE_END]
        return True

    def peer_stopped(self, code: str) -> bool:
        """The peer wants no more; whether that is news for the handler."""
        if self.state not in (_OPEN, _REMOTE_ENDED):
            return False
        self.stopped = SendingStopped(code)
        self._forget_pending()
        self.state = TRANSITIONS[self.state, _LOCAL_END]
        if self.left:
            self._release()
        return not self.left

    def end(self, error: SessionError) -> bool:
        """Both directions are over because of ``error``; whether that is news for the handler."""
        if self.state is _CLOSED:
            return False
        self.state = TRANSITIONS[self.state, _RESET]
        self._forget_pending()
        self.error = error
        if self.left:
            self._release()
        return not self.left

    # -- inside

    def _next_piece(self) -> None:
        assert self._pieces is not None
        piece = next(self._pieces, None)
        self.begun = piece is not None
        if piece is None:
            self._pieces = None
        else:
            self.wait_with(piece, piece.cost)

    def _forget_pending(self) -> None:
        self.pending = None
        self.ahead = ()
        self._pieces = None

    def _release(self) -> None:
        self._inbound.clear()
        window = self.receive_window
        if window is not None:
            window.close()
            self.receive_window = None
        self._host.finished(self)

    def _consume(self, cost: int, now: float) -> None:
        window = self.receive_window
        if window is None or self.state is _REMOTE_ENDED or self.state is _CLOSED:
            return
        grant = window.consumed(cost, now, self._host.round_trip_s)
        if grant:
            self.control_grant += grant
            self._host.control_offered(self)

    def _begin_assembly(self, announced: SessionPayload) -> None:
        if isinstance(announced, HeadPart) or self._assembled == _MAX_ASSEMBLED_HEADS:
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "a part of a head came that nothing announced")
        self._assembled += 1
        self._assembly = HeadAssembly(announced, self._host.head_limits.max_bytes)

    def _assemble(self, payload: SessionPayload, cost: int, now: float) -> bool:
        self._consume(cost, now)
        try:
            if self._assembly is None:
                self._begin_assembly(payload)
                return False
            whole = self._assembly.add(payload)
        except SessionError as exc:
            self.reset(exc)
            return True
        if whole is None:
            return False
        problem = self._host.head_limits.problem(whole, 0)
        if problem is not None:
            self.reset(problem)
            return True
        self._assembly = None
        if self.head_incomplete:
            self.head_incomplete = False
            self.head = whole  # type: ignore[assignment]  # the assembly only completes to what was announced
        else:
            self._inbound.append((whole, 0))
        if whole.end:
            self.state = TRANSITIONS[self.state, _REMOTE_END]
        return True
