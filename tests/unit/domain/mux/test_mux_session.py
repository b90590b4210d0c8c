from __future__ import annotations

import pytest
from mux_kit import GET, POST, Ends, counted, multiplexer

from tunnel.domain.envelopes import (
    BodyChunk,
    Error,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    StopSending,
    Trailers,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import KIB, Limits
from tunnel.domain.messagepack import encode_payload
from tunnel.domain.mux.session_state import SessionState

ENOUGH = SessionError(ErrorCode.CANCELLED, "enough")
END = BodyChunk(b"", end=True)
OK = HttpResponse(200, body=b"fine", end=True)


def sent(ends: Ends, side: int) -> list[object]:
    """Payloads of what ``side`` frames now; they are delivered too."""
    frames = ends.send_all(side)
    for _ in frames:
        ends.deliver(1 - side)
    return [envelope.payload for frame in frames for envelope in frame.envelopes]


@pytest.mark.rule("E5")
def test_small_exchange_is_one_envelope_each_way() -> None:
    ends = Ends()
    session, peer = ends.open(GET)
    peer.offer(OK)
    assert sent(ends, 1) == [OK]
    assert session.take(ends.now) == OK
    assert session.take(ends.now) is None
    assert (session.state, peer.state) == (SessionState.CLOSED, SessionState.CLOSED)


# -- the end of a handler


@pytest.mark.rule("S9")
def test_handler_that_leaves_input_unread_stops_it_and_no_error_is_sent() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    peer.offer(OK)
    ends.send(1)
    peer.finish()
    ends.deliver(0)
    assert sent(ends, 1) == [StopSending("")]
    assert session.take(ends.now) == OK
    with pytest.raises(SendingStopped):
        session.offer(END)
    assert session.error is None
    assert session.state is SessionState.CLOSED


@pytest.mark.rule("S10")
@pytest.mark.parametrize("head", [GET, POST])
def test_handler_that_leaves_output_unended_resets(head: HttpRequest) -> None:
    ends = Ends()
    session, peer = ends.open(head)
    peer.finish()
    (error,) = sent(ends, 1)
    assert isinstance(error, Error)
    assert error.code == "internal"
    with pytest.raises(SessionError):
        session.take(ends.now)


def test_finishing_an_opening_that_waits_leaves_no_trace() -> None:
    ends = Ends()
    session = ends.client.open(POST, ends.now)
    session.finish()
    assert ends.client.session_count == 0
    assert ends.client.reserved_bytes == 0
    assert ends.send(0) is None
    assert ends.client.drained


def test_control_of_a_finished_session_is_still_sent() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    session.reset(ENOUGH)
    session.finish()
    assert ends.client.session_count == 0
    assert not ends.client.drained
    assert sent(ends, 0) == [Error("cancelled", "enough")]
    assert peer.error is not None
    assert peer.error.code is ErrorCode.CANCELLED
    peer.finish()
    ends.settle()
    assert ends.client.drained


@pytest.mark.rule("N8")
def test_end_that_waits_is_sent_although_the_handler_is_done() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    peer.offer(OK)
    peer.finish()
    assert ends.server.session_count == 1
    assert sent(ends, 1) == [StopSending(""), OK]
    assert (ends.server.session_count, ends.server.reserved_bytes) == (0, 0)
    assert session.take(ends.now) == OK


@pytest.mark.parametrize("last", [Error("internal"), StopSending("enough")])
def test_handler_that_is_done_is_told_nothing_more(last: Error | StopSending) -> None:
    ends = Ends()
    _, peer = ends.open(GET)
    peer.offer(OK)
    peer.finish()
    received = ends.server.receive(counted(2, (1, last)), ends.now)
    assert (received.violation, received.changed) == (None, [])
    assert (ends.server.session_count, ends.server.reserved_bytes) == (0, 0)
    assert ends.send_all(1) == []


def test_tunnel_that_ends_frees_what_a_done_handler_left_waiting() -> None:
    ends = Ends()
    _, peer = ends.open(GET)
    peer.offer(OK)
    peer.finish()
    assert ends.server.end("gone") == []
    assert (ends.server.session_count, ends.server.reserved_bytes) == (0, 0)


# -- resets


@pytest.mark.rule("S11")
def test_reset_drops_what_was_not_framed_and_says_nothing_but_the_error() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    session, peer = ends.open(POST)
    for _ in range(2):
        peer.offer(BodyChunk(b"x" * KIB))
        ends.move()
        assert session.take(ends.now) is not None
    assert session.control_grant > 0
    session.offer(BodyChunk(b"never sent"))
    session.stop_receiving("enough")
    session.reset(ENOUGH)
    assert sent(ends, 0) == [Error("cancelled", "enough")]


@pytest.mark.rule("S12")
def test_error_of_the_peer_fails_sending_at_once_and_receiving_after_what_is_buffered() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    peer.offer(HttpResponse(200))
    ends.move()
    peer.offer(END)
    ends.move()
    session.offer(BodyChunk(b"not framed"))
    received = ends.client.receive(counted(3, (1, Error("upstream_timeout", "late", "why"))), ends.now)
    assert received.changed == [session]
    assert session.pending is None
    with pytest.raises(SessionError) as caught:
        session.offer(END)
    assert (caught.value.code, caught.value.message, caught.value.detail) == (
        ErrorCode.UPSTREAM_TIMEOUT,
        "late",
        "why",
    )
    assert session.take(ends.now) == HttpResponse(200)
    assert session.take(ends.now) == END
    with pytest.raises(SessionError):
        session.take(ends.now)


@pytest.mark.rule("S13")
def test_errors_that_cross_leave_each_side_its_own() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    session.reset(ENOUGH)
    peer.reset(SessionError(ErrorCode.UPSTREAM_TIMEOUT, "late"))
    received = ends.move()
    assert [each.changed for side in received for each in side] == [[], []]
    assert session.error is ENOUGH
    assert peer.error is not None
    assert peer.error.code is ErrorCode.UPSTREAM_TIMEOUT


@pytest.mark.rule("S13")
def test_error_after_both_directions_ended_changes_nothing() -> None:
    ends = Ends()
    session, peer = ends.open(GET)
    peer.offer(OK)
    ends.move()
    peer.reset(ENOUGH)
    assert ends.send(1) is None
    received = ends.client.receive(counted(2, (1, Error("internal"))), ends.now)
    assert received.changed == []
    assert session.take(ends.now) == OK
    assert session.error is None


@pytest.mark.rule("X2")
def test_unknown_error_code_is_internal() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    ends.client.receive(counted(1, (1, Error("from_the_future"))), ends.now)
    assert session.error is not None
    assert session.error.code is ErrorCode.INTERNAL


# -- stop_sending


@pytest.mark.rule("S8")
def test_stopping_ends_the_peers_direction_and_only_that() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    session.offer(BodyChunk(b"dropped"))
    peer.stop_receiving("enough")
    peer.stop_receiving("again")
    assert sent(ends, 1) == [StopSending("enough")]
    assert session.pending is None
    assert (session.state, peer.state) == (SessionState.LOCAL_ENDED, SessionState.REMOTE_ENDED)
    with pytest.raises(SendingStopped) as caught:
        session.offer(END)
    assert caught.value.code == "enough"
    peer.offer(OK)
    ends.move()
    assert session.take(ends.now) == OK


def test_stop_that_crosses_the_end_is_no_news() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    session.offer(END)
    peer.stop_receiving("enough")
    received = ends.move()
    assert [each.changed for side in received for each in side if each.changed] == []
    assert session.stopped is None
    assert peer.error is None
    assert peer.take(ends.now) is None


@pytest.mark.rule("S8")
def test_stop_that_crosses_data_drops_it() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    session.offer(BodyChunk(b"on its way"))
    ends.send(0)
    peer.stop_receiving("enough")
    ends.move()
    assert peer.take(ends.now) is None
    assert not peer.readable
    assert session.stopped is not None


def test_stopping_before_the_opening_was_framed_or_after_the_end_says_nothing() -> None:
    ends = Ends()
    _, peer = ends.open(GET)
    peer.stop_receiving("enough")
    assert ends.send(1) is None
    unopened = ends.client.open(POST, ends.now)
    unopened.stop_receiving("enough")
    assert unopened.state is SessionState.UNOPENED
    assert sent(ends, 0) == [POST]


# -- withdrawing


@pytest.mark.rule("N9")
def test_chunk_taken_back_was_never_sent_and_may_be_offered_again() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    session.offer(BodyChunk(b"one"))
    assert session.withdraw()
    assert not session.withdraw()
    assert ends.send(0) is None
    session.offer(BodyChunk(b"other"))
    ends.move()
    assert peer.take(ends.now) == BodyChunk(b"other")


def test_chunk_that_was_framed_cannot_be_taken_back() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    session.offer(BodyChunk(b"one"))
    ends.send(0)
    assert not session.withdraw()


@pytest.mark.rule("S2")
def test_opening_taken_back_closes_the_session_and_uses_no_id() -> None:
    ends = Ends()
    withdrawn = ends.client.open(POST, ends.now)
    assert withdrawn.withdraw()
    assert withdrawn.error is not None
    assert withdrawn.error.code is ErrorCode.CANCELLED
    withdrawn.finish()
    session, _ = ends.open(POST)
    assert session.id == 1


# -- what may be offered


def test_head_of_more_fields_than_a_frame_holds_is_too_large() -> None:
    ends = Ends()
    _, peer = ends.open(GET)
    with pytest.raises(SessionError) as caught:
        peer.offer(HttpResponse(200, (b"a", b"") * 20_000))
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert peer.pending is None
    peer.offer(OK)
    ends.move()
    with pytest.raises(SessionError) as caught:
        ends.client.open(HttpRequest("GET", headers=(b"a", b"") * 20_000), ends.now)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert ends.client.session_count == 1


# -- a peer that misbehaves within a session


@pytest.mark.rule("E7")
def test_data_after_the_end_resets() -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (1, GET)), 0.0).opened
    received = mux.receive(counted(2, (1, BodyChunk(b"more"))), 0.0)
    assert (received.violation, received.changed) == (None, [session])
    assert session.error is not None
    assert session.error.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.rule("C8")
