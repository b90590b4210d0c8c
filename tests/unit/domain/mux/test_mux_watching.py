"""What the application watches of a tunnel, and what is kept of sessions that are refused, given up or over."""

from __future__ import annotations

import pytest
from mux_kit import GET, POST, SERVER, Ends, counted, multiplexer, uncounted

from tunnel.domain.envelopes import (
    BodyChunk,
    Error,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Ping,
    Pong,
    StopSending,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB, MAX_UNFINISHED_HEADS, Limits
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.mux.pacing import LinkPacing
from tunnel.domain.mux.session import Session

CHUNK = BodyChunk(b"x" * 1000)
ENOUGH = SessionError(ErrorCode.CANCELLED, "enough")


def answered(mux: Multiplexer) -> list[tuple[int, str]]:
    """The errors that ``mux`` sends now."""
    frames = iter(lambda: mux.next_frame(0.0), None)
    return [(e.session_id, e.payload.code) for f in frames for e in f.envelopes if isinstance(e.payload, Error)]


# -- before the configuration is settled


def unsettled() -> Multiplexer:
    return Multiplexer(opens_odd=True, local=Limits(), remote=Limits(), budget=None, now=0.0, settled=False)


@pytest.mark.rule("H20")
def test_session_opened_before_the_configuration_was_settled_is_a_mistake() -> None:
    client = unsettled()
    received = client.receive(counted(1, (2, GET)), 0.0)
    assert received.violation == "a session was opened before the configuration was settled"
    assert (received.opened, client.session_count) == ([], 0)


@pytest.mark.rule("H20")
def test_session_opened_once_the_configuration_was_settled_is_taken() -> None:
    client = unsettled()
    client.settle()
    received = client.receive(counted(1, (2, GET)), 0.0)
    assert (received.violation, [session.id for session in received.opened]) == (None, [2])


# -- what is watched


def test_sessions_are_those_that_are_not_finished_of_both_sides_and_those_not_opened_yet_last() -> None:
    ends = Ends()
    mine, _ = ends.open(POST)
    _, peer = ends.open(POST, side=SERVER)
    over, _ = ends.open(POST)
    unopened = ends.client.open(POST, ends.now)
    over.reset(ENOUGH)
    over.finish()
    assert ends.client.sessions() == (mine, peer, unopened)


def sessions_with(pending: BodyChunk | None) -> Session:
    session, _ = Ends().open(POST)
    if pending is not None:
        session.offer(pending)
    return session


def test_unframed_bytes_are_the_cost_of_what_waits() -> None:
    assert (sessions_with(None).unframed_bytes, sessions_with(CHUNK).unframed_bytes) == (0, CHUNK.cost)


def test_nothing_is_unframed_once_it_was_framed_or_withdrawn() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    session.offer(CHUNK)
    ends.client.next_frame(ends.now)
    assert session.unframed_bytes == 0
    session.offer(CHUNK)
    assert session.withdraw()
    assert session.unframed_bytes == 0


def test_retained_bytes_are_those_of_data_and_of_control() -> None:
    ends = Ends()
    (first, _), (second, _) = ends.open(POST), ends.open(POST)
    ends.settle()
    assert ends.client.retained_bytes == 0
    first.offer(CHUNK)
    second.stop_receiving("")
    ends.client.next_frame(ends.now)
    assert ends.client.retained_bytes == CHUNK.cost + 256


def test_round_trip_is_told_once_measured_and_only_while_attached() -> None:
    mux = multiplexer()
    assert mux.measured_round_trip_s is None
    mux.ping(1.0)
    mux.next_frame(1.0)
    mux.receive(uncounted(Pong(1)), 1.25)
    assert mux.measured_round_trip_s == 0.25
    mux.detach(2.0, replaced=True)
    assert mux.measured_round_trip_s is None
    mux.attach(0, 3.0)
    assert mux.measured_round_trip_s is None, "nothing is known of another link"


def test_nothing_is_delivered_before_the_first_acknowledgement() -> None:
    assert LinkPacing(0.0).delivered == 0


def test_everything_that_waits_for_the_next_frame_is_queued() -> None:
    ends = Ends()
    (first, _), (second, _) = ends.open(POST), ends.open(POST)
    ends.settle()
    found = [ends.client.queued]
    for wait in (
        lambda: ends.client.close("shutdown", ""),
        lambda: first.stop_receiving(""),
        lambda: ends.client.open(POST, ends.now),
        lambda: second.offer(CHUNK),
    ):
        wait()
        found.append(ends.client.queued)
    assert found == [0, 1, 2, 3, 4]


# -- acknowledgement


@pytest.mark.rule("F13")
def test_byte_less_than_a_quarter_of_the_replay_window_is_not_acknowledged_at_once() -> None:
    for missing, due in ((1, False), (0, True)):
        mux = multiplexer(local=Limits(session_window_bytes=256 * KIB), remote=Limits(replay_window_bytes=256 * KIB))
        mux.receive(counted(1, (1, POST)), 0.0)
        mux._acknowledgement.told()
        mux.receive(counted(2, (1, BodyChunk(bytes(64 * KIB - 256 - missing)))), 0.0)
        assert mux.sendable is due


# -- refusals, and sessions that are gone


@pytest.mark.rule("S16")
def test_refusal_that_is_not_acknowledged_counts_though_earlier_frames_are() -> None:
    mux = multiplexer(local=Limits(max_sessions=1), remote=Limits())
    for _ in range(5):
        mux.open(POST, 0.0)
        mux.next_frame(0.0)
    mux.receive(counted(1, (1, GET), (3, GET)), 0.0)
    received = mux.receive(counted(2, (5, GET), ack=1), 0.0)
    assert received.violation == "twice as many sessions as allowed were opened"


@pytest.mark.rule("S16")
def test_large_heads_that_are_refused_without_end_end_the_tunnel() -> None:
    mux = multiplexer(local=Limits(max_sessions=MAX_UNFINISHED_HEADS + 1))
    head = HttpRequest("GET", more=True)
    for number in range(2 * MAX_UNFINISHED_HEADS + 1):
        assert mux.receive(counted(number + 1, (2 * number + 1, head)), 0.0).violation is None
    received = mux.receive(counted(2 * MAX_UNFINISHED_HEADS + 2, (4 * MAX_UNFINISHED_HEADS + 3, head)), 0.0)
    assert received.violation == "twice as many sessions as allowed were opened"


@pytest.mark.rule("S17")
def test_refused_openings_that_are_reset_count_as_resets() -> None:
    mux = multiplexer(local=Limits(max_sessions=1))
    mux.receive(counted(1, (1, GET)), 0.0)
    violation, resets = None, 0
    while violation is None and resets <= 1000:
        session_id = 2 * resets + 3
        frame = counted(resets + 2, (session_id, GET), (session_id, Error("cancelled")))
        violation, resets = mux.receive(frame, 0.0).violation, resets + 1
    assert (violation, resets) == ("sessions are reset too often", 1001)


@pytest.mark.rule("S16")
def test_refused_opening_that_is_reset_or_stopped_does_not_count_as_open() -> None:
    for last in (Error("cancelled"), StopSending("")):
        mux = multiplexer(local=Limits(max_sessions=1))
        mux.receive(counted(1, (1, GET)), 0.0)
        for seq in range(2, 10):
            received = mux.receive(counted(seq, (2 * seq - 1, GET), (2 * seq - 1, last)), 0.0)
            assert received.violation is None


@pytest.mark.rule("S17")
def test_errors_of_sessions_that_are_over_count_as_nothing() -> None:
    mux = multiplexer(local=Limits(max_sessions=10))
    (session,) = mux.receive(counted(1, (1, GET)), 0.0).opened
    session.finish()
    received = mux.receive(counted(2, *[(1, Error("cancelled"))] * 1500), 0.0)
    assert (received.violation, received.changed) == (None, [])


@pytest.mark.rule("S15")
def test_sessions_of_ours_that_are_over_make_no_room_for_more_of_the_peers() -> None:
    mux = multiplexer(local=Limits(max_sessions=1), remote=Limits())
    mine = mux.open(POST, 0.0)
    mux.next_frame(0.0)
    mine.reset(ENOUGH)
    mine.finish()
    assert [session.id for session in mux.receive(counted(1, (1, POST), (3, POST)), 0.0).opened] == [1]
    assert answered(mux) == [(2, "cancelled"), (3, "refused")]


def test_head_that_no_frame_holds_keeps_no_window() -> None:
    mux = multiplexer()
    with pytest.raises(SessionError):
        mux.open(HttpRequest("GET", headers=(b"a", b"") * 20_000), 0.0)
    assert (mux.session_count, mux.reserved_bytes, mux.queued) == (0, 0, 0)


# -- what a handler hears, and what is kept for it


def test_handler_hears_of_an_answer_whose_head_is_too_large() -> None:
    ends = Ends(Limits(max_headers=3))
    session, _ = ends.open(GET)
    received = ends.client.receive(counted(1, (session.id, HttpResponse(200, (b"a", b"b") * 4))), ends.now)
    assert received.changed == [session]
    assert session.error is not None
    assert session.error.code is ErrorCode.TOO_LARGE


def test_part_of_a_head_that_is_not_the_last_is_no_news() -> None:
    ends = Ends()
    session, _ = ends.open(GET)
    parts = [(session.id, HttpResponse(200, more=True)), (session.id, HeadPart(b"part", more=True))]
    assert ends.client.receive(counted(1, *parts), ends.now).changed == []


def test_handler_that_is_done_has_left_and_keeps_nothing() -> None:
    ends = Ends()
    session, peer = ends.open(GET)
    peer.offer(HttpResponse(200, body=b"fine", end=True))
    ends.move()
    assert session.unread_bytes
    session.finish()
    peer.finish()
    assert (session.left, peer.left, session.unread_bytes) == (True, True, 0)


def test_nothing_is_sent_again_when_the_tunnel_has_ended() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    session.offer(CHUNK)
    ends.client.next_frame(ends.now)
    ends.client.detach(ends.now)
    ends.client.attach(0, ends.now)
    assert ends.client.sendable
    ends.client.end("gone")
    assert not ends.client.sendable
    assert ends.client.next_frame(ends.now) is None


def test_ended_tunnel_answers_no_ping() -> None:
    mux = multiplexer()
    mux.receive(uncounted(Ping(7)), 0.0)
    mux.end("gone")
    assert not mux.sendable
