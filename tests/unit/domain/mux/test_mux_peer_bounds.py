"""What a peer can make this side hold, however it goes about it."""

from __future__ import annotations

import pytest
from mux_kit import GET, POST, Ends, counted, multiplexer, opened_in, uncounted

from tunnel.domain.envelopes import (
    BodyChunk,
    Close,
    ConfigRejected,
    Error,
    GoAway,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Payload,
    SessionPayload,
    StopSending,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.errors import ErrorCode
from tunnel.domain.limits import KIB, MAX_TEXT_CHARS, MAX_UNFINISHED_HEADS, Limits
from tunnel.domain.messagepack import encode_payload
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.mux.session_table import HEAD_COMPLETION_S

FEW = Limits(max_headers=3, max_header_bytes=KIB)
MOST = 2 * FEW.max_headers
HEAD_BYTES = FEW.max_header_bytes + 16 * KIB
ANNOUNCED = HttpRequest("GET", more=True)


def told(mux: Multiplexer, now: float = 0.0) -> list[tuple[int, str]]:
    """The errors that ``mux`` sends now."""
    found = []
    while (frame := mux.next_frame(now)) is not None:
        found += [(e.session_id, e.payload.code) for e in frame.envelopes if isinstance(e.payload, Error)]
    return found


def with_items(number: int) -> list[SessionPayload]:
    block = (b"",) * number
    return [
        HttpRequest("GET", headers=block),
        HttpRequest("GET", headers=block, end=True),
        HttpRequest("GET", headers=block, more=True),
        HttpResponse(200, block),
        HttpResponse(200, block, more=True),
        Trailers(block),
        GrpcFrame(GrpcFrameType.METADATA, metadata=block),
        GrpcFrame(GrpcFrameType.DATA, metadata=block),
        GrpcFrame(GrpcFrameType.TRAILER, metadata=block),
        WebSocketFrame(WebSocketOpcode.TEXT, headers=block),
    ]


def opens(payload: SessionPayload) -> bool:
    return isinstance(payload, HttpRequest) or (
        isinstance(payload, GrpcFrame) and payload.type == GrpcFrameType.METADATA
    )


def outcome(payload: SessionPayload, limits: Limits = FEW) -> list[tuple[int, str]]:
    """How a session is reset that ``payload`` opens or, if it cannot, follows the opening of."""
    mux = multiplexer(local=limits)
    content = [payload] if opens(payload) else [POST, payload]
    received = mux.receive(counted(1, *[(1, each) for each in content]), 0.0)
    assert received.violation is None
    errors = told(mux)
    if opens(payload) and errors:
        assert received.opened == []
        assert (mux.session_count, mux.reserved_bytes) == (0, 0)
    return errors


# -- header fields


@pytest.mark.rule("P13")
@pytest.mark.parametrize("payload", with_items(30_000) + with_items(MOST + 1) + with_items(MOST + 2))
def test_more_fields_than_announced_are_too_large_however_little_they_cost(payload: SessionPayload) -> None:
    assert outcome(payload) == [(1, "too_large")]


@pytest.mark.rule("P13")
@pytest.mark.parametrize("payload", with_items(MOST))
def test_as_many_fields_as_announced_are_taken(payload: SessionPayload) -> None:
    assert outcome(payload) == []


@pytest.mark.rule("P14")
@pytest.mark.parametrize("payload", with_items(MOST - 1))
def test_field_without_a_value_is_an_error(payload: SessionPayload) -> None:
    assert outcome(payload) == [(1, "protocol_error")]


@pytest.mark.rule("P15")
@pytest.mark.parametrize(
    "payload",
    [
        HttpRequest("GET", headers=(b"n", b"v" * HEAD_BYTES)),
        HttpRequest("GET", b"/" * HEAD_BYTES),
        HttpResponse(200, (b"n", b"v" * HEAD_BYTES), b"body"),
        Trailers((b"n", b"v" * HEAD_BYTES)),
        GrpcFrame(GrpcFrameType.METADATA, metadata=(b"n", b"v" * HEAD_BYTES)),
        GrpcFrame(GrpcFrameType.TRAILER, message="m" * (HEAD_BYTES + 1)),
        WebSocketFrame(WebSocketOpcode.TEXT, b"p", headers=(b"n", b"v" * HEAD_BYTES)),
    ],
)
def test_head_larger_than_announced_is_too_large_though_it_came_unsplit(payload: SessionPayload) -> None:
    assert outcome(payload) == [(1, "too_large")]


@pytest.mark.rule("P15")
@pytest.mark.parametrize(
    "payload",
    [
        HttpRequest("GET", headers=(b"n", b"v" * KIB), body=b"b" * HEAD_BYTES),
        HttpResponse(200, (b"n", b"v" * KIB), b"b" * HEAD_BYTES),
        Trailers((b"n", b"v" * KIB)),
        GrpcFrame(GrpcFrameType.DATA, data=b"d" * HEAD_BYTES),
        WebSocketFrame(WebSocketOpcode.TEXT, b"p" * HEAD_BYTES),
        BodyChunk(b"b" * 2 * HEAD_BYTES),
    ],
)
def test_body_is_no_part_of_the_head(payload: SessionPayload) -> None:
    assert outcome(payload) == []


@pytest.mark.rule("P16")
@pytest.mark.parametrize(("protocol", "errors"), [("p" * 16, []), ("p" * 17, [(1, "protocol_error")])])
def test_protocol_of_a_request_is_a_short_word(protocol: str, errors: list[tuple[int, str]]) -> None:
    assert outcome(HttpRequest("GET", protocol=protocol)) == errors


@pytest.mark.rule("P13", "P14")
@pytest.mark.parametrize(
    ("head", "code"),
    [
        (HttpRequest("GET", headers=(b"",) * (MOST + 2)), "too_large"),
        (HttpRequest("GET", headers=(b"",) * (MOST - 1)), "protocol_error"),
        (HttpRequest("GET", protocol="p" * 17), "protocol_error"),
    ],
)
def test_head_that_came_in_parts_is_held_to_the_same(head: HttpRequest, code: str) -> None:
    mux = multiplexer(local=FEW)
    received = mux.receive(counted(1, (1, ANNOUNCED), (1, HeadPart(encode_payload(head)))), 0.0)
    assert (received.violation, received.opened) == (None, [])
    assert told(mux) == [(1, code)]
    assert (mux.session_count, mux.reserved_bytes) == (0, 0)


@pytest.mark.rule("P13")
def test_trailers_that_came_in_parts_are_held_to_the_same() -> None:
    mux = multiplexer(local=FEW)
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    parts = HeadPart(encode_payload(Trailers((b"",) * (MOST + 2))), end=True)
    assert mux.receive(counted(2, (1, Trailers(more=True)), (1, parts)), 0.0).changed == [session]
    assert session.error is not None
    assert session.error.code is ErrorCode.TOO_LARGE


def test_head_that_is_not_taken_is_not_kept_while_its_refusal_waits() -> None:
    mux = multiplexer(local=FEW)
    mux.receive(counted(1, (1, HttpRequest("GET", headers=(b"",) * 30_000))), 0.0)
    assert [session.head for session in mux._out._control] == [TcpOpen("")]


# -- heads that never become whole


@pytest.mark.rule("P19")
def test_unfinished_heads_above_the_cap_are_refused_and_others_are_not() -> None:
    mux = multiplexer()
    ids = [2 * number + 1 for number in range(MAX_UNFINISHED_HEADS + 1)]
    assert mux.receive(counted(1, *[(number, ANNOUNCED) for number in ids]), 0.0).opened == []
    assert told(mux) == [(ids[-1], "refused")]
    assert mux.session_count == MAX_UNFINISHED_HEADS
    whole = ids[-1] + 2
    assert [s.id for s in mux.receive(counted(2, (whole, GET), (ids[-1], HeadPart(b"late"))), 0.0).opened] == [whole]


@pytest.mark.parametrize("last", [HeadPart(encode_payload(HttpRequest("GET"))), BodyChunk(), Error("cancelled")])
def test_head_that_became_whole_or_failed_makes_room_for_another(last: Payload) -> None:
    mux = multiplexer()
    for seq in range(1, MAX_UNFINISHED_HEADS + 2):
        session_id = 2 * seq - 1
        assert mux.receive(counted(seq, (session_id, ANNOUNCED), (session_id, last)), 0.0).violation is None
    assert "refused" not in [code for _, code in told(mux)]
    assert mux._sessions.deadline is None


@pytest.mark.rule("P18")
@pytest.mark.parametrize("failing", [False, True])
def test_opener_of_many_large_heads_waits_rather_than_being_refused(failing: bool) -> None:
    ends = Ends()
    part = HeadPart(encode_payload(HttpRequest("GET")))
    waiting = [ends.client.open(ANNOUNCED, ends.now) for _ in range(3 * MAX_UNFINISHED_HEADS)]
    whole = []
    while waiting:
        received = ends.move()
        whole += opened_in(received[1])
        framed = [session for session in waiting if session.id]
        assert 0 < len(framed) <= MAX_UNFINISHED_HEADS
        waiting = waiting[len(framed) :]
        for session in framed:
            assert session.error is None
            if failing:
                session.finish()
            else:
                session.offer(part)
    whole += opened_in(ends.move()[1])
    assert len(whole) == (0 if failing else 3 * MAX_UNFINISHED_HEADS)


@pytest.mark.rule("P20")
def test_head_that_is_not_completed_in_time_is_reset() -> None:
    mux = multiplexer(local=Limits(heartbeat_s=300.0))
    mux.receive(counted(1, (1, ANNOUNCED)), 1.0)
    mux.receive(counted(2, (3, ANNOUNCED), (5, POST)), 2.0)
    mux.next_frame(2.0)
    mux.tick(2.0)
    mux.next_frame(2.1)
    assert mux.deadline == 1.0 + HEAD_COMPLETION_S
    assert mux.tick(10.9) is None
    assert told(mux, 10.9) == []
    assert mux.tick(11.0) is None
    assert told(mux, 11.0) == [(1, "upstream_timeout")]
    assert mux.session_count == 2
    assert mux.deadline == 2.0 + HEAD_COMPLETION_S
    mux.receive(counted(3, (3, HeadPart(encode_payload(HttpRequest("GET"))))), 11.5)
    assert mux.tick(99.0) is None
    assert told(mux, 99.0) == []
    assert mux.session_count == 2


def test_ended_tunnel_waits_for_no_head() -> None:
    mux = multiplexer(local=Limits(heartbeat_s=300.0))
    mux.receive(counted(1, (1, ANNOUNCED)), 0.0)
    mux.end("gone")
    assert mux.deadline == 300.0
    assert mux.tick(HEAD_COMPLETION_S) is None
    assert not mux.sendable


# -- the budget of the process


@pytest.mark.rule("C11")
def test_peers_leave_half_of_the_process_to_what_this_side_opens() -> None:
    process = Budget(256 * KIB)
    limits = Limits(session_window_bytes=32 * KIB)
    peers = [multiplexer(local=limits, budget=process) for _ in range(2)]
    opened = [peer.receive(counted(1, *[(1 + 2 * n, POST) for n in range(8)]), 0.0).opened for peer in peers]
    assert [len(each) for each in opened] == [4, 0]
    assert told(peers[1]) == [(1 + 2 * n, "overloaded") for n in range(8)]
    for _ in range(4):
        peers[1].open(GET, 0.0)
    assert process.reserved_bytes == 256 * KIB


# -- a side that takes no sessions


@pytest.mark.rule("S19")
@pytest.mark.parametrize(
    "head",
    [GET, POST, ANNOUNCED, TcpOpen("ssh"), HttpRequest("GET", headers=(b"",)), GrpcFrame(GrpcFrameType.METADATA)],
)
def test_side_that_accepts_nothing_answers_openings_with_forbidden(head: Payload) -> None:
    mux = Multiplexer(opens_odd=False, local=Limits(), remote=Limits(), budget=None, now=0.0, accepts=False)
    received = mux.receive(counted(1, (1, head), (1, BodyChunk(b"more")), (3, head)), 0.0)
    assert (received.violation, received.opened, received.changed) == (None, [], [])
    assert (mux.session_count, mux.reserved_bytes) == (0, 0)
    assert told(mux) == [(1, "forbidden"), (3, "forbidden")]


def test_side_that_accepts_nothing_still_opens() -> None:
    mux = Multiplexer(opens_odd=False, local=Limits(), remote=Limits(), budget=None, now=0.0, accepts=False)
    session = mux.open(GET, 0.0)
    mux.next_frame(0.0)
    assert mux.receive(counted(1, (2, HttpResponse(200, end=True))), 0.0).changed == [session]


def test_opening_without_end_where_nothing_is_accepted_ends_the_tunnel() -> None:
    limits = Limits(max_sessions=10)
    mux = Multiplexer(opens_odd=False, local=limits, remote=limits, budget=None, now=0.0, accepts=False)
    received = mux.receive(counted(1, *[(2 * n + 1, GET) for n in range(11)]), 0.0)
    assert received.violation is not None


# -- texts


@pytest.mark.rule("P17")
def test_texts_of_an_error_are_cut() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    ends.client.receive(counted(1, (1, Error("internal", "m" * 5000, "d" * 5000))), 0.0)
    assert session.error is not None
    assert (session.error.message, session.error.detail) == ("m" * MAX_TEXT_CHARS, "d" * MAX_TEXT_CHARS)


@pytest.mark.rule("P17")
def test_code_of_a_stop_is_cut() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    ends.client.receive(counted(1, (1, StopSending("c" * 5000))), 0.0)
    assert session.stopped is not None
    assert session.stopped.code == "c" * MAX_TEXT_CHARS


@pytest.mark.rule("P17")
def test_texts_of_a_close_are_cut() -> None:
    received = multiplexer().receive(uncounted(Close("c" * 5000, "m" * 5000)), 0.0)
    assert received.closed == Close("c" * MAX_TEXT_CHARS, "m" * MAX_TEXT_CHARS)


@pytest.mark.rule("P17")
def test_reason_of_a_rejected_configuration_is_cut() -> None:
    received = multiplexer().receive(uncounted(ConfigRejected(7, "h", "w" * 5000)), 0.0)
    assert received.messages == [ConfigRejected(7, "h", "w" * MAX_TEXT_CHARS)]


@pytest.mark.rule("G6")
@pytest.mark.parametrize(("times", "violated"), [(8, False), (9, True)])
def test_going_away_again_and_again_ends_the_tunnel(times: int, violated: bool) -> None:
    """Each time all sessions are looked at, and a frame holds ten thousand."""
    received = multiplexer().receive(counted(1, *[(0, GoAway(last)) for last in range(times, 0, -1)]), 0.0)
    assert received.going_away
    assert (received.violation is not None) == violated


def test_heads_of_the_usual_size_still_pass() -> None:
    ends = Ends()
    ends.client.open(HttpRequest("GET", headers=(b"n", b"v") * 200, end=True), ends.now)
    assert len(opened_in(ends.move()[1])) == 1
