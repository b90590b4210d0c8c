from __future__ import annotations

import pytest
from mux_kit import GET, POST, Ends, counted, envelope, multiplexer, opened_in, uncounted

from tunnel.domain.envelopes import (
    BodyChunk,
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Error,
    Frame,
    GoAway,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Payload,
    Ping,
    Pong,
    Register,
    StopSending,
    TcpOpen,
    Trailers,
    UnknownPayload,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB, Limits
from tunnel.domain.messagepack import encode_payload
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.tunnel_state import TunnelState

METADATA = GrpcFrame(GrpcFrameType.METADATA, "s", "m")
ENOUGH = SessionError(ErrorCode.CANCELLED, "enough")


def code_of(session) -> ErrorCode | None:
    return None if session.error is None else session.error.code


# -- numbers of frames


@pytest.mark.rule("F5")
def test_duplicate_is_dropped_whole() -> None:
    mux = multiplexer()
    frame = counted(1, (1, POST), (1, BodyChunk(b"once")))
    (session,) = mux.receive(frame, 0.0).opened
    again = mux.receive(frame, 0.0)
    assert (again.opened, again.changed, again.violation) == ([], [], None)
    assert session.take(0.0) == BodyChunk(b"once")
    assert session.take(0.0) is None


@pytest.mark.rule("F7")
def test_gap_ends_the_tunnel() -> None:
    mux = multiplexer()
    received = mux.receive(counted(2, (1, GET)), 0.0)
    assert received.violation == "frame 2 came after 0"
    assert received.opened == []


@pytest.mark.rule("F11")
def test_acknowledgement_of_what_was_not_sent_ends_the_tunnel() -> None:
    mux = multiplexer()
    assert mux.receive(Frame((), ack=1), 0.0).violation == "frame 1 was acknowledged, 0 was the last one sent"


@pytest.mark.rule("F10")
def test_lower_acknowledgement_is_ignored() -> None:
    ends = Ends()
    for _ in range(2):
        ends.open(GET)
    ends.settle()
    assert ends.client.retained_frames == 0
    assert ends.client.receive(Frame((), ack=1), ends.now).violation is None
    assert ends.client.retained_frames == 0


# -- envelopes out of place


@pytest.mark.rule("F3")
@pytest.mark.parametrize(
    "payload", [Ping(1), Pong(1), ConfigApplied(1, "h"), Close("bye"), Register((1,), "c", "g", b"", "")]
)
def test_what_is_not_counted_must_not_come_counted(payload: Payload) -> None:
    assert multiplexer().receive(counted(1, (0, payload)), 0.0).violation is not None


@pytest.mark.rule("F3")
@pytest.mark.parametrize("payload", [GET, BodyChunk(), WindowUpdate(1), Error("internal"), GoAway(0)])
def test_what_is_counted_must_not_come_uncounted(payload: Payload) -> None:
    mux = multiplexer()
    mux.receive(counted(1, (1, POST)), 0.0)
    assert mux.receive(Frame((envelope(1, payload),)), 0.0).violation is not None


@pytest.mark.rule("S3")
@pytest.mark.parametrize("opens_odd", [True, False])
@pytest.mark.parametrize("head", [GET, TcpOpen("ssh"), METADATA])
def test_opening_with_an_id_of_ours_ends_the_tunnel(opens_odd: bool, head: Payload) -> None:
    mux = multiplexer(opens_odd=opens_odd)
    assert mux.receive(counted(1, (1 if opens_odd else 2, head)), 0.0).violation is not None


@pytest.mark.rule("S4")
@pytest.mark.parametrize("head", [GET, TcpOpen("ssh"), METADATA])
@pytest.mark.parametrize("state", ["open", "finished", "passed over"])
def test_reuse_of_an_id_ends_the_tunnel(head: Payload, state: str) -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (5, head)), 0.0).opened
    if state == "finished":
        session.finish()
    received = mux.receive(counted(2, (3 if state == "passed over" else 5, head)), 0.0)
    assert received.violation is not None
    assert "opened twice" in received.violation


@pytest.mark.rule("S5")
@pytest.mark.parametrize(
    "payload",
    [
        BodyChunk(b"x"),
        HttpResponse(200),
        Trailers(),
        GrpcFrame(GrpcFrameType.DATA),
        WindowUpdate(1),
        StopSending(""),
        Error("internal"),
        UnknownPayload("why"),
    ],
)
@pytest.mark.parametrize("session_id", [1, 2])
def test_anything_but_an_opening_for_an_id_never_opened_ends_the_tunnel(payload: Payload, session_id: int) -> None:
    assert multiplexer().receive(counted(1, (session_id, payload)), 0.0).violation is not None


