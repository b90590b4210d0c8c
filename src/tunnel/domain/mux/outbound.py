"""What goes next on the link.

1. Uncounted envelopes (handshake, configuration, ping, pong, close): a frame of their own, at once. They are neither
   numbered nor kept.
2. After another link was attached, what the peer has not received, as it was framed before, as far as the link's pacing
   allows; until that is done nothing else that is counted.
3. Counted control (go_away, window_update, stop_sending, error), whatever the windows say. What was not sent yet
   coalesces per session. When its reserve is full of what the peer did not acknowledge, it waits; should more wait than
   all sessions together can have to say, the tunnel has to end.
4. Openings, up to half a frame, so that data cannot keep them waiting nor they data.
5. Data by deficit round robin over the sessions that have credit, one envelope of each; of a session that is alone in
   its tunnel as many pieces of what it has to say as there is room for.
6. Openings and data stop while the replay window or the link's pacing is full.
7. Nothing of these, and an acknowledgement is due: a frame of no envelopes.
"""

from __future__ import annotations

from collections import deque

from tunnel.domain.envelopes import (
    KIND_OF,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Envelope,
    Error,
    Frame,
    GoAway,
    HeadPart,
    Payload,
    Ping,
    Pong,
    StopSending,
    WindowUpdate,
)
from tunnel.domain.limits import (
    COST_OVERHEAD_BYTES,
    KIB,
    MAX_CHUNK_COST,
    MAX_FRAME_BYTES,
    MAX_TEXT_CHARS,
    MAX_UNFINISHED_HEADS,
)
from tunnel.domain.mux.acknowledgement import Acknowledgement
from tunnel.domain.mux.pacing import LinkPacing
from tunnel.domain.mux.pieces import MAX_ENVELOPE_BYTES, needs_assembly
from tunnel.domain.mux.retention import CONTROL_RESERVE_BYTES, RetainedFrame, Retention
from tunnel.domain.mux.session import Session

__all__ = ["ControlOverflow", "Outbound"]

_FRAME_OVERHEAD_BYTES = 64
_QUANTUM = 16 * KIB
_MANY_SESSIONS = 24
"""Sessions with something to say that are worth a frame. When all that one round of the event loop brings goes out as
one frame, all conversations move together: while this process works the peer has nothing to do, and while the peer
works this one has not. Smaller frames cost more than the overlap brings (docs/performance.md)."""
_LARGE_COST = MAX_CHUNK_COST // 2
"""Of a chunk that is worth a frame: what a frame costs by itself is little beside so many bytes, and less than to have
who sends them wait in between."""
_CONTROL_COST = COST_OVERHEAD_BYTES
_MAX_SESSION_CONTROL_COST = 3 * _CONTROL_COST + 3 * 4 * MAX_TEXT_CHARS
"""What one session says at most in one frame."""
_MAX_CONTROL_WAITING = CONTROL_RESERVE_BYTES // _CONTROL_COST
"""Finished sessions with control still waiting, beside the live ones."""


class ControlOverflow(Exception):
    """More control waits for the peer to acknowledge than an honest peer can cause."""


