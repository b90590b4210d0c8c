"""Two honest ends, whatever they do: every byte once and in order, or an end that both learn of."""

from __future__ import annotations

import pytest
from conversation_kit import Conversations
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
    TcpOpen,
    Trailers,
    WindowUpdate,
)
from tunnel.domain.limits import KIB, MAX_CHUNK_COST, MAX_FRAME_BYTES, Limits
from tunnel.domain.messagepack import encode_frame
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.retention import CONTROL_RESERVE_BYTES
from tunnel.domain.mux.session_state import SessionState

SIDES = st.sampled_from([CLIENT, SERVER])
PICKS = st.integers(0, 2**16)
SIZES = st.sampled_from([0, 1, 100, 3000, 20_000, 70_000])
FIELDS = st.sampled_from([(0, 0), (8, 10), (200, 1), (1, 5000), (3, 20_000)])
OPENINGS = st.tuples(SIDES, SIZES, FIELDS, st.booleans())
DISRUPTIONS = ["reset", "withdraw", "stop", "finish", "go_away", "end"]
"""What may go wrong; a run has some of it, so that others come to talk undisturbed."""


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
        self.talks = Conversations(self.ends.muxes, limits=self.limits, budget=self.budget, now=lambda: self.ends.now)
        self.last_id = [-1, 0]
        self.over = False

    # -- what the handlers do

    @rule(openings=st.lists(OPENINGS, min_size=1, max_size=4), move=st.booleans(), answer=st.booleans())
    def open(self, openings: list[tuple[int, int, tuple[int, int], bool]], move: bool, answer: bool) -> None:
        for side, size, fields_, whole in openings:
            self.talks.open(side, size, fields_, whole=whole)
        for side, size, fields_, whole in openings if move else ():
            self.move(side)
            for handler in self.talks.handlers(1 - side) if answer else ():
                self.talks.answer(handler, size, fields_, end=whole)

    @rule(side=SIDES, pick=PICKS, size=SIZES, fields_=FIELDS, end=st.booleans())
    def answer(self, side: int, pick: int, size: int, fields_: tuple[int, int], end: bool) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None:
            self.talks.answer(handler, size, fields_, end=end)

    @rule(side=SIDES, pick=PICKS, size=SIZES, end=st.sampled_from(["", "", "body", "trailers"]))
    def say_more(self, side: int, pick: int, size: int, end: str) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None:
            self.talks.say_more(handler, size, end)

    @rule(side=SIDES, pick=PICKS)
    def offer_next(self, side: int, pick: int) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None:
            self.talks.offer(handler)

    @rule(side=SIDES, pick=PICKS)
    def take(self, side: int, pick: int) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None:
            self.talks.read(handler)

    @rule(side=SIDES, pick=PICKS)
    @precondition(lambda self: "reset" in self.disruptions)
    def reset(self, side: int, pick: int) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None:
            self.talks.reset(handler)

    @rule(side=SIDES, pick=PICKS)
    @precondition(lambda self: "withdraw" in self.disruptions)
    def withdraw(self, side: int, pick: int) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None:
            self.talks.withdraw(handler)

    @rule(side=SIDES, pick=PICKS)
    @precondition(lambda self: "stop" in self.disruptions)
    def stop_receiving(self, side: int, pick: int) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None:
            self.talks.stop_receiving(handler)

    @rule(side=SIDES, pick=PICKS)
    def finish(self, side: int, pick: int) -> None:
        handler = self.talks.pick(side, pick)
        if handler is not None and ("finish" in self.disruptions or handler.session.state is SessionState.CLOSED):
            self.talks.finish(side, handler)

    @rule(side=SIDES)
    @precondition(lambda self: "go_away" in self.disruptions and len(self.talks) > 3)
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
            last = out.retention._frames[-1]
            if last.cost != out.retention.cost:
                assert out.pacing.in_flight - last.control_cost <= out.pacing.limit
            assert last.cost <= MAX_CHUNK_COST or out.pacing.in_flight - last.control_cost <= out.pacing.limit
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
    @precondition(lambda self: len(self.talks) > 0)
    def everybody_talks(self) -> None:
        self.pump(most_rounds=5)

    def deliver_to(self, side: int) -> None:
        received = self.ends.deliver(side)
        assert received.closed is None
        self.talks.received(side, received)

    @rule(dt=st.sampled_from([0.0, 0.01, 0.06, 0.2]), ping=SIDES)
    def tick(self, dt: float, ping: int) -> None:
        if not self.over:
            self.ends.muxes[ping].ping(self.ends.now)
        self.ends.now += dt
        for mux in self.ends.muxes:
            assert mux.tick(self.ends.now) is None
            assert mux.deadline >= self.ends.now or mux.sendable or self.over

    @rule()
    @precondition(lambda self: "end" in self.disruptions and len(self.talks) > 3)
    def end(self) -> None:
        """The link and all hope of another are gone."""
        for side, wire in enumerate(self.ends.wires):
            wire.clear()
            self.talks.end(side)
        self.over = True

    # -- what must hold

    @invariant()
    def queues_are_bounded(self) -> None:
        for mux in self.ends.muxes:
            retention = mux._out.retention
            assert 0 <= retention.cost <= self.limits.replay_window_bytes
            assert 0 <= retention.control_cost <= CONTROL_RESERVE_BYTES
            assert retention.cost + retention.control_cost == mux._out.pacing.in_flight or self.over
            assert mux.session_count <= 2 * self.limits.max_sessions

    @invariant()
    def conversations_are_as_they_must(self) -> None:
        self.talks.check_credit()
        self.talks.check_budgets()
        self.talks.check_errors()
        self.talks.check_heard()

    # -- what must come of it

    def pump(self, *, most_rounds: int = 100_000) -> None:
        """Let everybody say and hear everything, until nothing moves."""
        idle = rounds = 0
        while idle < 3 and rounds < most_rounds:
            rounds += 1
            moved = False
            for side in (CLIENT, SERVER):
                for handler in self.talks.handlers(side):
                    moved |= self.talks.offer(handler)
                while self.send_from(side) is not None:
                    moved = True
                while self.ends.wires[1 - side]:
                    self.deliver_to(1 - side)
                for handler in self.talks.handlers(1 - side):
                    while self.talks.read(handler):
                        moved = True
            self.ends.now += 0.06
            for mux in self.ends.muxes:
                assert mux.tick(self.ends.now) is None
            idle = 0 if moved else idle + 1

    def teardown(self) -> None:
        if not hasattr(self, "ends"):
            return
        self.pump()
        self.talks.check_outcomes()
        for side in (CLIENT, SERVER):
            for handler in self.talks.handlers(side):
                self.talks.finish(side, handler)
        self.pump()
        for mux in self.ends.muxes:
            assert mux.session_count == 0
            assert mux.reserved_bytes == 0
            assert mux.retained_frames == 0
            assert mux.drained
            assert not mux._out._ring
            assert not mux._sessions._unopened
        assert self.budget.reserved_bytes == 0


TwoEnds.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestTwoEnds = pytest.mark.rule("F2", "F16", "S1", "S2", "S20", "C1", "C10", "N3", "T6", "T7")(TwoEnds.TestCase)