@pytest.mark.rule("E2")
@pytest.mark.parametrize("payload", [GET, BodyChunk(), WindowUpdate(1), StopSending(""), Error("internal")])
def test_session_envelope_on_session_zero_ends_the_tunnel(payload: Payload) -> None:
    assert multiplexer().receive(counted(1, (0, payload)), 0.0).violation is not None


@pytest.mark.rule("E10")
@pytest.mark.parametrize(
    "payload", [BodyChunk(b"x"), Trailers(), WindowUpdate(1), StopSending(""), Error("internal"), UnknownPayload("w")]
)
def test_envelopes_for_a_closed_id_are_dropped_and_not_answered(payload: Payload) -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (3, GET)), 0.0).opened
    session.offer(HttpResponse(204, end=True))
    mux.next_frame(0.0)
    session.finish()
    for seq, session_id in ((2, 3), (3, 1)):
        received = mux.receive(counted(seq, (session_id, payload)), 0.0)
        assert (received.violation, received.changed, received.opened) == (None, [], [])
    assert mux.next_frame(0.0) is None


@pytest.mark.rule("E9")
def test_unknown_kind_resets_its_session_and_no_other() -> None:
    mux = multiplexer()
    one, other = mux.receive(counted(1, (1, POST), (3, POST)), 0.0).opened
    received = mux.receive(counted(2, (1, UnknownPayload("unknown kind 99")), (3, BodyChunk(b"x"))), 0.0)
    assert (received.violation, received.changed) == (None, [one, other])
    assert (code_of(one), code_of(other)) == (ErrorCode.PROTOCOL_ERROR, None)
    assert other.take(0.0) == BodyChunk(b"x")


@pytest.mark.rule("E9")
def test_unknown_kind_that_came_uncounted_resets_its_session_too() -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    received = mux.receive(Frame((envelope(1, UnknownPayload("unknown kind 99")),)), 0.0)
    assert (received.violation, received.changed) == (None, [session])


@pytest.mark.rule("E8")
def test_unknown_kind_of_the_tunnel_is_ignored() -> None:
    mux = multiplexer()
    assert mux.receive(counted(1, (0, UnknownPayload("why"))), 0.0).violation is None
    assert mux.receive(uncounted(UnknownPayload("why")), 0.0).violation is None
    assert mux.next_frame(0.0) is None


# -- caps


def refused(mux: Multiplexer) -> list[tuple[int, str]]:
    found = []
    while (frame := mux.next_frame(0.0)) is not None:
        found += [(e.session_id, e.payload.code) for e in frame.envelopes if isinstance(e.payload, Error)]
    return found


@pytest.mark.rule("S15", "S16")
def test_openings_above_the_cap_are_refused_and_above_twice_the_cap_end_the_tunnel() -> None:
    mux = multiplexer(local=Limits(max_sessions=2))
    received = mux.receive(counted(1, *[(number, GET) for number in (1, 3, 5, 7)]), 0.0)
    assert (received.violation, len(received.opened)) == (None, 2)
    received = mux.receive(counted(2, (9, GET)), 0.0)
    assert received.violation == "twice as many sessions as allowed were opened"
    assert refused(mux) == [(5, "refused"), (7, "refused")]


@pytest.mark.rule("S18")
def test_slot_is_free_when_the_handler_has_finished_and_not_before() -> None:
    mux = multiplexer(local=Limits(max_sessions=1))
    (session,) = mux.receive(counted(1, (1, GET)), 0.0).opened
    session.reset(ENOUGH)
    assert mux.receive(counted(2, (3, GET)), 0.0).opened == []
    session.finish()
    assert len(mux.receive(counted(3, (5, GET)), 0.0).opened) == 1


@pytest.mark.rule("S16")
def test_peer_that_has_heard_of_refusals_may_try_again() -> None:
    mux = multiplexer(local=Limits(max_sessions=1))
    mux.receive(counted(1, (1, GET)), 0.0)
    for seq in range(2, 50):
        acknowledged = mux._out.retention.sent
        received = mux.receive(counted(seq, (2 * seq - 1, GET), ack=acknowledged), 0.0)
        assert received.violation is None
        assert refused(mux) == [(2 * seq - 1, "refused")]


