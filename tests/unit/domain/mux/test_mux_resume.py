"""A tunnel that goes on, on another link: the rules one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mux_kit import CLIENT, GET, POST, SERVER, Ends, counted, multiplexer, opened_in, uncounted

from tunnel.domain.envelopes import (
    BodyChunk,
    Close,
    ConfigApplied,
    Error,
    Frame,
    GoAway,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Ping,
    Pong,
    StopSending,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB, MIB, Limits
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.mux.pacing import INITIAL_ALLOWANCE_BYTES
from tunnel.domain.mux.session import Session
from tunnel.domain.mux.session_table import HEAD_COMPLETION_S
from tunnel.domain.tunnel_state import TunnelState

CHUNK = BodyChunk(b"x" * 10_000)
ENOUGH = SessionError(ErrorCode.CANCELLED, "enough")
WIDE = Limits(session_window_bytes=4 * MIB, replay_window_bytes=4 * MIB)
"""Enough for more than a link takes at once."""


def lose(ends: Ends) -> None:
    """The link is gone with all that was on its way, and both ends know."""
    for wire in ends.wires:
        wire.clear()
    for mux in ends.muxes:
        assert mux.detach(ends.now) is None


def resume(ends: Ends) -> None:
    """Both ends are attached to another link."""
    received = [mux.received for mux in ends.muxes]
    for side, mux in enumerate(ends.muxes):
        assert mux.attach(received[1 - side], ends.now) is None


def talking(*, limits: Limits | None = None) -> tuple[Ends, Session, Session]:
    """Two ends with one session, as its opener (the client) and as the server have it."""
    ends = Ends(limits)
    session, peer = ends.open(POST)
    ends.settle()
    return ends, session, peer


def said(ends: Ends, side: int, session: Session, *texts: bytes) -> list[Frame]:
    """Frames of one chunk each, on their way."""
    frames = []
    for text in texts:
        session.offer(BodyChunk(text))
        frames += ends.send_all(side)
    assert len(frames) == len(texts)
    return frames


def filled(mux: Multiplexer, session: Session, now: float) -> list[Frame]:
    """Let ``session`` say all that the link takes."""
    frames = []
    while True:
        if session.pending is None:
            session.offer(BodyChunk(b"x" * 60_000))
        frame = mux.next_frame(now)
        if frame is None:
            return frames
        frames.append(frame)


def kinds(frame: Frame | None) -> list[type]:
    assert frame is not None
    return [type(envelope.payload) for envelope in frame.envelopes]


# -- what is sent again


@pytest.mark.rule("R9", "F1")
def test_frames_not_received_are_sent_again_unchanged_and_before_anything_new() -> None:
    ends, session, _ = talking()
    frames = said(ends, CLIENT, session, b"one", b"two")
    lose(ends)
    session.offer(BodyChunk(b"three"))
    resume(ends)

    again = ends.send_all(CLIENT)

    assert again[:2] == frames
    assert [frame.seq for frame in again] == [2, 3, 4]
    assert [envelope.payload for envelope in again[2].envelopes] == [BodyChunk(b"three")]


@pytest.mark.rule("R9", "R7")
def test_what_was_received_is_not_sent_again_though_its_acknowledgement_was_lost() -> None:
    ends, session, peer = talking()
    frames = said(ends, CLIENT, session, b"one", b"two")
    ends.deliver(SERVER)
    lose(ends)
    resume(ends)

    assert ends.send_all(CLIENT) == frames[1:]
    ends.move()
    assert [peer.take(0.0), peer.take(0.0), peer.take(0.0)] == [BodyChunk(b"one"), BodyChunk(b"two"), None]


@pytest.mark.rule("R9")
def test_replay_that_was_cut_short_starts_again_where_the_peer_stopped_receiving() -> None:
    ends, session, _ = talking()
    frames = said(ends, CLIENT, session, b"one", b"two", b"three")
    lose(ends)
    resume(ends)
    assert ends.send(CLIENT) == frames[0]
    assert ends.send(CLIENT) == frames[1]
    ends.deliver(SERVER)
    lose(ends)
    resume(ends)

    assert ends.send_all(CLIENT) == frames[1:]


@pytest.mark.rule("F8")
def test_frame_sent_again_acknowledges_what_was_received_since() -> None:
    ends, session, peer = talking()
    (frame,) = said(ends, CLIENT, session, b"one")
    said(ends, SERVER, peer, b"a", b"b") if peer.sending else None
    ends.deliver(CLIENT)
    lose(ends)
    resume(ends)

    again = ends.send(CLIENT)

    assert again is not None
    assert (again.envelopes, again.seq) == (frame.envelopes, frame.seq)
    assert again.ack == frame.ack + 1


@pytest.mark.rule("F14", "R3")
def test_handshake_acknowledges_so_that_no_frame_has_to() -> None:
    ends, session, _ = talking()
    said(ends, CLIENT, session, b"one")
    ends.deliver(SERVER)
    lose(ends)
    resume(ends)
    ends.now += 0.06
    assert ends.server.tick(ends.now) is None
    assert ends.server.next_frame(ends.now) is None


@pytest.mark.rule("R10", "N11")
def test_replay_obeys_the_pacing_of_a_link_of_which_nothing_is_known() -> None:
    ends, session, _ = talking(limits=WIDE)
    while ends.client._out.retention.cost < 3 * MIB:
        filled(ends.client, session, ends.now)
        ends.client._pacing.limit = 4 * MIB
    lose(ends)
    resume(ends)

    first = ends.send_all(CLIENT)
    pacing = ends.client._pacing
    assert pacing.limit == INITIAL_ALLOWANCE_BYTES
    assert INITIAL_ALLOWANCE_BYTES - 64 * KIB < pacing.in_flight <= INITIAL_ALLOWANCE_BYTES
    assert first[-1].seq < ends.client._out.retention.sent

    while ends.wires[SERVER]:
        ends.deliver(SERVER)
    ends.now += 0.01
    ends.send_all(SERVER)
    while ends.wires[CLIENT]:
        ends.deliver(CLIENT)
    assert ends.send_all(CLIENT)[0].seq == first[-1].seq + 1


@pytest.mark.rule("N12", "R9")
def test_control_is_sent_again_although_the_pacing_is_full() -> None:
    ends, session, peer = talking()
    peer.stop_receiving("enough")
    (frame,) = ends.send_all(SERVER)
    lose(ends)
    resume(ends)
    ends.server._pacing.limit = 0
    ends.server._pacing.sent(1)  # more than the limit, which has shrunk

    assert ends.send_all(SERVER) == [frame]
    ends.move()
    assert session.stopped is not None


@pytest.mark.rule("R9", "F2")
def test_uncounted_frames_do_not_wait_for_the_replay() -> None:
    ends, session, _ = talking()
    (frame,) = said(ends, CLIENT, session, b"one")
    lose(ends)
    resume(ends)
    ends.client._pacing.limit = 0
    ends.client._pacing.sent(1)  # an empty link takes any frame
    session.offer(BodyChunk(b"two"))
    ends.client.ping(ends.now)

    assert kinds(ends.send(CLIENT)) == [Ping]
    assert ends.send(CLIENT) is None
    ends.client._pacing.limit = MIB
    assert [each.seq for each in ends.send_all(CLIENT)] == [frame.seq, frame.seq + 1]


@pytest.mark.rule("R9")
def test_new_control_waits_for_the_replay() -> None:
    ends, session, _ = talking()
    said(ends, CLIENT, session, b"one")
    lose(ends)
    session.reset(ENOUGH)
    resume(ends)

    frames = ends.send_all(CLIENT)

    assert [kinds(frame) for frame in frames] == [[BodyChunk], [Error]]


# -- what the other side says of itself


@pytest.mark.rule("R15")
@pytest.mark.parametrize("received", [-1, 0, 1, 4, 2**63, 2**64])
def test_attach_with_an_impossible_count_is_refused(received: int) -> None:
    ends, session, _ = talking()
    said(ends, CLIENT, session, b"one")
    ends.deliver(SERVER)
    ends.server.tick(ends.now + 0.06)
    ends.send_all(SERVER)
    ends.deliver(CLIENT)
    said(ends, CLIENT, session, b"two")
    lose(ends)

    mistake = ends.client.attach(received, ends.now)

    assert mistake == f"frame {received} was said to be the last received, out of 2 to 3"
    assert ends.client.detached
    assert ends.client.next_frame(ends.now) is None
    assert [each.error.code for each in ends.client.end(mistake) if each.error] == [ErrorCode.PEER_LOST]


@pytest.mark.rule("R16")
def test_ack_of_a_frame_not_sent_again_on_this_link_ends_the_tunnel() -> None:
    ends, session, _ = talking()
    first, second = said(ends, CLIENT, session, b"one", b"two")
    lose(ends)
    resume(ends)
    assert ends.client.receive(Frame((), first.ack), ends.now).violation is None
    ends.send(CLIENT)
    assert ends.client.receive(Frame((), first.seq), ends.now).violation is None
    assert ends.client.retained_frames == 1

    violation = ends.client.receive(Frame((), second.seq), ends.now).violation

    assert violation == f"frame {second.seq} was acknowledged, {first.seq} was the last one sent"


@pytest.mark.rule("R15", "R16")
def test_what_was_acknowledged_in_the_handshake_is_not_in_flight() -> None:
    ends, session, _ = talking()
    said(ends, CLIENT, session, b"one", b"two")
    ends.deliver(SERVER)
    lose(ends)
    resume(ends)
    assert ends.client._pacing.in_flight == 0
    ends.settle()
    assert ends.client._pacing.in_flight == 0
    assert ends.client.retained_frames == 0


# -- links that are not the tunnel's any more


@pytest.mark.rule("F4", "R6")
def test_frames_of_a_fenced_link_are_neither_counted_nor_acknowledged() -> None:
    ends, session, peer = talking()
    old = ends.server.attachment
    (frame,) = said(ends, CLIENT, session, b"one")
    ends.server.detach(ends.now)
    ends.client.detach(ends.now)
    resume(ends)
    assert ends.server.attachment == old + 1

    ends.now += 7
    received = ends.server.receive(frame, ends.now, old)

    assert (received.changed, received.violation) == ([], None)
    assert ends.server.received == frame.seq - 1
    assert not peer.readable
    ends.now += 8
    assert ends.server.tick(ends.now) is not None, "no sign of life of the new link"
    assert ends.server.next_frame(ends.now) is None


@pytest.mark.rule("F4", "R6")
def test_nothing_a_fenced_link_brings_has_any_effect() -> None:
    ends, session, _ = talking()
    old = ends.client.attachment
    (frame,) = said(ends, CLIENT, session, b"one")
    lose(ends)
    resume(ends)
    ends.send_all(CLIENT)

    for late in (
        Frame((), frame.seq),
        Frame((), 2**63),
        uncounted(Ping(1)),
        uncounted(Close("", "")),
        counted(ends.client.received + 1, (session.id, Error("internal"))),
        counted(ends.client.received + 9, (2, GET)),
    ):
        received = ends.client.receive(late, ends.now, old)
        assert (received.closed, received.violation, received.changed) == (None, None, [])

    assert ends.client.retained_frames == 1
    assert ends.client.next_frame(ends.now) is None
    assert session.error is None


@pytest.mark.rule("F4")
def test_nothing_is_taken_in_while_detached() -> None:
    ends, session, _ = talking()
    (frame,) = said(ends, CLIENT, session, b"one")
    ends.server.detach(ends.now)
    for attachment in (None, 1, 0):
        received = ends.server.receive(frame, ends.now, attachment)
        assert received.changed == []
    assert ends.server.attachment == 0
    assert ends.server.received == frame.seq - 1


# -- without a link


@pytest.mark.rule("R18")
def test_nothing_goes_out_while_detached() -> None:
    ends, session, peer = talking()
    said(ends, CLIENT, session, b"one")
    ends.deliver(SERVER)
    lose(ends)
    peer.take(ends.now)
    peer.stop_receiving("enough")
    peer.offer(HttpResponse(200))
    ends.server.go_away("draining")

    assert not ends.server.sendable
    assert ends.server.next_frame(ends.now) is None


@pytest.mark.rule("R18")
def test_uncounted_envelopes_queued_are_void_after_a_loss() -> None:
    ends, _, _ = talking()
    ends.server.ping(ends.now)
    ends.server.send(ConfigApplied(1, "hash"))
    ends.server.receive(uncounted(Ping(1)), ends.now)
    ends.server.close("", "bye")
    lose(ends)
    resume(ends)
    assert ends.server.next_frame(ends.now) is None


@pytest.mark.rule("R18", "L8")
def test_nobody_is_pinged_or_given_up_while_detached() -> None:
    ends, _, _ = talking()
    lose(ends)
    for _ in range(10):
        ends.now += 5
        assert ends.server.tick(ends.now) is None
    ends.server.ping(ends.now)
    ends.server.send(ConfigApplied(1, "hash"))
    resume(ends)
    assert ends.server.next_frame(ends.now) is None


@pytest.mark.rule("T2")
def test_opens_fail_as_refused_while_detached() -> None:
    ends, _, _ = talking()
    lose(ends)
    with pytest.raises(SessionError) as caught:
        ends.client.open(POST, ends.now)
    assert caught.value.code is ErrorCode.REFUSED
    resume(ends)
    ends.client.open(POST, ends.now)
    assert len(opened_in(ends.move()[SERVER])) == 1


@pytest.mark.rule("S20")
def test_session_goes_on_as_far_as_it_can_without_a_link() -> None:
    ends, session, peer = talking()
    said(ends, CLIENT, session, b"one")
    ends.deliver(SERVER)
    lose(ends)

    assert peer.take(ends.now) == BodyChunk(b"one")
    session.offer(BodyChunk(b"two", end=True))
    peer.offer(HttpResponse(200, end=True))
    resume(ends)
    ends.move()

    assert peer.take(ends.now) == BodyChunk(b"two", end=True)
    assert session.take(ends.now) == HttpResponse(200, end=True)


@pytest.mark.rule("F22")
def test_credit_returned_while_detached_is_one_grant() -> None:
    limits = Limits(session_window_bytes=64 * KIB)
    ends, session, peer = talking(limits=limits)
    said(ends, CLIENT, session, *[b"x" * 15_000] * 4)
    while ends.wires[SERVER]:
        ends.deliver(SERVER)
    before = session.send_window.credit
    lose(ends)
    while peer.take(ends.now) is not None:
        pass
    resume(ends)

    frames = ends.send_all(SERVER)

    assert [kinds(frame) for frame in frames] == [[WindowUpdate]]
    ends.move()
    assert session.send_window.credit >= before + 45_000


@pytest.mark.rule("R12", "C1")
def test_credit_is_not_given_anew_on_another_link() -> None:
    ends, session, peer = talking()
    said(ends, CLIENT, session, b"x" * 10_000)
    credit = session.send_window.credit
    lose(ends)
    resume(ends)
    ends.settle()
    assert session.send_window.credit == credit
    assert peer.receive_window is not None
    assert peer.receive_window.credit == credit


def test_session_that_finishes_while_detached_frees_its_place_and_window_at_once() -> None:
    budget = Budget(MIB)
    ends = Ends(budget=budget)
    session, peer = ends.open(POST)
    lose(ends)
    session.finish()
    peer.finish()
    assert budget.reserved_bytes == 0
    assert [mux.session_count for mux in ends.muxes] == [0, 0]
    resume(ends)
    ends.settle()
    assert [mux.drained for mux in ends.muxes] == [True, True]


@pytest.mark.rule("S11", "S13")
def test_reset_while_detached_reaches_the_peer_once() -> None:
    ends, session, peer = talking()
    lose(ends)
    session.reset(ENOUGH)
    peer.reset(ENOUGH)
    resume(ends)
    ends.settle()
    for each in (session, peer):
        assert each.error is not None
        assert each.error.code is ErrorCode.CANCELLED
        each.finish()
    assert [mux.session_count for mux in ends.muxes] == [0, 0]


def test_opening_that_waited_when_the_link_was_lost_goes_out_on_the_next() -> None:
    ends, _, _ = talking()
    waiting = ends.client.open(GET, ends.now)
    lose(ends)
    resume(ends)
    (opened,) = opened_in(ends.move()[SERVER])
    assert opened.id == waiting.id == 3


def test_opening_withdrawn_while_detached_was_never_there() -> None:
    ends, _, _ = talking()
    waiting = ends.client.open(GET, ends.now)
    lose(ends)
    waiting.withdraw()
    waiting.finish()
    resume(ends)
    assert opened_in(ends.move()[SERVER]) == []
    ends.client.open(GET, ends.now)
    (opened,) = opened_in(ends.move()[SERVER])
    assert opened.id == 3


@pytest.mark.rule("F21")
def test_control_that_gathers_while_detached_is_no_overflow() -> None:
    limits = Limits(max_sessions=300)
    ends = Ends(limits)
    pairs = [ends.open(POST) for _ in range(300)]
    lose(ends)
    for session, peer in pairs:
        peer.stop_receiving("enough")
        session.finish()
        peer.finish()
    resume(ends)
    ends.settle()
    assert [mux.drained for mux in ends.muxes] == [True, True]


# -- liveness


@pytest.mark.rule("L8", "L11")
def test_heartbeat_starts_anew_on_another_link() -> None:
    ends, _, _ = talking()
    start = ends.now
    lose(ends)
    ends.now += 29
    resume(ends)
    attached = ends.now
    assert attached - start > 15
    assert ends.server.deadline == attached + 5
    ends.now += 4.9
    assert ends.server.tick(ends.now) is None
    assert ends.server.next_frame(ends.now) is None
    ends.now += 0.1
    assert ends.server.tick(ends.now) is None
    assert kinds(ends.server.next_frame(ends.now)) == [Ping]
    ends.now = attached + 15
    assert ends.server.tick(ends.now) == "nothing heard for 15.0 s"


@pytest.mark.rule("L8")
def test_ping_unanswered_on_the_link_before_does_not_keep_another_from_going_out() -> None:
    ends, _, _ = talking()
    ends.server.ping(ends.now)
    ping = ends.server.next_frame(ends.now)
    assert ping is not None
    lose(ends)
    resume(ends)
    ends.now += 5
    ends.server.tick(ends.now)
    assert kinds(ends.server.next_frame(ends.now)) == [Ping]
    nonce = ping.envelopes[0].payload.nonce  # type: ignore[union-attr]
    assert not ends.server.receive(uncounted(Pong(nonce)), ends.now).pong


@pytest.mark.rule("L12")
def test_patience_with_acknowledgement_starts_anew_on_another_link() -> None:
    ends, session, _ = talking()
    said(ends, CLIENT, session, b"one")
    ends.now += 14
    lose(ends)
    ends.now += 10
    resume(ends)
    ends.send_all(CLIENT)
    ends.now += 14
    ends.client.receive(uncounted(Ping(1)), ends.now)
    assert ends.client.tick(ends.now) is None
    ends.now += 1
    assert ends.client.tick(ends.now) == "no frame acknowledged for 15.0 s"


@pytest.mark.rule("R10")
def test_round_trip_of_the_link_before_is_forgotten() -> None:
    ends, _, _ = talking()
    ends.now += 0.5
    ends.server._pacing.round_trip(0.5, ends.now)
    ends.server._pacing.round_trip(0.001, ends.now)
    lose(ends)
    resume(ends)
    ends.server._pacing.round_trip(0.2, ends.now)
    assert ends.server.round_trip_s == 0.2


@pytest.mark.rule("N11")
def test_link_is_judged_by_what_it_did_itself() -> None:
    ends, session, _ = talking()
    session.offer(BodyChunk(b"x" * 10_000))
    ends.send_all(CLIENT)
    session.offer(CHUNK)
    (frame,) = ends.send_all(CLIENT)
    ends.deliver(SERVER)
    ends.now += 1
    ends.client.receive(Frame((), frame.seq - 1), ends.now)
    lose(ends)
    ends.now += 5
    resume(ends)
    assert ends.send_all(CLIENT) == [frame]
    ends.now += 0.1
    ends.client.receive(Frame((), frame.seq), ends.now)

    assert ends.client.round_trip_s == pytest.approx(0.1)
    assert ends.client._pacing._rate == pytest.approx(CHUNK.cost / 0.1)


@pytest.mark.rule("R19")
def test_unfinished_head_gets_its_time_anew() -> None:
    server = multiplexer()
    server.receive(counted(1, (1, HttpRequest("POST", more=True))), 0.0)
    server.detach(9.0)
    assert server.tick(20.0) is None
    assert server.attach(0, 30.0) is None

    assert server.deadline <= 30.0 + HEAD_COMPLETION_S
    server._heartbeat.heard(30.0 + HEAD_COMPLETION_S)
    server.tick(30.0 + HEAD_COMPLETION_S - 0.1)
    assert server.session_count == 1
    server.tick(30.0 + HEAD_COMPLETION_S)
    assert server.session_count == 0


# -- how it ends


@pytest.mark.rule("T6", "T7")
def test_openings_never_handed_to_a_link_are_refused_at_the_end_and_others_lost() -> None:
    ends, session, _ = talking()
    framed = ends.client.open(GET, ends.now)
    ends.send_all(CLIENT)
    waiting = ends.client.open(GET, ends.now)
    lose(ends)

    ended = ends.client.end("given up")

    assert {each: each.error.code for each in ended if each.error} == {
        session: ErrorCode.PEER_LOST,
        framed: ErrorCode.PEER_LOST,
        waiting: ErrorCode.REFUSED,
    }
    assert not ends.client.detached
    assert ends.client.state is TunnelState.ENDED
    assert ends.client.end("again") == []
    assert ends.client.retained_frames == 0


@pytest.mark.rule("R17")
@pytest.mark.parametrize(("client_s", "server_s"), [(0.0, 30.0), (30.0, 0.0), (0.0, 0.0)])
def test_no_time_on_either_side_turns_resuming_off(client_s: float, server_s: float) -> None:
    ends = Ends(Limits(resume_s=client_s), server_limits=Limits(resume_s=server_s))
    ends.open(POST)
    assert [mux.detach(ends.now) for mux in ends.muxes] == ["resuming is off"] * 2


@pytest.mark.rule("R17")
def test_tunnel_is_kept_for_the_shorter_time_of_both_from_the_loss() -> None:
    ends = Ends(Limits(resume_s=20.0), server_limits=Limits(resume_s=7.0))
    ends.open(POST)
    ends.now = 100.0
    lose(ends)
    assert [mux.expires for mux in ends.muxes] == [107.0, 107.0]
    resume(ends)
    ends.now = 200.0
    lose(ends)
    assert [mux.expires for mux in ends.muxes] == [207.0, 207.0]


@pytest.mark.rule("R20")
def test_server_keeps_no_tunnel_in_which_nothing_is_under_way_and_a_client_does() -> None:
    ends, session, peer = talking()
    ends.server.accept(accepts=False)
    session.reset(ENOUGH)
    session.finish()
    ends.settle()
    peer.finish()
    assert [mux.drained for mux in ends.muxes] == [True, True]
    assert ends.server.detach(ends.now) == "nothing was under way"
    assert ends.client.detach(ends.now) is None


@pytest.mark.rule("R20")
def test_session_whose_opening_was_lost_with_the_link_is_taken_by_a_server_that_knew_of_nothing() -> None:
    ends = Ends()
    lost = ends.client.open(GET, ends.now)
    assert ends.client.next_frame(ends.now) is not None
    lose(ends)
    resume(ends)
    ends.move()
    assert lost.error is None
    assert ends.server.session_count == 1


@pytest.mark.rule("R20")
def test_server_that_has_said_go_away_keeps_no_tunnel_in_which_nothing_is_under_way() -> None:
    ends = Ends()
    ends.server.go_away("shutdown")
    ends.settle()
    assert ends.server.drained
    assert ends.server.detach(ends.now) == "nothing was under way"


@pytest.mark.rule("R20")
def test_server_keeps_a_tunnel_whose_client_was_not_told_everything() -> None:
    ends, session, peer = talking()
    peer.reset(ENOUGH)
    peer.finish()
    assert ends.server.session_count == 0
    lose(ends)
    resume(ends)
    ends.move()
    assert session.error is not None


@pytest.mark.rule("R6", "R20")
def test_server_keeps_an_idle_tunnel_when_another_link_takes_the_place() -> None:
    ends = Ends()
    opened = ends.client.open(GET, ends.now)
    ends.send_all(CLIENT)
    ends.wires[SERVER].clear()
    assert ends.client.detach(ends.now) is None
    assert ends.server.drained

    assert ends.server.detach(ends.now, replaced=True) is None
    resume(ends)
    (peer,) = opened_in(ends.move()[SERVER])
    assert peer.id == opened.id


@pytest.mark.rule("R21")
def test_three_links_in_a_row_without_progress_end_the_tunnel() -> None:
    ends, session, _ = talking()
    said(ends, CLIENT, session, b"poison")
    assert ends.client.detach(ends.now) is None, "the link before had made progress"
    for _ in range(2):
        assert ends.client.attach(1, ends.now) is None
        ends.client.next_frame(ends.now)
        assert ends.client.detach(ends.now) is None
    assert ends.client.attach(1, ends.now) is None
    assert ends.client.detach(ends.now) == "3 links in a row ended before anything was acknowledged"


@pytest.mark.rule("R21")
def test_no_link_that_replaces_another_starts_the_count_anew() -> None:
    ends, session, _ = talking()
    said(ends, CLIENT, session, b"poison")
    for _ in range(3):
        assert ends.client.detach(ends.now, replaced=True) is None
        assert ends.client.attach(1, ends.now) is None
    assert ends.client.detach(ends.now, replaced=True) is not None


@pytest.mark.rule("R21")
def test_progress_told_by_the_next_handshake_is_progress() -> None:
    ends, session, _ = talking()
    for _ in range(8):
        said(ends, CLIENT, session, b"something")
        ends.deliver(SERVER)
        lose(ends)
        resume(ends)


@pytest.mark.rule("T4", "G4")
def test_draining_survives_the_loss_of_the_link() -> None:
    ends, session, peer = talking()
    ends.server.go_away("draining")
    ends.move()
    lose(ends)
    assert [mux.state for mux in ends.muxes] == [TunnelState.DETACHED_DRAINING] * 2
    resume(ends)
    assert [mux.state for mux in ends.muxes] == [TunnelState.DRAINING] * 2
    with pytest.raises(SessionError):
        ends.client.open(GET, ends.now)
    session.offer(BodyChunk(b"still", end=True))
    ends.move()
    assert peer.take(ends.now) == BodyChunk(b"still", end=True)


@pytest.mark.rule("G1", "G2", "R9")
def test_go_away_while_detached_goes_out_after_the_replay_and_refuses_what_is_sent_again() -> None:
    ends, _, _ = talking()
    late = ends.client.open(POST, ends.now)
    ends.send_all(CLIENT)
    lose(ends)
    ends.server.go_away("draining")
    assert not ends.server.drained
    resume(ends)

    assert opened_in(ends.move()[SERVER]) == []
    assert late.error is not None
    assert late.error.code is ErrorCode.REFUSED
    ends.settle()
    assert ends.server.session_count == 1


@pytest.mark.rule("G1")
def test_go_away_lost_with_the_link_is_sent_again() -> None:
    ends, _, _ = talking()
    ends.server.go_away("draining")
    (frame,) = ends.send_all(SERVER)
    assert kinds(frame) == [GoAway]
    lose(ends)
    assert ends.client.state is TunnelState.DETACHED
    resume(ends)
    ends.move()
    assert ends.client.state is TunnelState.DRAINING


@pytest.mark.rule("H20")
def test_there_is_no_configuration_to_wait_for_once_resumed() -> None:
    client = Multiplexer(opens_odd=True, local=Limits(), remote=Limits(), budget=None, now=0.0, settled=False)
    assert client.detach(1.0) is None
    assert client.attach(0, 2.0) is None
    received = client.receive(counted(1, (2, GET)), 2.0)
    assert received.violation is None
    assert len(received.opened) == 1


# -- peers that mean harm


@pytest.mark.rule("F5")
def test_frame_sent_again_with_other_contents_is_dropped_as_the_duplicate_it_claims_to_be() -> None:
    server = multiplexer()
    server.receive(counted(1, (1, POST), (1, BodyChunk(b"one"))), 0.0)
    server.detach(1.0)
    server.attach(0, 2.0)

    received = server.receive(counted(1, (1, BodyChunk(b"two", end=True)), (3, GET)), 3.0)

    assert (received.opened, received.changed, received.violation) == ([], [], None)
    assert server.received == 1


@pytest.mark.rule("S3", "S4", "F7")
@pytest.mark.parametrize("frame", [counted(2, (1, GET)), counted(3, (3, GET)), counted(2, (2, GET))])
def test_peer_is_held_to_numbers_and_ids_after_it_resumed(frame: Frame) -> None:
    server = multiplexer()
    server.receive(counted(1, (1, POST)), 0.0)
    server.detach(1.0)
    server.attach(0, 2.0)
    assert server.receive(frame, 3.0).violation is not None


def test_attaching_over_and_over_gathers_nothing() -> None:
    server = multiplexer()
    (session,) = server.receive(counted(1, (1, POST)), 0.0).opened
    session.offer(HttpResponse(200))
    server.next_frame(0.0)
    for now in range(1, 1000):
        server.ping(float(now))
        server.send(ConfigApplied(1, "hash"))
        # A hostile peer may pretend to have made progress, but once for each frame only.
        reason = server.detach(float(now), replaced=True)
        if reason is not None:
            break
        assert server.attach(0, float(now)) is None
        server.next_frame(float(now))
    assert now == 3
    assert server.retained_frames == 1
    assert server.reserved_bytes == Limits().session_window_bytes


def test_window_of_a_session_is_enforced_across_links() -> None:
    limits = Limits(session_window_bytes=8 * KIB, session_window_max_bytes=8 * KIB)
    server = multiplexer(local=limits)
    (session,) = server.receive(counted(1, (1, POST)), 0.0).opened
    for seq in range(2, 7):
        server.receive(counted(seq, (1, BodyChunk(b"x" * 1500))), 0.0)
        server.detach(1.0)
        server.attach(0, 2.0)
    assert session.error is not None
    assert session.error.code is ErrorCode.FLOW_CONTROL


def test_stop_that_waits_is_said_once_on_the_next_link() -> None:
    ends, session, peer = talking()
    lose(ends)
    peer.stop_receiving("enough")
    peer.stop_receiving("enough")
    resume(ends)
    frames = ends.send_all(SERVER)
    assert [kinds(frame) for frame in frames] == [[StopSending]]
    ends.move()
    assert session.stopped is not None


PAYLOADS = st.sampled_from(
    [
        POST,
        GET,
        HttpRequest("POST", more=True),
        HeadPart(b"x", more=True),
        BodyChunk(b"x" * 3000),
        BodyChunk(b"", end=True),
        WindowUpdate(5000),
        WindowUpdate(0),
        StopSending(""),
        Error("cancelled"),
        GoAway(1),
        Ping(1),
    ]
)
CONTENT = st.lists(st.tuples(st.integers(0, 9), PAYLOADS), min_size=1, max_size=3)
NUMBERS = st.sampled_from([-1, 0, 0, 0, 1, 2**63])
"""Beside what would be right."""


@settings(max_examples=50)
@given(st.data())
def test_no_peer_breaks_more_than_its_own_tunnel_over_however_many_links(data: st.DataObject) -> None:
    limits = Limits(max_sessions=3, replay_window_bytes=256 * KIB, session_window_bytes=8 * KIB)
    server = multiplexer(local=limits)
    draw = data.draw
    retention, pacing = server._out.retention, server._pacing
    handled: list[Session] = []
    for now in range(draw(st.integers(1, 30))):
        match draw(st.sampled_from(["frame", "frame", "frame", "link", "send", "talk", "leave"])):
            case "frame":
                ack = max(0, retention.acked + draw(NUMBERS))
                seq = max(0, server.received + 1 + draw(NUMBERS))
                attachment = server.attachment + draw(st.sampled_from([0, 0, 0, -1]))
                received = server.receive(counted(seq, *draw(CONTENT), ack=ack), float(now), attachment)
                handled += received.opened
                if received.violation is not None:
                    break
            case "link":
                if server.detach(float(now), replaced=draw(st.booleans())) is not None:
                    break
                if server.attach(retention.acked + draw(NUMBERS), float(now)) is not None:
                    break
            case "send":
                server.next_frame(float(now))
                assert server.tick(float(now)) is None or now >= 15
            case "talk":
                for session in handled:
                    if session.sending and session.pending is None and session.error is session.stopped is None:
                        session.offer(CHUNK if session.send_window.chunk_cost > CHUNK.cost else BodyChunk(b"y" * 1000))
            case _:
                while handled:
                    handled.pop().finish()
        assert 0 <= retention.cost <= limits.replay_window_bytes
        assert 0 <= pacing.in_flight <= retention.cost + retention.control_cost
        assert server.session_count <= 3 * limits.max_sessions
        assert server.reserved_bytes <= limits.max_sessions * limits.session_window_max_bytes
    server.end("over")
    for session in handled:
        session.finish()
    assert (server.session_count, server.reserved_bytes, server.retained_frames) == (0, 0, 0)


@pytest.mark.rule("A8", "R20")
def test_server_keeps_an_idle_tunnel_that_it_was_told_to_keep() -> None:
    mux = Multiplexer(
        opens_odd=False, local=Limits(), remote=Limits(resume_s=7), budget=None, now=100.0, keeps_idle=True
    )

    assert mux.detach(101.0) is None
    assert mux.expires == 108.0
