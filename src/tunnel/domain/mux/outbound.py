"""What goes next on the link.

1. Uncounted envelopes (handshake, configuration, ping, pong, close): a frame of their own, at once. They are neither
   numbered nor kept.
2. Counted control (go_away, window_update, stop_sending, error), whatever the windows say. What was not sent yet
   coalesces per session.
3. Openings, up to half a frame, so that data cannot keep them waiting nor they data.
4. Data by deficit round robin over the sessions that have credit.
5. Openings and data stop while the replay window or the link's pacing is full.
6. Nothing of these, and an acknowledgement is due: a frame of no envelopes.
"""

from __future__ import annotations

from collections import deque

from tunnel.domain.envelopes import (
    KIND_OF,
    Envelope,
    Error,
    Frame,
    GoAway,
    GrpcFrame,
    HttpRequest,
    HttpResponse,
    Payload,
    SessionPayload,
    StopSending,
    Trailers,
    WindowUpdate,
)
from tunnel.domain.limits import COST_OVERHEAD_BYTES, KIB, MAX_FRAME_BYTES
from tunnel.domain.mux.acknowledgement import Acknowledgement
from tunnel.domain.mux.pacing import LinkPacing
from tunnel.domain.mux.retention import CONTROL_RESERVE_BYTES, RetainedFrame, Retention
from tunnel.domain.mux.session import Session

__all__ = ["ControlOverflow", "Outbound"]

_FRAME_OVERHEAD_BYTES = 64
_FIELD_OVERHEAD_BYTES = 5
"""Most that any codec spends on the tag and length of one header name or value."""
_QUANTUM = 16 * KIB
_CONTROL_COST = COST_OVERHEAD_BYTES


class ControlOverflow(Exception):
    """More control is unacknowledged than the reserve holds."""