@pytest.mark.parametrize("last_word", [Error("cancelled"), StopSending("")])
def test_refused_sessions_that_their_opener_gave_up_do_not_count(last_word: Payload) -> None:
    mux = multiplexer(local=Limits(max_sessions=1))
    mux.receive(counted(1, (1, GET)), 0.0)
    for seq in range(2, 50):
        session_id = 2 * seq - 1
        assert mux.receive(counted(seq, (session_id, GET), (session_id, last_word)), 0.0).violation is None


@pytest.mark.rule("S14")
def test_no_more_are_opened_than_the_peer_takes() -> None:
    ends = Ends(server_limits=Limits(max_sessions=2))
    first = ends.client.open(GET, ends.now)
    ends.client.open(GET, ends.now)
    with pytest.raises(SessionError) as caught:
        ends.client.open(GET, ends.now)
    assert caught.value.code is ErrorCode.OVERLOADED
    first.finish()
    ends.client.open(GET, ends.now)


@pytest.mark.rule("C10")
def test_windows_of_open_sessions_are_bounded_and_openings_beyond_get_overloaded() -> None:
    budget = Budget(48 * KIB)
    limits = Limits(session_window_bytes=8 * KIB, tunnel_receive_bytes=16 * KIB)
    mux = multiplexer(local=limits, budget=budget)
    received = mux.receive(counted(1, (1, POST), (3, POST), (5, POST)), 0.0)
    assert len(received.opened) == 2
    assert refused(mux) == [(5, "overloaded")]
    assert mux.reserved_bytes == budget.reserved_bytes == 16 * KIB
    with pytest.raises(SessionError) as caught:
        mux.open(GET, 0.0)
    assert caught.value.code is ErrorCode.OVERLOADED
    other = multiplexer(local=limits, budget=budget)
    assert len(other.receive(counted(1, (1, POST), (3, POST)), 0.0).opened) == 1
    for session in received.opened:
        session.finish()
    assert (mux.reserved_bytes, budget.reserved_bytes) == (0, 8 * KIB)


@pytest.mark.rule("C2")
def test_whole_request_takes_what_it_holds_rather_than_a_window() -> None:
    mux = multiplexer(local=Limits(tunnel_receive_bytes=GET.cost))
    (session,) = mux.receive(counted(1, (1, GET), (3, GET)), 0.0).opened
    assert refused(mux) == [(3, "overloaded")]
    assert mux.reserved_bytes == GET.cost
    session.finish()
    assert mux.reserved_bytes == 0


@pytest.mark.rule("S17")
@pytest.mark.parametrize("max_sessions", [1, 1000, 3000])
def test_opening_and_resetting_without_end_ends_the_tunnel(max_sessions: int) -> None:
    mux = multiplexer(local=Limits(max_sessions=max_sessions))
    violation, resets = None, 0
    while violation is None:
        session_id = 2 * resets + 1
        received = mux.receive(counted(resets + 1, (session_id, GET), (session_id, Error("cancelled"))), 0.0)
        for session in received.opened:
            session.finish()
        violation, resets = received.violation, resets + 1
    assert violation == "sessions are reset too often"
    assert resets == max(max_sessions, 1000) + 1


@pytest.mark.rule("S17")
def test_a_thousand_resets_a_second_are_borne() -> None:
    mux = multiplexer(local=Limits(max_sessions=1))
    for number in range(5000):
        frame = counted(number + 1, (2 * number + 1, GET), (2 * number + 1, Error("cancelled")))
        received = mux.receive(frame, number / 1000)
        assert received.violation is None
        received.opened[0].finish()


# -- go_away


@pytest.mark.rule("T3", "G1", "G3", "G4")
def test_going_away_drops_later_openings_and_lets_earlier_ones_finish() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    late = ends.client.open(POST, ends.now)
    ends.send(0)
    unopened = ends.client.open(POST, ends.now)
    ends.server.go_away("shutdown")
    ends.server.go_away("again")
    ends.send_all(1)
    ends.deliver(1)
    received = ends.deliver(0)
    assert received.going_away
    assert set(received.changed) == {late, unopened}
    assert (code_of(session), code_of(late), code_of(unopened)) == (None, ErrorCode.REFUSED, ErrorCode.REFUSED)
    assert ends.server.session_count == 1
    for mux in (ends.client, ends.server):
        assert mux.state is TunnelState.DRAINING
        with pytest.raises(SessionError) as caught:
            mux.open(GET, ends.now)
        assert caught.value.code is ErrorCode.REFUSED
    session.offer(BodyChunk(b"still", end=True))
    ends.move()
    assert peer.take(ends.now) == BodyChunk(b"still", end=True)