def test_overrun_resets() -> None:
    mux = multiplexer(local=Limits(session_window_bytes=8 * KIB))
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    mux.receive(counted(2, (1, BodyChunk(b"x" * 7000))), 0.0)
    assert session.error is None
    received = mux.receive(counted(3, (1, BodyChunk(b"x" * 1000))), 0.0)
    assert (received.violation, received.changed) == (None, [session])
    assert session.error is not None
    assert session.error.code is ErrorCode.FLOW_CONTROL


@pytest.mark.rule("C8")
@pytest.mark.parametrize("head", [GET, POST])
def test_opening_larger_than_the_window_resets(head: HttpRequest) -> None:
    mux = multiplexer(local=Limits(session_window_bytes=8 * KIB))
    large = HttpRequest("POST", body=b"x" * 8 * KIB, end=head.end)
    assert mux.receive(counted(1, (1, large)), 0.0).opened == []
    frame = mux.next_frame(0.0)
    assert frame is not None
    (envelope,) = frame.envelopes
    assert isinstance(envelope.payload, Error)
    assert envelope.payload.code == "flow_control"
    assert (mux.session_count, mux.reserved_bytes) == (0, 0)


@pytest.mark.rule("C9")
@pytest.mark.parametrize("grant", [0, 1 << 50])
def test_grant_beyond_measure_resets(grant: int) -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    received = mux.receive(counted(2, (1, WindowUpdate(grant))), 0.0)
    assert (received.violation, received.changed) == (None, [session])
    assert session.error is not None
    assert session.error.code is ErrorCode.FLOW_CONTROL