class Outbound:
    """Queues of what may be sent, and the choice among them.

    Args:
        next_id: The first session id this end assigns; later ones go up by two.
        replay_window_bytes: Bound of the frames kept until acknowledged.
        acknowledgement: Kept by the receiving half; every frame carries its count.
        pacing: The attached link's.
    """

    def __init__(
        self, *, next_id: int, replay_window_bytes: int, acknowledgement: Acknowledgement, pacing: LinkPacing
    ) -> None:
        self.retention = Retention(replay_window_bytes)
        self.pacing = pacing
        self.framed: list[Session] = []
        """Sessions whose waiting envelope was framed since the list was last emptied."""
        self.opened: list[Session] = []
        """Sessions whose opening was framed since the list was last emptied."""
        self._acknowledgement = acknowledgement
        self.next_id = next_id
        self._uncounted: deque[Payload] = deque()
        self._go_away: GoAway | None = None
        self._control: deque[Session] = deque()
        self._openings: deque[Session] = deque()
        self._ring: deque[Session] = deque()

    # -- queues

    def uncounted(self, payload: Payload) -> None:
        """Queue an envelope of the tunnel's own."""
        self._uncounted.append(payload)

    def go_away(self, payload: GoAway) -> None:
        """Queue a go_away; one not sent yet is replaced."""
        self._go_away = payload

    def control(self, session: Session) -> None:
        """``session`` has a grant, a stop or an error to send."""
        if not session.control_queued:
            session.control_queued = True
            self._control.append(session)

    def opening(self, session: Session) -> None:
        """``session`` waits to be opened."""
        self._openings.append(session)

    def data(self, session: Session) -> None:
        """``session`` has an envelope waiting."""
        if not session.in_ring:
            session.in_ring = True
            self._ring.append(session)

    def withdraw_opening(self, session: Session) -> None:
        """``session`` is not to be opened any more."""
        self._openings.remove(session)

    def take_openings(self) -> list[Session]:
        """All sessions that were never handed to a link; none of them will be."""
        sessions = list(self._openings)
        self._openings.clear()
        return sessions

    @property
    def pending(self) -> bool:
        """Whether ``next_frame`` may have something; False is certain."""
        return bool(
            self._uncounted
            or self._control
            or self._openings
            or self._ring
            or self._go_away is not None
            or self._acknowledgement.due
        )

    @property
    def idle(self) -> bool:
        """Whether everything counted was sent and acknowledged."""
        return not (self._control or self._openings or self._ring or self._go_away or len(self.retention))

    # -- the choice

    def next_frame(self, now: float) -> Frame | None:
        """The next frame to send, None when nothing may go.

        Raises:
            ControlOverflow: The reserve for control is exhausted; the tunnel has to end.
        """
        acknowledgement = self._acknowledgement
        if self._uncounted:
            payload = self._uncounted.popleft()
            acknowledgement.told()
            return Frame((Envelope(0, KIND_OF[type(payload)], payload),), acknowledgement.received)
        envelopes: list[Envelope] = []
        control_cost = self._frame_control(envelopes)
        cost = 0
        if self._openings or self._ring:
            room = min(self.retention.room, self.pacing.limit - self.pacing.in_flight)
            if room > 0:
                size = MAX_FRAME_BYTES - _FRAME_OVERHEAD_BYTES - control_cost
                cost = self._frame_openings(envelopes, min(size, MAX_FRAME_BYTES // 2), room)
                cost += self._frame_data(envelopes, size - cost, room - cost)
        if envelopes:
            acknowledgement.told()
            frame = Frame(tuple(envelopes), acknowledgement.received, self.retention.sent + 1)
            self.retention.keep(RetainedFrame(frame, cost, control_cost, now, self.pacing.delivered))
            self.pacing.sent(cost + control_cost)
            return frame
        if acknowledgement.due:
            acknowledgement.told()
            return Frame((), acknowledgement.received)
        return None

    def _frame_control(self, envelopes: list[Envelope]) -> int:
        cost = 0
        if self._go_away is not None:
            cost += _CONTROL_COST
            envelopes.append(Envelope(0, KIND_OF[GoAway], self._go_away))
            self._go_away = None
        control = self._control
        # Half a frame at a time leaves room for data; the rest goes with the next frame, before anything else.
        while control and cost < MAX_FRAME_BYTES // 2:
            session = control.popleft()
            session.control_queued = False
            if session.control_grant:
                cost += _CONTROL_COST
                envelopes.append(Envelope(session.id, KIND_OF[WindowUpdate], WindowUpdate(session.control_grant)))
                session.control_grant = 0
            if session.stop_to_send is not None:
                cost += _CONTROL_COST + len(session.stop_to_send)
                envelopes.append(Envelope(session.id, KIND_OF[StopSending], StopSending(session.stop_to_send)))
                session.stop_to_send = None
            if session.error_to_send is not None:
                error = session.error_to_send
                payload = Error(error.code.value, error.message[:1024], error.detail[:1024])
                cost += _CONTROL_COST + 4 * (len(payload.message) + len(payload.detail))
                envelopes.append(Envelope(session.id, KIND_OF[Error], payload))
                session.error_to_send = None
        if self.retention.control_cost + cost > CONTROL_RESERVE_BYTES:
            raise ControlOverflow
        return cost

    def _frame_openings(self, envelopes: list[Envelope], size: int, room: int) -> int:
        spent = 0
        while self._openings:
            session = self._openings[0]
            payload = session.pending
            assert payload is not None
            cost = session.pending_cost
            if _bound(payload, cost) > size - spent or cost > room - spent:
                break
            self._openings.popleft()
            session.id = self.next_id
            self.next_id += 2
            session.opened()
            self.opened.append(session)
            spent += self._frame_payload(envelopes, session, payload, cost)
        return spent

    def _frame_data(self, envelopes: list[Envelope], size: int, room: int) -> int:
        spent = 0
        ring = self._ring
        while ring:
            session = ring[0]
            payload = session.pending
            cost = session.pending_cost
            if payload is None or cost > session.send_window.credit:
                # Without credit it comes back when some is granted.
                ring.popleft()
                session.in_ring = False
                session.deficit = 0
                continue
            if cost > session.deficit and len(ring) > 1:
                session.deficit += _QUANTUM
                if cost > session.deficit:
                    ring.rotate(-1)
                    continue
            if _bound(payload, cost) > size - spent or cost > room - spent:
                break
            ring.popleft()
            session.in_ring = False
            session.deficit = max(0, session.deficit - cost)
            spent += self._frame_payload(envelopes, session, payload, cost)
        return spent

    def _frame_payload(self, envelopes: list[Envelope], session: Session, payload: SessionPayload, cost: int) -> int:
        session.send_window.credit -= cost
        session.framed()
        self.framed.append(session)
        envelopes.append(Envelope(session.id, KIND_OF[type(payload)], payload))
        return cost


def _bound(payload: SessionPayload, cost: int) -> int:
    """Most that ``payload`` takes in any codec; its cost already includes 256 bytes for the envelope."""
    match payload:
        case HttpRequest() | HttpResponse() | Trailers():
            return cost + _FIELD_OVERHEAD_BYTES * len(payload.headers)
        case GrpcFrame():
            return cost + _FIELD_OVERHEAD_BYTES * len(payload.metadata)
        case _:
            return cost