@pytest.mark.rule("G2")
def test_later_envelopes_of_a_dropped_opening_are_dropped() -> None:
    mux = multiplexer()
    mux.go_away("shutdown")
    assert mux.receive(counted(1, (1, POST)), 0.0).opened == []
    received = mux.receive(counted(2, (1, BodyChunk(b"x")), (1, StopSending("")), (1, Error("internal"))), 0.0)
    assert (received.violation, received.changed) == (None, [])
    assert mux.session_count == 0


# -- the end of the tunnel


@pytest.mark.rule("T6", "T7")
def test_end_refuses_what_was_never_handed_to_a_link_and_loses_all_else_once() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    peer.offer(HttpResponse(200))
    ends.move()
    closed, _ = ends.open(GET)
    closed.reset(ENOUGH)
    unopened = ends.client.open(POST, ends.now)
    assert set(ends.client.end("the link broke")) == {session, unopened}
    assert (code_of(session), code_of(unopened)) == (ErrorCode.PEER_LOST, ErrorCode.REFUSED)
    assert closed.error is ENOUGH
    assert ends.client.end("again") == []
    with pytest.raises(SessionError):
        session.offer(BodyChunk())
    assert session.take(ends.now) == HttpResponse(200)
    with pytest.raises(SessionError) as caught:
        session.take(ends.now)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.PEER_LOST, "the link broke")


def test_ended_tunnel_has_nothing_to_say_and_is_drained_once_its_handlers_finished() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    reset, _ = ends.open(POST)
    session.offer(BodyChunk(b"x"))
    reset.reset(ENOUGH)
    reset.finish()
    ends.client.go_away("shutdown")
    ends.client.ping(ends.now)
    ends.client.end("gone")
    assert not ends.client.sendable
    assert ends.client.next_frame(ends.now) is None
    assert not ends.client.drained
    session.finish()
    assert ends.client.drained
    assert (ends.client.session_count, ends.client.reserved_bytes, ends.client.retained_frames) == (0, 0, 0)
    with pytest.raises(SessionError) as caught:
        ends.client.open(GET, ends.now)
    assert caught.value.code is ErrorCode.REFUSED


def test_end_frees_sessions_that_nobody_was_told_of() -> None:
    budget = Budget(1024 * KIB)
    mux = multiplexer(budget=budget)
    mux.receive(counted(1, (1, HttpRequest("GET", more=True))), 0.0)
    assert budget.reserved_bytes > 0
    assert mux.end("gone") == []
    assert (mux.session_count, budget.reserved_bytes) == (0, 0)


def test_ended_tunnel_takes_nothing_in() -> None:
    mux = multiplexer()
    mux.end("gone")
    received = mux.receive(counted(1, (1, GET)), 0.0)
    assert (received.opened, received.violation) == ([], None)
    assert mux.session_count == 0


def test_close_is_told_to_the_peer() -> None:
    ends = Ends()
    ends.client.close("superseded", "another instance")
    (received,) = ends.move()[1]
    assert received.closed == Close("superseded", "another instance")


@pytest.mark.parametrize(
    "message", [ConfigSyncResponse(1, "h", b"{}"), ConfigApplied(1, "h"), ConfigRejected(1, "h", "why")]
)
def test_messages_of_the_tunnel_are_handed_on(message) -> None:
    ends = Ends()
    ends.client.send(message)
    (received,) = ends.move()[1]
    assert received.messages == [message]


# -- credit


@pytest.mark.rule("K4")
def test_largest_opening_leaves_both_ends_with_the_same_credit() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    head = HttpRequest("POST", b"/", body=b"b" * (ends.client.opening_cost - 256 - 5))
    assert head.cost == ends.client.opening_cost
    session, peer = ends.open(head)
    ends.settle()
    assert peer.receive_window is not None
    assert session.send_window.credit == peer.receive_window.credit


