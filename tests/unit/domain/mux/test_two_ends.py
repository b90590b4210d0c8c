"""Two honest ends, whatever they do: every byte once and in order, or an end that both learn of."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mux_kit import CLIENT, CONTROL, SERVER, Ends

from tunnel.domain.envelopes import (
    BodyChunk,
    Frame,
    GrpcFrame,
    HttpRequest,
    HttpResponse,
    SessionPayload,
    TcpOpen,
    Trailers,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import KIB, MAX_FRAME_BYTES, Limits
from tunnel.domain.messagepack import encode_frame
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Received
from tunnel.domain.mux.pieces import split
from tunnel.domain.mux.retention import CONTROL_RESERVE_BYTES
from tunnel.domain.mux.session import Session
from tunnel.domain.mux.session_state import SessionState
from tunnel.domain.tunnel_state import TunnelState

SIDES = st.sampled_from([CLIENT, SERVER])
PICKS = st.integers(0, 2**16)
SIZES = st.sampled_from([0, 1, 100, 3000, 20_000, 70_000])
FIELDS = st.sampled_from([(0, 0), (8, 10), (200, 1), (1, 5000), (3, 20_000)])
OPENINGS = st.tuples(SIDES, SIZES, FIELDS, st.booleans())
DISRUPTIONS = ["reset", "withdraw", "stop", "finish", "go_away", "end"]
"""What may go wrong; a run has some of it, so that others come to talk undisturbed."""
REASON = SessionError(ErrorCode.CANCELLED, "enough", detail="of this")


def fields(number: int, size: int) -> tuple[bytes, ...]:
    return (b"n", b"v" * size) * number


@dataclass(eq=False)
class Handler:
    """One side of a conversation: what it means to say, and what it was told."""

    session: Session
    opener: bool
    plan: list[SessionPayload] = field(default_factory=list)
    answered: bool = False
    said_heads: list[SessionPayload] = field(default_factory=list)
    said: bytearray = field(default_factory=bytearray)
    heard_heads: list[SessionPayload] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    heard_end: bool = False
    errors: int = 0
    finished: bool = False
    stopped_reading: bool = False

    @property
    def may_say(self) -> bool:
        states = (SessionState.OPEN, SessionState.REMOTE_ENDED)
        return not self.finished and self.session.state in states and self.session.pending is None

    def say(self, payload: SessionPayload, limit: int) -> None:
        """Plan to send ``payload``, and remember what has to arrive."""
        self.plan += split(payload, limit)
        if isinstance(payload, BodyChunk):
            self.said += payload.data
        elif isinstance(payload, HttpResponse):
            self.said_heads.append(HttpResponse(payload.status, payload.headers))
            self.said += payload.body
        else:
            self.said_heads.append(payload)

    def hear(self, payload: SessionPayload) -> None:
        assert not self.heard_end
        if isinstance(payload, BodyChunk):
            self.heard += payload.data
        elif isinstance(payload, HttpResponse):
            self.heard_heads.append(HttpResponse(payload.status, payload.headers))
            self.heard += payload.body
        else:
            assert isinstance(payload, Trailers)
            self.heard_heads.append(payload)
        self.heard_end = payload.end

    @property
    def quiet_end(self) -> bool:
        """Whether both directions ended by themselves."""
        return self.session.state is SessionState.CLOSED and self.session.error is None


@dataclass(eq=False)
class Conversation:
    opener: int
    head: HttpRequest
    handlers: list[Handler | None]


class TwoEnds(RuleBasedStateMachine):
    @initialize(
        encoded=st.booleans(),
        window=st.sampled_from([8 * KIB, 16 * KIB, 64 * KIB]),
        receive=st.sampled_from([64 * KIB, 512 * KIB]),
        max_sessions=st.integers(1, 6),
        process=st.sampled_from([192 * KIB, 1024 * KIB]),
        disruptions=st.sets(st.sampled_from(DISRUPTIONS), min_size=1, max_size=4),
    )
    def begin(
        self, encoded: bool, window: int, receive: int, max_sessions: int, process: int, disruptions: set[str]
    ) -> None:
        self.disruptions = disruptions
        self.limits = Limits(
            session_window_bytes=window,
            session_window_max_bytes=window * 4,
            tunnel_receive_bytes=receive,
            replay_window_bytes=256 * KIB,
            max_sessions=max_sessions,
        )
        self.budget = Budget(process)
        self.ends = Ends(self.limits, budget=self.budget, encoded=encoded)
        self.conversations: dict[bytes, Conversation] = {}
        self.names = count()
        self.last_id = [-1, 0]
        self.over = False

    # -- what the handlers do

    def handlers(self, side: int) -> list[Handler]:
        """Handlers of ``side`` that are not finished."""
        all_handlers = (conversation.handlers[side] for conversation in self.conversations.values())
        return [handler for handler in all_handlers if handler is not None and not handler.finished]

    def pick(self, side: int, pick: int) -> Handler | None:
        handlers = self.handlers(side)
        return handlers[pick % len(handlers)] if handlers else None

    @rule(openings=st.lists(OPENINGS, min_size=1, max_size=4), move=st.booleans(), answer=st.booleans())
    def open(self, openings: list[tuple[int, int, tuple[int, int], bool]], move: bool, answer: bool) -> None:
        for side, size, fields_, whole in openings:
            self.open_one(side, size, fields_, whole=whole)
        for side, size, fields_, whole in openings if move else ():
            self.move(side)
            for handler in self.handlers(1 - side) if answer else ():
                self.answer_with(handler, size, fields_, end=whole)

    def open_one(self, side: int, size: int, fields_: tuple[int, int], *, whole: bool) -> None:
        mux = self.ends.muxes[side]
        name = b"/%d" % next(self.names)
        head = HttpRequest("POST", name, headers=fields(*fields_))
        body = b"b" * size
        payload = HttpRequest("POST", name, headers=head.headers, body=body, end=True) if whole else head
        first, *rest = split(payload, mux.opening_cost)
        refusal = self.expected_refusal(side)
        try:
            session = mux.open(first, self.ends.now)
        except SessionError as exc:
            code = exc.code
        else:
            code = None
        assert code == refusal
        if code is not None:
            return
        handler = Handler(session, opener=True, plan=rest)
        if whole:
            handler.said += body
        handlers: list[Handler | None] = [None, None]
        handlers[side] = handler
        self.conversations[name] = Conversation(side, head, handlers)

    def expected_refusal(self, side: int) -> ErrorCode | None:
        mux = self.ends.muxes[side]
        # A session whose last envelope still waits counts though its handler is done.
        sessions = [*mux._sessions._sessions.values(), *mux._sessions._unopened]
        mine = sum(session.opened_here for session in sessions)
        if mux.state is not TunnelState.ATTACHED or mine >= self.limits.max_sessions:
            return ErrorCode.REFUSED
        window = self.limits.session_window_bytes
        if mux.reserved_bytes + window > self.limits.tunnel_receive_bytes:
            return ErrorCode.OVERLOADED
        return ErrorCode.OVERLOADED if self.budget.reserved_bytes + window > self.budget.limit_bytes else None

    @rule(side=SIDES, pick=PICKS, size=SIZES, fields_=FIELDS, end=st.booleans())
    def answer(self, side: int, pick: int, size: int, fields_: tuple[int, int], end: bool) -> None:
        handler = self.pick(side, pick)
        if handler is not None:
            self.answer_with(handler, size, fields_, end=end)

    def answer_with(self, handler: Handler, size: int, fields_: tuple[int, int], *, end: bool) -> None:
        if handler.opener or handler.answered:
            return
        handler.answered = True
        handler.say(HttpResponse(200, fields(*fields_), b"a" * size, end), handler.session.send_window.chunk_cost)

    @rule(side=SIDES, pick=PICKS, size=SIZES, end=st.sampled_from(["", "", "body", "trailers"]))
    def say_more(self, side: int, pick: int, size: int, end: str) -> None:
        handler = self.pick(side, pick)
        if handler is None or not (handler.opener or handler.answered):
            return
        if handler.plan and handler.plan[-1].end:
            return
        if handler.session.state not in (SessionState.UNOPENED, SessionState.OPEN, SessionState.REMOTE_ENDED):
            return
        if handler.session.pending is not None and handler.session.pending.end:
            return
        limit = handler.session.send_window.chunk_cost
        data = bytes((len(handler.said) + i) % 251 for i in range(min(size, 200))) * max(1, size // 200)
        if size or end == "body":
            handler.say(BodyChunk(data[:size], end=end == "body"), limit)
        if end == "trailers":
            handler.say(Trailers(fields(2, 3000)), limit)
        self.offer(handler)

    @rule(side=SIDES, pick=PICKS)
    def offer_next(self, side: int, pick: int) -> None:
        handler = self.pick(side, pick)
        if handler is not None:
            self.offer(handler)

    def offer(self, handler: Handler) -> None:
        session = handler.session
        if not handler.plan or session.pending is not None or session.state is SessionState.UNOPENED:
            return
        expected = session.error or session.stopped
        assert handler.may_say or expected is not None
        raised: Exception | None = None
        try:
            session.offer(handler.plan[0])
        except (SessionError, SendingStopped) as exc:
            raised = exc
            handler.plan.clear()
        else:
            handler.plan.pop(0)
        assert raised is expected

    @rule(side=SIDES, pick=PICKS)
    def take(self, side: int, pick: int) -> None:
        handler = self.pick(side, pick)
        if handler is not None:
            self.read(handler)

    def read(self, handler: Handler) -> bool:
        session = handler.session
        readable = session.readable
        payload = raised = None
        try:
            payload = session.take(self.ends.now)
        except SessionError as exc:
            raised = exc
        assert raised is None or raised is session.error
        assert (payload is not None or raised is not None) == readable
        if payload is not None:
            handler.hear(payload)
        return payload is not None

    @rule(side=SIDES, pick=PICKS)
    @precondition(lambda self: "reset" in self.disruptions)
    def reset(self, side: int, pick: int) -> None:
        handler = self.pick(side, pick)
        if handler is None:
            return
        before = handler.session.state
        handler.session.reset(REASON)
        if before is not SessionState.CLOSED:
            handler.errors += 1
        assert handler.session.state is SessionState.CLOSED

    @rule(side=SIDES, pick=PICKS)
    @precondition(lambda self: "withdraw" in self.disruptions)
    def withdraw(self, side: int, pick: int) -> None:
        handler = self.pick(side, pick)
        if handler is None:
            return
        session = handler.session
        waiting, unopened = session.pending, session.state is SessionState.UNOPENED
        assert session.withdraw() == (waiting is not None)
        assert session.pending is None
        if unopened and waiting is not None:
            handler.errors += 1
            assert session.state is SessionState.CLOSED
        elif waiting is not None:
            handler.plan.insert(0, waiting)

    @rule(side=SIDES, pick=PICKS)
    @precondition(lambda self: "stop" in self.disruptions)
    def stop_receiving(self, side: int, pick: int) -> None:
        handler = self.pick(side, pick)
        if handler is None or handler.session.state is SessionState.UNOPENED:
            return
        if handler.session.state in (SessionState.OPEN, SessionState.LOCAL_ENDED):
            handler.stopped_reading = True
        handler.session.stop_receiving("enough")
        assert handler.session.state is not SessionState.OPEN

    @rule(side=SIDES, pick=PICKS)
    def finish(self, side: int, pick: int) -> None:
        handler = self.pick(side, pick)
        if handler is not None and ("finish" in self.disruptions or handler.session.state is SessionState.CLOSED):
            self.finish_handler(side, handler)

    def finish_handler(self, side: int, handler: Handler) -> None:
        mux = self.ends.muxes[side]
        session = handler.session
        before = mux.session_count
        last = session.pending
        waits = last is not None and last.end and session.state is not SessionState.UNOPENED
        session.finish()
        handler.finished = True
        if waits:
            # The slot is free once the end was framed.
            assert session.state is SessionState.REMOTE_ENDED
            assert mux.session_count == before
        else:
            assert session.state is SessionState.CLOSED
            assert session.receive_window is None
            assert mux.session_count == before - 1

    @rule(side=SIDES)
    @precondition(lambda self: "go_away" in self.disruptions and len(self.conversations) > 3)
    def go_away(self, side: int) -> None:
        self.ends.muxes[side].go_away("shutdown")

    # -- what the link does

    @rule(side=SIDES)
    def send(self, side: int) -> None:
        self.send_from(side)

    def send_from(self, side: int) -> Frame | None:
        mux = self.ends.muxes[side]
        out = mux._out
        control_first = bool(out._control or out._go_away) and not out._uncounted and out._pong is None
        frame = self.ends.send(side)
        if frame is None:
            assert not control_first or all(not session.control_grant for session in out._control)
            return None
        assert not self.over
        assert len(encode_frame(frame)) <= MAX_FRAME_BYTES
        kinds = [type(envelope.payload) for envelope in frame.envelopes]
        if not frame.seq:
            assert not any(kind in (*CONTROL, HttpRequest, HttpResponse, BodyChunk, Trailers) for kind in kinds)
            return frame
        assert all(
            kind in CONTROL or envelope.session_id for kind, envelope in zip(kinds, frame.envelopes, strict=True)
        )
        charged = [e.payload.cost for e in frame.envelopes if not isinstance(e.payload, CONTROL)]  # type: ignore[union-attr]
        if charged:
            control = out.retention._frames[-1].control_cost
            assert out.pacing.in_flight - control <= out.pacing.limit
        if control_first and any(kind in CONTROL for kind in kinds):
            assert kinds[0] in CONTROL
        for envelope in frame.envelopes:
            if isinstance(envelope.payload, (HttpRequest, TcpOpen)):
                assert envelope.session_id == self.last_id[side] + 2
                self.last_id[side] = envelope.session_id
            assert isinstance(envelope.payload, (*CONTROL, GrpcFrame)) or envelope.session_id <= max(self.last_id)
            if isinstance(envelope.payload, WindowUpdate):
                assert envelope.payload.bytes > 0
        return frame

    @rule(side=SIDES, most=st.integers(1, 5))
    @precondition(lambda self: any(self.ends.wires))
    def deliver(self, side: int, most: int) -> None:
        for _ in range(min(most, len(self.ends.wires[side]))):
            self.deliver_to(side)

    def move(self, side: int) -> None:
        self.send_from(side)
        while self.ends.wires[1 - side]:
            self.deliver_to(1 - side)

    @rule()
    @precondition(lambda self: bool(self.conversations))
    def everybody_talks(self) -> None:
        self.pump(most_rounds=5)

    def deliver_to(self, side: int) -> None:
        received = self.ends.deliver(side)
        assert received.closed is None
        self.note_changes(side, received)
        for session in received.opened:
            assert not session.opened_here
            head = session.head
            assert isinstance(head, HttpRequest)
            conversation = self.conversations[head.path]
            assert conversation.handlers[side] is None
            assert conversation.opener != side
            assert (head.method, head.headers) == (conversation.head.method, conversation.head.headers)
            handler = Handler(session, opener=False, heard_end=head.end)
            handler.heard += head.body
            handler.errors += session.error is not None
            conversation.handlers[side] = handler

    def note_changes(self, side: int, received: Received) -> None:
        told = {id(session): session for session in received.changed}
        for handler in self.handlers(side):
            if id(handler.session) in told and handler.session.error is not None and not handler.errors:
                handler.errors += 1

    @rule(dt=st.sampled_from([0.0, 0.01, 0.06, 0.2]), ping=SIDES)
    def tick(self, dt: float, ping: int) -> None:
        if not self.over:
            self.ends.muxes[ping].ping(self.ends.now)
        self.ends.now += dt
        for mux in self.ends.muxes:
            assert mux.tick(self.ends.now) is None
            assert mux.deadline >= self.ends.now or mux.sendable or self.over

    @rule()
    @precondition(lambda self: "end" in self.disruptions and len(self.conversations) > 3)
    def end(self) -> None:
        """The link and all hope of another are gone."""
        for wire in self.ends.wires:
            wire.clear()
        for side, mux in enumerate(self.ends.muxes):
            open_before = [h for h in self.handlers(side) if h.session.state is not SessionState.CLOSED]
            unopened = [h for h in open_before if h.session.state is SessionState.UNOPENED]
            ended = mux.end("gone")
            assert {id(s) for s in ended} == {id(h.session) for h in open_before}
            assert len(ended) == len(open_before)
            for handler in open_before:
                handler.errors += 1
                expected = ErrorCode.REFUSED if handler in unopened else ErrorCode.PEER_LOST
                assert handler.session.error is not None
                assert handler.session.error.code is expected
            assert mux.end("gone") == []
            assert not mux.sendable
        self.over = True

    # -- what must hold

    @invariant()
    def credit_is_never_negative(self) -> None:
        for mux in self.ends.muxes:
            for session in mux._sessions._sessions.values():
                assert session.send_window.credit >= 0
                if session.receive_window is not None:
                    assert session.receive_window.credit >= 0

    @invariant()
    def queues_are_bounded(self) -> None:
        for mux in self.ends.muxes:
            retention = mux._out.retention
            assert 0 <= retention.cost <= self.limits.replay_window_bytes
            assert 0 <= retention.control_cost <= CONTROL_RESERVE_BYTES
            assert retention.cost + retention.control_cost == mux._out.pacing.in_flight or self.over
            assert mux.session_count <= 2 * self.limits.max_sessions

    @invariant()
    def budgets_hold_what_the_windows_sum_to(self) -> None:
        for mux in self.ends.muxes:
            table = mux._sessions
            sessions = [*table._sessions.values(), *table._unopened]
            windows = sum(session.receive_window.size for session in sessions if session.receive_window is not None)
            assert mux.reserved_bytes == windows <= self.limits.tunnel_receive_bytes
        assert self.budget.reserved_bytes == sum(mux.reserved_bytes for mux in self.ends.muxes)

    @invariant()
    def ends_are_told_once(self) -> None:
        for side in (CLIENT, SERVER):
            for handler in self.handlers(side):
                assert handler.errors == (handler.session.error is not None)

    @invariant()
    def nothing_arrives_that_was_not_said(self) -> None:
        for conversation in self.conversations.values():
            one, other = conversation.handlers
            if one is None or other is None:
                continue
            for speaker, listener in ((one, other), (other, one)):
                assert speaker.said.startswith(listener.heard)
                assert speaker.said_heads[: len(listener.heard_heads)] == listener.heard_heads

    # -- what must come of it

    def pump(self, *, most_rounds: int = 100_000) -> None:
        """Let everybody say and hear everything, until nothing moves."""
        idle = rounds = 0
        while idle < 3 and rounds < most_rounds:
            rounds += 1
            moved = False
            for side in (CLIENT, SERVER):
                for handler in self.handlers(side):
                    before = len(handler.plan)
                    self.offer(handler)
                    moved |= len(handler.plan) != before
                while self.send_from(side) is not None:
                    moved = True
                while self.ends.wires[1 - side]:
                    self.deliver_to(1 - side)
                for handler in self.handlers(1 - side):
                    while self.read(handler):
                        moved = True
            self.ends.now += 0.06
            for mux in self.ends.muxes:
                assert mux.tick(self.ends.now) is None
            idle = 0 if moved else idle + 1

    def teardown(self) -> None:
        if not hasattr(self, "ends"):
            return
        self.pump()
        for conversation in self.conversations.values():
            self.check_outcome(conversation)
        for side in (CLIENT, SERVER):
            for handler in self.handlers(side):
                self.finish_handler(side, handler)
        self.pump()
        for mux in self.ends.muxes:
            assert mux.session_count == 0
            assert mux.reserved_bytes == 0
            assert mux.retained_frames == 0
            assert mux.drained
            assert not mux._out._ring
            assert not mux._sessions._unopened
        assert self.budget.reserved_bytes == 0

    def check_outcome(self, conversation: Conversation) -> None:
        handlers = conversation.handlers
        if None in handlers:
            opener = handlers[conversation.opener]
            assert opener is not None
            # Never opened, or not taken: its opener has been told, unless it did not stay to hear.
            assert opener.finished or opener.session.error is not None
            return
        for speaker, listener in ((handlers[0], handlers[1]), (handlers[1], handlers[0])):
            assert speaker is not None
            assert listener is not None
            if speaker.finished or speaker.session.error is not None:
                assert listener.finished or listener.session.state is SessionState.CLOSED or speaker.quiet_end
            if listener.finished or listener.stopped_reading:
                continue
            if speaker.session.error is None and listener.session.error is None and speaker.session.stopped is None:
                assert listener.heard == speaker.said
                assert listener.heard_heads == speaker.said_heads
                self.check_windows(speaker, listener)

    def check_windows(self, speaker: Handler, listener: Handler) -> None:
        window = listener.session.receive_window
        if window is not None and listener.session.state in (SessionState.OPEN, SessionState.LOCAL_ENDED):
            assert window.credit == speaker.session.send_window.credit
            assert window.credit * 2 > window.size


TwoEnds.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestTwoEnds = TwoEnds.TestCase