@pytest.mark.rule("P10")
def test_part_of_a_head_that_nothing_announced_resets() -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    mux.receive(counted(2, (1, HeadPart(b"part"))), 0.0)
    assert session.error is not None
    assert session.error.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.rule("P10")
def test_head_that_is_not_completed_frees_its_session_before_anybody_heard_of_it() -> None:
    mux = multiplexer()
    received = mux.receive(counted(1, (1, HttpRequest("GET", more=True))), 0.0)
    assert received.opened == []
    assert mux.session_count == 1
    received = mux.receive(counted(2, (1, BodyChunk(b"body"))), 0.0)
    assert (received.violation, received.opened, received.changed) == (None, [], [])
    assert (mux.session_count, mux.reserved_bytes) == (0, 0)
    frame = mux.next_frame(0.0)
    assert frame is not None
    assert [type(envelope.payload) for envelope in frame.envelopes] == [Error]


def test_peer_that_resets_while_its_head_is_incomplete_frees_its_session() -> None:
    mux = multiplexer()
    mux.receive(counted(1, (1, HttpRequest("GET", more=True)), (1, Error("cancelled"))), 0.0)
    assert (mux.session_count, mux.reserved_bytes) == (0, 0)


def test_head_stopped_while_incomplete_still_opens() -> None:
    mux = multiplexer()
    head = HttpRequest("GET", b"/p", end=True)
    mux.receive(counted(1, (1, HttpRequest("GET", more=True)), (1, StopSending("enough"))), 0.0)
    (session,) = mux.receive(counted(2, (1, HeadPart(encode_payload(head), end=True))), 0.0).opened
    assert session.head == head
    assert session.stopped is not None