@pytest.mark.rule("C1")
def test_stalled_reader_holds_its_sender_to_one_window_and_nobody_else() -> None:
    limits = Limits(session_window_bytes=8 * KIB)
    ends = Ends(limits)
    stalled, unread = ends.open(POST)
    other, read = ends.open(POST)
    chunk = BodyChunk(b"x" * 1000)
    taken = 0
    for _ in range(50):
        for session in (stalled, other):
            if session.pending is None:
                session.offer(chunk)
        ends.settle()
        while read.take(ends.now) is not None:
            taken += 1
    assert taken == 50
    assert stalled.pending is not None
    assert unread.receive_window is not None
    assert unread.receive_window.credit >= 0
    assert sum(cost for _, cost in unread._inbound) <= 8 * KIB
    while unread.take(ends.now) is not None:
        pass
    ends.settle()
    assert stalled.pending is None


def test_quick_reader_gets_a_larger_window() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB, session_window_max_bytes=64 * KIB))
    session, peer = ends.open(POST)
    for _ in range(200):
        session.offer(BodyChunk(b"x" * 1500))
        ends.now += 0.001
        ends.move()
        assert peer.take(ends.now) is not None
    assert peer.receive_window is not None
    assert peer.receive_window.size == 64 * KIB
    assert 15 * KIB < session.send_window.chunk_cost <= 16 * KIB
    peer.finish()
    assert ends.server.reserved_bytes == 0


# -- life of the link


@pytest.mark.rule("L9")
def test_ping_is_answered_and_tells_the_round_trip() -> None:
    ends = Ends()
    ends.client.ping(ends.now)
    ends.send(0)
    ends.deliver(1)
    ends.send(1)
    ends.now += 0.02
    assert ends.deliver(0).pong
    assert ends.client.round_trip_s == pytest.approx(0.02)


@pytest.mark.rule("L8", "L11")
def test_pings_go_every_heartbeat_and_silence_kills_the_link_after_three() -> None:
    mux = multiplexer(local=Limits(heartbeat_s=5.0))
    assert mux.deadline == 5.0
    assert mux.tick(5.0) is None
    frame = mux.next_frame(5.0)
    assert frame is not None
    assert [e.payload for e in frame.envelopes] == [Ping(1)]
    assert mux.tick(10.0) is None
    assert mux.next_frame(10.0) is None, "one ping at a time"
    assert mux.tick(15.0) == "nothing heard for 15.0 s"


@pytest.mark.rule("L10")
def test_any_valid_frame_proves_life_and_a_violation_does_not() -> None:
    mux = multiplexer(local=Limits(heartbeat_s=5.0))
    mux.receive(Frame(()), 10.0)
    assert mux.tick(24.9) is None
    mux.receive(counted(7, (1, GET)), 24.9)
    assert mux.tick(25.0) is not None


@pytest.mark.rule("L12")
def test_frames_that_nobody_acknowledges_kill_the_link_after_three_heartbeats() -> None:
    mux = multiplexer(opens_odd=True, local=Limits(heartbeat_s=5.0))
    mux.open(POST, 0.0)
    mux.next_frame(1.0)
    for now in (5.0, 10.0, 15.9):
        mux.receive(uncounted(Pong(99)), now)
        assert mux.tick(now) is None
    assert mux.tick(16.0) == "no frame acknowledged for 15.0 s"
    mux.receive(Frame((), ack=1), 16.0)
    assert mux.tick(30.0) is None


@pytest.mark.rule("S2")
def test_openings_of_one_frame_open_in_order() -> None:
    ends = Ends()
    for number in range(5):
        ends.client.open(HttpRequest("GET", b"/%d" % number, end=True), ends.now)
    opened = opened_in(ends.move()[1])
    assert [(session.id, session.head.path) for session in opened] == [
        (2 * number + 1, b"/%d" % number) for number in range(5)
    ]


# -- progress, idleness, limits of what a peer grants


def test_stall_counts_from_the_first_frame_that_is_not_acknowledged() -> None:
    ends = Ends()
    session = ends.client.open(POST, 0.0)
    ends.client.next_frame(0.0)
    session.offer(BodyChunk(b"x"))
    assert ends.client.next_frame(10.0) is not None
    ends.client.receive(Frame(()), 14.0)
    assert ends.client.tick(14.9) is None
    assert ends.client.tick(15.0) == "no frame acknowledged for 15.0 s"


def test_nothing_stalls_once_all_is_acknowledged() -> None:
    ends = Ends()
    ends.client.open(POST, 0.0)
    ends.client.next_frame(0.0)
    ends.client.receive(Frame((), 1), 1.0)
    ends.client.receive(Frame(()), 15.0)
    assert ends.client.tick(20.0) is None


