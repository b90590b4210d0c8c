"""What fits a frame, the link and the replay window to the last byte, and who goes first."""

from __future__ import annotations

import pytest
from mux_kit import GET, POST, SERVER, Ends, multiplexer, opened_in

from tunnel.domain.envelopes import BodyChunk, Error, Frame, HttpRequest, StopSending
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import (
    COST_OVERHEAD_BYTES,
    KIB,
    MAX_CHUNK_COST,
    MAX_FRAME_BYTES,
    MAX_TEXT_CHARS,
    MIB,
    Limits,
)
from tunnel.domain.messagepack import encode_frame
from tunnel.domain.mux.outbound import Outbound
from tunnel.domain.mux.retention import CONTROL_RESERVE_BYTES
from tunnel.domain.mux.session import Session

WIDE = Limits(session_window_bytes=MIB)
ENOUGH = SessionError(ErrorCode.CANCELLED, "enough")
FRAME_OVERHEAD_BYTES = 64


def chunk(cost: int) -> BodyChunk:
    return BodyChunk(bytes(cost - COST_OVERHEAD_BYTES))


def opening(cost: int) -> HttpRequest:
    return HttpRequest("POST", body=bytes(cost - POST.cost))


def streams(ends: Ends, number: int) -> list[Session]:
    """Sessions of the client's that are open, with nothing on its way."""
    mine = [ends.client.open(POST, ends.now) for _ in range(number)]
    assert len(opened_in(ends.move()[SERVER])) == number
    ends.settle()
    return mine


def offer(sessions: list[Session], *costs: int) -> None:
    for session, cost in zip(sessions, costs, strict=True):
        session.offer(chunk(cost))


def kinds(frame: Frame | None) -> list[type]:
    assert frame is not None
    return [type(envelope.payload) for envelope in frame.envelopes]


def ids(frame: Frame | None) -> list[int]:
    assert frame is not None
    return [envelope.session_id for envelope in frame.envelopes]


def out_of(ends: Ends) -> Outbound:
    return ends.client._out


def leave(ends: Ends, room: int) -> None:
    """Let so much fit the client's link, on which something else is under way."""
    ends.client.open(GET, ends.now)
    assert ends.client.next_frame(ends.now) is not None
    pacing = out_of(ends).pacing
    pacing.limit = pacing.in_flight + room


# -- the frame


@pytest.mark.rule("F15")
@pytest.mark.parametrize(("beyond", "framed"), [(0, 4), (1, 3)])
def test_data_fills_a_frame_to_the_last_byte(beyond: int, framed: int) -> None:
    ends = Ends(WIDE)
    quarter = (MAX_FRAME_BYTES - FRAME_OVERHEAD_BYTES) // 4
    offer(streams(ends, 4), quarter, quarter, quarter, quarter + beyond)
    frame = ends.client.next_frame(ends.now)
    assert len(ids(frame)) == framed
    assert frame is not None
    assert len(encode_frame(frame)) <= MAX_FRAME_BYTES