@pytest.mark.rule("P11")
def test_heads_that_are_not_read_cannot_pile_up() -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    announced, part = HttpResponse(200, more=True), HeadPart(encode_payload(HttpResponse(200)))
    for seq in (2, 3):
        mux.receive(counted(seq, (1, announced), (1, part)), 0.0)
        assert session.error is None
    mux.receive(counted(4, (1, announced)), 0.0)
    assert session.error is not None
    assert session.error.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.rule("P9")
def test_head_above_the_header_limit_is_too_large() -> None:
    mux = multiplexer(local=Limits(max_header_bytes=1000))
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    parts = [(1, HeadPart(b"p" * 6000, more=True))] * 3
    mux.receive(counted(2, (1, Trailers(more=True)), *parts), 0.0)
    assert session.error is not None
    assert session.error.code is ErrorCode.TOO_LARGE


@pytest.mark.rule("S6")
def test_metadata_answers_on_sessions_of_ours() -> None:
    mux = multiplexer(opens_odd=True)
    session = mux.open(GrpcFrame(GrpcFrameType.METADATA, "s", "m"), 0.0)
    mux.next_frame(0.0)
    answer = GrpcFrame(GrpcFrameType.METADATA, metadata=(b"a", b"b"))
    trailer = GrpcFrame(GrpcFrameType.TRAILER)
    assert mux.receive(counted(1, (1, answer), (1, trailer)), 0.0).violation is None
    assert [session.take(0.0), session.take(0.0)] == [answer, trailer]


# -- what the handler hears


def test_handler_hears_that_the_peer_wants_no_more() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    peer.stop_receiving("enough")
    ends.send(1)
    assert ends.deliver(0).changed == [session]


def test_part_of_a_head_is_no_news() -> None:
    ends = Ends()
    session, _ = ends.open(GET)
    received = ends.client.receive(counted(1, (session.id, HttpResponse(200, more=True))), ends.now)
    assert received.changed == []
    assert not session.readable


def test_reset_drops_what_was_not_read() -> None:
    ends = Ends()
    session, peer = ends.open(GET)
    peer.offer(HttpResponse(200))
    ends.move()
    assert session.unread_bytes
    session.reset(ENOUGH)
    assert session.unread_bytes == 0
    with pytest.raises(SessionError):
        session.take(ends.now)


def test_credit_of_an_opening_goes_back_since_a_handler_has_it_at_once() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    head = HttpRequest("POST", body=bytes(2 * KIB - POST.cost))
    session, _ = ends.open(head)
    ends.settle()
    assert head.cost == 2 * KIB
    assert session.send_window.credit == 8 * KIB


def test_head_that_came_in_parts_and_ended_ends_the_peers_direction() -> None:
    ends = Ends()
    session, _ = ends.open(GET)
    whole = HttpResponse(200, end=True)
    parts = [(session.id, HttpResponse(200, more=True)), (session.id, HeadPart(encode_payload(whole), end=True))]
    assert ends.client.receive(counted(1, *parts), ends.now).changed == [session]
    assert session.state is SessionState.CLOSED
    assert session.take(ends.now) == whole
    assert session.unread_bytes == 0


def test_part_that_completes_a_head_costs_the_reader_nothing_more() -> None:
    ends = Ends()
    session, _ = ends.open(GET)
    parts = [(session.id, HttpResponse(200, more=True)), (session.id, HeadPart(encode_payload(HttpResponse(200))))]
    ends.client.receive(counted(1, *parts), ends.now)
    assert (session.readable, session.unread_bytes) == (True, 0)


def test_stopping_drops_what_was_not_read_and_a_done_handler_keeps_nothing() -> None:
    ends = Ends()
    session, peer = ends.open(POST)
    peer.offer(HttpResponse(200))
    ends.move()
    session.stop_receiving("")
    assert session.unread_bytes == 0
    session.offer(END)
    ends.move()
    session.finish()
    assert session.receive_window is None