def test_stall_counts_anew_when_only_some_is_acknowledged() -> None:
    ends = Ends()
    session = ends.client.open(POST, 0.0)
    ends.client.next_frame(0.0)
    session.offer(BodyChunk(b"x"))
    ends.client.next_frame(0.0)
    ends.client.receive(Frame((), 1), 9.0)
    ends.client.receive(Frame(()), 20.0)
    assert ends.client.tick(23.9) is None
    assert ends.client.tick(24.0) == "no frame acknowledged for 15.0 s"


def test_control_counts_towards_the_bytes_to_acknowledge() -> None:
    mux = multiplexer(remote=Limits(replay_window_bytes=256 * KIB))
    mux.receive(counted(1, (1, GET)), 0.0)
    mux._acknowledgement.told()
    mux.receive(counted(2, *[(1, StopSending(""))] * 255), 0.0)
    assert not mux.sendable
    mux.receive(counted(3, (1, StopSending(""))), 0.0)
    assert mux.sendable


def test_going_away_is_said_once_and_not_after_the_end() -> None:
    ends = Ends()
    ends.client.go_away("shutdown")
    ends.client.next_frame(0.0)
    ends.client.go_away("shutdown")
    assert ends.client.next_frame(0.0) is None
    ends.server.end("gone")
    ends.server.go_away("shutdown")
    assert ends.server.next_frame(0.0) is None


def test_only_the_client_keeps_a_tunnel_in_which_nothing_is_under_way() -> None:
    ends = Ends()
    ends.client.go_away("shutdown")
    ends.server.go_away("shutdown")
    ends.settle()
    assert ends.client.detach(ends.now) is None
    assert ends.server.detach(ends.now) == "nothing was under way"


def test_frame_without_news_says_so() -> None:
    received = multiplexer().receive(Frame(()), 0.0)
    assert (received.going_away, received.opened, received.changed, received.closed) == (False, [], [], None)


@pytest.mark.parametrize("granted", [1, (1 << 40) - 1000])
def test_peer_may_grant_any_credit_within_measure(granted: int) -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    session.send_window.credit = 1000
    ends.client.receive(counted(ends.client.received + 1, (session.id, WindowUpdate(granted))), 0.0)
    assert (session.error, session.send_window.credit) == (None, 1000 + granted)


@pytest.mark.parametrize("granted", [0, -1, (1 << 40) - 999])
def test_credit_of_nothing_or_beyond_measure_resets(granted: int) -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    session.send_window.credit = 1000
    received = ends.client.receive(counted(ends.client.received + 1, (session.id, WindowUpdate(granted))), 0.0)
    assert received.changed == [session]
    assert session.error is not None
    assert session.error.code is ErrorCode.FLOW_CONTROL


def test_session_whose_head_came_in_parts_is_opened_once() -> None:
    mux = multiplexer()
    opening = mux.receive(counted(1, (1, HttpRequest("GET", more=True))), 0.0)
    whole = mux.receive(counted(2, (1, HeadPart(encode_payload(HttpRequest("POST"))))), 0.0)
    body = mux.receive(counted(3, (1, BodyChunk(b"x"))), 0.0)
    assert (opening.opened, len(whole.opened), body.opened) == ([], 1, [])
    assert body.changed == whole.opened


def test_sessions_are_counted_whether_their_opening_was_framed_or_not() -> None:
    ends = Ends()
    ends.open(POST)
    ends.client.open(POST, ends.now)
    assert ends.client.session_count == 2


def test_sessions_of_the_peer_do_not_count_against_what_it_takes() -> None:
    ends = Ends(Limits(max_sessions=2))
    for _ in range(2):
        ends.open(POST, side=1)
    ends.client.open(POST, ends.now)
    ends.client.open(POST, ends.now)
    with pytest.raises(SessionError):
        ends.client.open(POST, ends.now)


def test_end_tells_every_session_once_though_some_are_over() -> None:
    ends = Ends()
    over, _ = ends.open(POST)
    going, _ = ends.open(POST)
    over.reset(ENOUGH)
    assert ends.client.end("gone") == [going]
    assert not ends.client.sendable


def test_opening_may_fill_the_window_and_no_more() -> None:
    limits = Limits(session_window_bytes=8 * KIB)
    exact = HttpRequest("POST", body=bytes(8 * KIB - POST.cost))
    larger = HttpRequest("POST", body=bytes(8 * KIB - POST.cost + 1))
    mux = multiplexer(local=limits)
    received = mux.receive(counted(1, (1, exact), (3, larger)), 0.0)
    assert [session.id for session in received.opened] == [1]