@pytest.mark.rule("F15", "N3")
def test_control_leaves_the_rest_of_its_frame_to_data() -> None:
    ends = Ends(Limits(session_window_bytes=64 * KIB))
    sessions = streams(ends, 600)
    for session in sessions[:512]:
        session.stop_receiving("")
    data = sessions[512:532]
    offer(data, *[10_000] * len(data))
    found = kinds(ends.client.next_frame(ends.now))
    left = MAX_FRAME_BYTES - FRAME_OVERHEAD_BYTES - 512 * COST_OVERHEAD_BYTES
    assert (found.count(StopSending), found.count(BodyChunk)) == (512, left // 10_000)


@pytest.mark.rule("N4")
def test_openings_leave_the_rest_of_their_frame_to_data() -> None:
    ends = Ends(WIDE)
    data = streams(ends, 20)
    offer(data, *[10_000] * len(data))
    for _ in range(2):
        ends.client.open(opening(60_000), ends.now)
    found = kinds(ends.client.next_frame(ends.now))
    # A head may take 64 bytes more than it costs.
    left = MAX_FRAME_BYTES - FRAME_OVERHEAD_BYTES - 2 * (60_000 + 64)
    assert (found.count(HttpRequest), found.count(BodyChunk)) == (2, left // 10_000)


@pytest.mark.rule("N4")
@pytest.mark.parametrize(("beyond", "framed"), [(0, 2), (1, 1)])
def test_openings_fill_half_a_frame_to_the_last_byte(beyond: int, framed: int) -> None:
    ends = Ends(WIDE)
    for cost in (MAX_CHUNK_COST - 64, MAX_CHUNK_COST - 64 + beyond):
        ends.client.open(opening(cost), ends.now)
    assert len(kinds(ends.client.next_frame(ends.now))) == framed


# -- the link and the replay window


@pytest.mark.rule("N11")
@pytest.mark.parametrize(("missing", "framed"), [(0, 2), (1, 1), (10_001, 0)])
def test_openings_fill_the_link_to_the_last_byte(missing: int, framed: int) -> None:
    ends = Ends(WIDE)
    leave(ends, 20_000 - missing)
    for _ in range(2):
        ends.client.open(opening(10_000), ends.now)
    frame = ends.client.next_frame(ends.now)
    assert (0 if frame is None else len(frame.envelopes)) == framed


@pytest.mark.rule("N11")
@pytest.mark.parametrize(("missing", "framed"), [(0, 2), (1, 1), (10_001, 0)])
def test_data_fills_the_link_to_the_last_byte(missing: int, framed: int) -> None:
    ends = Ends(WIDE)
    sessions = streams(ends, 2)
    leave(ends, 20_000 - missing)
    offer(sessions, 10_000, 10_000)
    frame = ends.client.next_frame(ends.now)
    assert (0 if frame is None else len(frame.envelopes)) == framed


@pytest.mark.rule("N11")
def test_openings_and_data_of_one_frame_share_what_the_link_takes() -> None:
    ends = Ends(WIDE)
    sessions = streams(ends, 2)
    leave(ends, 29_999)
    offer(sessions, 10_000, 10_000)
    ends.client.open(opening(10_000), ends.now)
    assert kinds(ends.client.next_frame(ends.now)) == [HttpRequest, BodyChunk]
    assert ends.client.next_frame(ends.now) is None


@pytest.mark.rule("N11")
@pytest.mark.parametrize(("missing", "sent"), [(0, True), (1, False)])
def test_frame_that_is_sent_again_may_fill_the_link(missing: int, sent: bool) -> None:
    ends = Ends(WIDE)
    (session,) = streams(ends, 1)
    offer([session], 10_000)
    ends.client.next_frame(ends.now)
    ends.client.detach(ends.now)
    ends.client.attach(out_of(ends).retention.acked, ends.now)
    out_of(ends).pacing.sent(1)  # an empty link takes any frame
    out_of(ends).pacing.limit = 10_001 - missing
    assert (ends.client.next_frame(ends.now) is not None) is sent


# -- credit and turns


@pytest.mark.rule("C12")
@pytest.mark.parametrize("missing", [0, 1])
def test_session_may_use_its_credit_up(missing: int) -> None:
    ends = Ends(WIDE)
    (session,) = streams(ends, 1)
    session.send_window.credit = 10_000 - missing
    offer([session], 10_000)
    ends.client.next_frame(ends.now)
    assert session.send_window.credit == (9_999 if missing else 0)


@pytest.mark.rule("C12")
def test_session_without_credit_is_passed_over_in_the_same_frame() -> None:
    ends = Ends(WIDE)
    stalled, other = streams(ends, 2)
    stalled.send_window.credit = 0
    offer([stalled, other], 1000, 1000)
    assert ids(ends.client.next_frame(ends.now)) == [other.id]


@pytest.mark.rule("N5")
@pytest.mark.parametrize(("deficit", "kept"), [(5000, 0), (0, 0), (-5000, -5000)])
def test_session_without_credit_keeps_what_it_owes_and_nothing_it_has_saved(deficit: int, kept: int) -> None:
    ends = Ends(WIDE)
    stalled, other = streams(ends, 2)
    stalled.send_window.credit = 0
    stalled.deficit = deficit
    offer([stalled, other], 1000, 1000)
    ends.client.next_frame(ends.now)
    assert (stalled.deficit, stalled.in_ring) == (kept, False)


@pytest.mark.rule("N5")
def test_session_that_has_saved_enough_gets_no_more_and_keeps_the_rest() -> None:
    ends = Ends(WIDE)
    exact, rich, other = streams(ends, 3)
    exact.deficit, rich.deficit = 1000, 6000
    offer([exact, rich, other], 1000, 1000, 1000)
    ends.client.next_frame(ends.now)
    assert (exact.deficit, rich.deficit) == (0, 5000)


@pytest.mark.rule("N5")
def test_session_whose_turn_is_just_enough_sends_at_once() -> None:
    ends = Ends(WIDE)
    first, second = streams(ends, 2)
    first.deficit = second.deficit = 0
    offer([first, second], 16 * KIB, 1000)
    assert ids(ends.client.next_frame(ends.now)) == [first.id, second.id]


@pytest.mark.rule("N5")
def test_session_that_shares_with_nobody_saves_nothing() -> None:
    ends = Ends(WIDE)
    (session,) = streams(ends, 1)
    session.deficit = 0
    offer([session], 1000)
    ends.client.next_frame(ends.now)
    assert session.deficit == 0


@pytest.mark.rule("N5")
def test_new_session_of_the_peers_has_saved_nothing() -> None:
    _, peer = Ends().open(GET)
    assert peer.deficit == 0


# -- the reserve of control


@pytest.mark.rule("F20")
@pytest.mark.parametrize("detail_chars", [MAX_TEXT_CHARS, MAX_TEXT_CHARS - 100])
def test_reserve_of_control_holds_for_the_longest_errors(detail_chars: int) -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    longest = SessionError(ErrorCode.INTERNAL, "x" * MAX_TEXT_CHARS, detail="x" * detail_chars)
    for session in streams(ends, 300):
        session.reset(longest)
    while (frame := ends.client.next_frame(ends.now)) is not None:
        assert set(kinds(frame)) == {Error}
    each = COST_OVERHEAD_BYTES + 4 * (MAX_TEXT_CHARS + detail_chars)
    used = out_of(ends).retention.control_cost
    assert CONTROL_RESERVE_BYTES - 3 * each < used <= CONTROL_RESERVE_BYTES
    assert out_of(ends)._control


@pytest.mark.rule("F21")
def test_end_that_takes_few_sessions_may_say_much_to_one_that_takes_many() -> None:
    for local, remote in ((10, 20_000), (20_000, 10)):
        mux = multiplexer(local=Limits(max_sessions=local), remote=Limits(max_sessions=remote))
        session = mux.open(POST, 0.0)
        mux.next_frame(0.0)
        session.reset(ENOUGH)
        assert kinds(mux.next_frame(0.0)) == [Error]