class Outbound:
    """Queues of what may be sent, and the choice among them.

    Args:
        next_id: The first session id this end assigns; later ones go up by two.
        max_sessions: Sessions there can be at once, of both sides.
        replay_window_bytes: Bound of the frames kept until acknowledged.
        acknowledgement: Kept by the receiving half; every frame carries its count.
        pacing: The attached link's.
    """

    def __init__(
        self,
        *,
        next_id: int,
        max_sessions: int,
        replay_window_bytes: int,
        acknowledgement: Acknowledgement,
        pacing: LinkPacing,
    ) -> None:
        self.retention = Retention(replay_window_bytes)
        self.pacing = pacing
        self.framed: list[Session] = []
        """Sessions that have nothing waiting any more, since the list was last emptied."""
        self.opened: list[Session] = []
        """Sessions whose opening was framed since the list was last emptied."""
        self._acknowledgement = acknowledgement
        self.next_id = next_id
        self._most_waiting = max_sessions + _MAX_CONTROL_WAITING
        self._uncounted: deque[Payload] = deque()
        self._pong: Pong | None = None
        self._go_away: GoAway | None = None
        self._control: deque[Session] = deque()
        self._openings: deque[Session] = deque()
        self._ring: deque[Session] = deque()
        self._unfinished: set[Session] = set()
        """Sessions of ours whose opening was framed, and the last part of it was not."""

    # -- queues

    def uncounted(self, payload: Payload) -> None:
        """Queue an envelope of the tunnel's own. One that makes others pointless takes their place as they still wait.

        So neither what the peer sends nor what the application does can pile up envelopes that it does not read.
        """
        self._uncounted = deque(each for each in self._uncounted if not _outdated(each, payload))
        self._uncounted.append(payload)

    def pong(self, payload: Pong) -> None:
        """Queue the answer to a ping; one not sent yet is replaced, so that pings cannot pile up answers."""
        self._pong = payload

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

    def detached(self) -> None:
        """The link was lost: what was to be said of it, or asked of it, is void."""
        self._uncounted.clear()
        self._pong = None

    def clear(self) -> None:
        """Forget everything but openings, which were taken: the tunnel has ended, and nobody is there to be told."""
        self.retention.clear()
        self._uncounted.clear()
        self._pong = None
        self._go_away = None
        self._control.clear()
        self._ring.clear()
        self._unfinished.clear()
        self._acknowledgement.told()

    @property
    def pending(self) -> bool:
        """Whether ``next_frame`` may have something; False is certain."""
        return bool(
            self._control
            or self._openings
            or self._ring
            or self._uncounted
            or self._pong is not None
            or self._go_away is not None
            or self._acknowledgement.due
            or self.retention.again is not None
        )

    @property
    def waiting(self) -> int:
        """Sessions that may be framed."""
        return len(self._ring) + len(self._openings)

    @property
    def crowded(self) -> bool:
        """Whether as many sessions may be framed as are worth a frame."""
        return len(self._ring) + len(self._openings) >= _MANY_SESSIONS

    @property
    def bulky(self) -> bool:
        """Whether the session that had something to say last has enough of it for a frame."""
        ring = self._ring
        return bool(ring) and ring[-1].pending_cost >= _LARGE_COST

    @property
    def queued(self) -> int:
        """Openings, messages and sessions that wait for the next frame."""
        return len(self._uncounted) + len(self._control) + len(self._openings) + len(self._ring)

    @property
    def idle(self) -> bool:
        """Whether everything counted was sent and acknowledged."""
        return not (self._control or self._openings or self._ring or self._go_away or len(self.retention))

    # -- the choice

    def next_frame(self, now: float, *, alone: bool) -> Frame | None:
        """The next frame to send, None when nothing may go.

        Args:
            now: Seconds.
            alone: Whether there is but one session, whom nobody is kept waiting by.

        Raises:
            ControlOverflow: The reserve for control is exhausted; the tunnel has to end.
        """
        acknowledgement = self._acknowledgement
        if self._uncounted or self._pong is not None:
            payload = self._next_uncounted()
            acknowledgement.told()
            return Frame((Envelope(0, KIND_OF[type(payload)], payload),), acknowledgement.received)
        frame = self._again(now) if self.retention.again is not None else self._new(now, alone=alone)
        if frame is None and acknowledgement.due:
            frame = Frame((), acknowledgement.received)
        if frame is not None:
            acknowledgement.told()
        return frame

    def _again(self, now: float) -> Frame | None:
        """The next of the frames that were lost with the link before."""
        again = self.retention.again
        assert again is not None
        pacing = self.pacing
        if again.cost and again.cost > pacing.room and pacing.in_flight:
            return None
        self.retention.handed_again()
        again.sent_at = now
        again.delivered_before = pacing.delivered
        pacing.sent(again.cost + again.control_cost)
        return Frame(again.frame.envelopes, self._acknowledgement.received, again.frame.seq)

    def _new(self, now: float, *, alone: bool) -> Frame | None:
        retention = self.retention
        pacing = self.pacing
        envelopes: list[Envelope] = []
        control_cost = cost = 0
        if self._control or self._go_away is not None:
            control_cost = self._frame_control(envelopes)
        if self._openings or self._ring:
            room = pacing.room
            if not retention.cost:
                # Whatever was cut when the link was allowed more goes by itself, or it would never go.
                room = max(room, MAX_CHUNK_COST)
            room = min(room, retention.room)
            if room > 0:
                size = MAX_FRAME_BYTES - _FRAME_OVERHEAD_BYTES - control_cost
                if not pacing.wide:
                    size = min(size, MAX_ENVELOPE_BYTES)
                if self._openings:
                    cost, spent = self._frame_openings(envelopes, min(size, MAX_ENVELOPE_BYTES), room)
                    size -= spent
                if self._ring:
                    cost += self._frame_data(envelopes, size, room - cost, alone=alone and pacing.wide)
        if not envelopes:
            return None
        frame = Frame(tuple(envelopes), self._acknowledgement.received, retention.sent + 1)
        retention.keep(RetainedFrame(frame, cost, control_cost, now, pacing.delivered))
        pacing.sent(cost + control_cost)
        return frame

    def _next_uncounted(self) -> Payload:
        pong = self._pong
        if pong is None:
            return self._uncounted.popleft()
        self._pong = None
        return pong

    def _frame_control(self, envelopes: list[Envelope]) -> int:
        cost = 0
        if self._go_away is not None:
            cost += _CONTROL_COST
            envelopes.append(Envelope(0, KIND_OF[GoAway], self._go_away))
            self._go_away = None
        control = self._control
        # Half a frame at a time leaves room for data; the rest goes with the next frame, before anything else.
        reserve = CONTROL_RESERVE_BYTES - self.retention.control_cost - _MAX_SESSION_CONTROL_COST
        most = min(MAX_FRAME_BYTES // 2, reserve)
        while control and cost < most:
            session = control.popleft()
            session.control_queued = False
            if session.control_grant:
                cost += _CONTROL_COST
                envelopes.append(Envelope(session.id, KIND_OF[WindowUpdate], WindowUpdate(session.control_grant)))
                session.control_grant = 0
            if session.stop_to_send is not None:
                code = session.stop_to_send[:MAX_TEXT_CHARS]
                cost += _CONTROL_COST + 4 * len(code)
                envelopes.append(Envelope(session.id, KIND_OF[StopSending], StopSending(code)))
                session.stop_to_send = None
            if session.error_to_send is not None:
                error = session.error_to_send
                payload = Error(error.code.value, error.message[:MAX_TEXT_CHARS], error.detail[:MAX_TEXT_CHARS])
                cost += _CONTROL_COST + 4 * (len(payload.message) + len(payload.detail))
                envelopes.append(Envelope(session.id, KIND_OF[Error], payload))
                session.error_to_send = None
        if len(control) > self._most_waiting:
            raise ControlOverflow
        return cost

    def _frame_openings(self, envelopes: list[Envelope], size: int, room: int) -> tuple[int, int]:
        """Frame openings; their cost, and the bytes they take of the frame."""
        spent = taken = 0
        openings = self._openings
        while openings:
            session = openings[0]
            cost = session.pending_cost
            if session.pending_bytes > size - taken or cost > room - spent:
                break
            if needs_assembly(session.pending):
                if not self._may_begin_head():
                    break
                self._unfinished.add(session)
            openings.popleft()
            session.id = self.next_id
            self.next_id += 2
            session.opened()
            session.deficit = -cost
            self.opened.append(session)
            spent += cost
            taken += session.pending_bytes
            self._frame_pending(envelopes, session)
        return spent, taken

    def _may_begin_head(self) -> bool:
        if len(self._unfinished) < MAX_UNFINISHED_HEADS:
            return True
        self._unfinished = {session for session in self._unfinished if session.sending}
        return len(self._unfinished) < MAX_UNFINISHED_HEADS

    def _frame_data(self, envelopes: list[Envelope], size: int, room: int, *, alone: bool) -> int:
        """Frame data; its cost."""
        spent = taken = 0
        ring = self._ring
        again: list[Session] = []
        quantum = min(_QUANTUM, self.pacing.chunk_cost)
        while ring:
            session = ring[0]
            cost = session.pending_cost
            if session.pending is None or cost > session.send_window.credit:
                # Without credit it comes back when some is granted.
                ring.popleft()
                session.in_ring = False
                session.deficit = min(session.deficit, 0)
                continue
            if cost > session.deficit and len(ring) > 1:
                session.deficit += quantum
                if cost > session.deficit:
                    ring.rotate(-1)
                    continue
            if session.pending_bytes > size - taken or cost > room - spent:
                break
            ring.popleft()
            session.in_ring = False
            session.deficit = max(0, session.deficit - cost)
            spent += cost
            taken += session.pending_bytes
            self._frame_pending(envelopes, session)
            if session.pending is not None:
                session.in_ring = True
                (ring if alone else again).append(session)
        ring.extend(again)
        return spent

    def _frame_pending(self, envelopes: list[Envelope], session: Session) -> None:
        payload = session.pending
        assert payload is not None
        if session.ahead:
            envelopes.extend(Envelope(session.id, KIND_OF[type(each)], each) for each in session.ahead)
        session.send_window.credit -= session.pending_cost
        session.framed()
        if type(payload) is HeadPart and not payload.more:
            self._unfinished.discard(session)
        if session.pending is None:
            self.framed.append(session)
        envelopes.append(Envelope(session.id, KIND_OF[type(payload)], payload))


def _outdated(waiting: Payload, payload: Payload) -> bool:
    """Whether ``waiting`` need not be sent, as ``payload`` will be."""
    match payload:
        case ConfigSyncResponse(version=version, hash=digest):
            return isinstance(waiting, ConfigSyncResponse) and (waiting.version, waiting.hash) != (version, digest)
        case ConfigApplied():
            return isinstance(waiting, ConfigApplied | ConfigRejected)
        case ConfigRejected():
            # What was applied before it has to be known: it stays in force.
            return isinstance(waiting, ConfigRejected)
        case Ping():
            # Only the answer to the last one counts.
            return isinstance(waiting, Ping)
        case _:
            return False
