from __future__ import annotations

import pytest
from mux_kit import CONTROL, GET, POST, SERVER, Ends, counted, multiplexer, opened_in, uncounted

from tunnel.domain.envelopes import (
    BodyChunk,
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Error,
    Frame,
    GoAway,
    HttpRequest,
    HttpResponse,
    Ping,
    Pong,
    StopSending,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import (
    COST_OVERHEAD_BYTES,
    KIB,
    MAX_CHUNK_COST,
    MAX_FRAME_BYTES,
    MAX_UNFINISHED_HEADS,
    MIB,
    Limits,
)
from tunnel.domain.messagepack import encode_frame
from tunnel.domain.mux.multiplexer import ControlOverflow
from tunnel.domain.mux.pacing import INITIAL_ALLOWANCE_BYTES, LEAST_ALLOWANCE_BYTES
from tunnel.domain.mux.retention import CONTROL_RESERVE_BYTES
from tunnel.domain.mux.session import Session

ENOUGH = SessionError(ErrorCode.CANCELLED, "enough")
CHUNK = BodyChunk(b"x" * 10_000)
WIDE = Limits(session_window_bytes=MIB)


def kinds(frame: Frame | None) -> list[type]:
    assert frame is not None
    return [type(envelope.payload) for envelope in frame.envelopes]


def ids(frame: Frame | None) -> list[int]:
    assert frame is not None
    return [envelope.session_id for envelope in frame.envelopes]


def streams(ends: Ends, number: int) -> list[tuple[Session, Session]]:
    """Open sessions, as the client and as the server has them."""
    mine = [ends.client.open(POST, ends.now) for _ in range(number)]
    theirs = opened_in(ends.move()[SERVER])
    ends.settle()
    return list(zip(mine, theirs, strict=True))


@pytest.mark.rule("N1", "N3")
def test_control_goes_before_openings_and_those_before_data() -> None:
    ends = Ends()
    (first, _), (second, _) = streams(ends, 2)
    first.offer(CHUNK)
    ends.client.open(GET, ends.now)
    second.reset(ENOUGH)
    ends.client.go_away("shutdown")
    frame = ends.send(0)
    assert kinds(frame) == [GoAway, Error, HttpRequest, BodyChunk]


@pytest.mark.rule("F2", "N2")
def test_uncounted_envelopes_go_alone_and_first() -> None:
    ends = Ends()
    ((session, _),) = streams(ends, 1)
    session.offer(CHUNK)
    ends.client.send(ConfigApplied(1, "hash"))
    ends.client.ping(ends.now)
    frames = ends.send_all(0)
    assert [kinds(frame) for frame in frames] == [[ConfigApplied], [Ping], [BodyChunk]]
    assert [frame.seq for frame in frames] == [0, 0, 2]


@pytest.mark.rule("L9")
def test_pings_cannot_pile_up_answers() -> None:
    mux = multiplexer()
    for nonce in range(1000):
        mux.receive(uncounted(Ping(nonce)), 0.0)
    frame = mux.next_frame(0.0)
    assert frame is not None
    assert [envelope.payload for envelope in frame.envelopes] == [Pong(999)]
    assert mux.next_frame(0.0) is None


def waiting(*payloads: Close | ConfigApplied | ConfigRejected | ConfigSyncResponse | Ping) -> list[object]:
    """What is sent when all of these were queued before anything could be."""
    mux = multiplexer()
    for payload in payloads:
        mux._out.uncounted(payload)
    return [frame.envelopes[0].payload for frame in iter(lambda: mux.next_frame(0.0), None)]


def test_pings_do_not_pile_up_where_nothing_is_read() -> None:
    assert waiting(Ping(1), ConfigApplied(1, "a"), Ping(2)) == [ConfigApplied(1, "a"), Ping(2)]


def test_answers_to_configurations_do_not_pile_up_where_nothing_is_read() -> None:
    applied, rejected = ConfigApplied(1, "a"), ConfigRejected(2, "b", "no")
    assert waiting(applied, rejected) == [applied, rejected]
    assert waiting(applied, rejected, ConfigRejected(3, "c", "no")) == [applied, ConfigRejected(3, "c", "no")]
    assert waiting(applied, rejected, ConfigApplied(3, "c")) == [ConfigApplied(3, "c")]


@pytest.mark.rule("H17")
def test_configuration_of_the_same_contents_and_a_higher_version_replaces_one_that_waits() -> None:
    parts = [ConfigSyncResponse(version, "a", b"x", more=more) for version in (1, 3) for more in (True, False)]
    assert waiting(*parts) == parts[2:]


@pytest.mark.rule("N4")
def test_openings_take_half_a_frame_at_most() -> None:
    ends = Ends(WIDE)
    ((stream, _),) = streams(ends, 1)
    for _ in range(5):
        ends.client.open(HttpRequest("POST", body=b"b" * 60_000), ends.now)
    stream.offer(CHUNK)
    assert kinds(ends.send(0)) == [HttpRequest, HttpRequest, BodyChunk]
    assert kinds(ends.send(0)) == [HttpRequest, HttpRequest]
    assert kinds(ends.send(0)) == [HttpRequest]


@pytest.mark.rule("F22")
def test_unsent_control_coalesces_per_session() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    ((session, peer),) = streams(ends, 1)
    for _ in range(4):
        peer.offer(BodyChunk(b"x" * 1700))
        ends.send(1)
        ends.deliver(0)
    while session.take(ends.now) is not None:
        pass
    session.stop_receiving("enough")
    frame = ends.send(0)
    assert kinds(frame) == [WindowUpdate, StopSending]
    assert ends.send(0) is None


@pytest.mark.rule("F15")
@pytest.mark.parametrize("fields", [0, 1, 200])
@pytest.mark.parametrize("opening", [True, False])
def test_no_frame_is_too_large_whatever_the_headers(fields: int, opening: bool) -> None:
    ends = Ends(Limits(replay_window_bytes=64 * MIB, max_sessions=3000))
    headers = (b"n", b"v") * fields
    if opening:
        for _ in range(1500):
            ends.client.open(HttpRequest("GET", headers=headers, end=True), ends.now)
    else:
        for session, _ in streams(ends, 1500):
            session.offer(HttpResponse(200, headers))
    count = 0
    while (frame := ends.client.next_frame(ends.now)) is not None:
        assert len(encode_frame(frame)) <= MAX_FRAME_BYTES
        count += len(frame.envelopes)
        ends.client.receive(Frame((), frame.seq), ends.now)
    assert count == 1500


@pytest.mark.rule("F17", "F19")
def test_full_replay_window_stops_data_and_openings_but_not_control() -> None:
    ends = Ends(Limits(session_window_bytes=MIB, replay_window_bytes=256 * KIB))
    (first, _), (second, _) = streams(ends, 2)
    for _ in range(25):
        first.offer(CHUNK)
        assert BodyChunk in kinds(ends.client.next_frame(ends.now))
    first.offer(CHUNK)
    assert ends.client.next_frame(ends.now) is None
    waiting = ends.client.open(HttpRequest("GET", body=b"x" * 8000), ends.now)
    assert ends.client.next_frame(ends.now) is None
    second.reset(ENOUGH)
    assert kinds(ends.client.next_frame(ends.now)) == [Error]
    acknowledged = ends.client._out.retention.sent
    ends.client.receive(Frame((), acknowledged), ends.now)
    assert kinds(ends.client.next_frame(ends.now)) == [HttpRequest, BodyChunk]
    assert waiting.id == 5


@pytest.mark.rule("N11", "N12")
def test_data_in_flight_stays_below_the_pacing_limit_and_control_may_exceed_it() -> None:
    ends = Ends(WIDE)
    ((session, _), *others) = streams(ends, 12)
    ends.client._out.pacing.limit = 512 * KIB
    sent = 0
    for stream, _ in others:
        stream.offer(BodyChunk(b"x" * (MAX_CHUNK_COST - 256)))
    while (frame := ends.client.next_frame(ends.now)) is not None:
        sent += len(frame.envelopes)
    assert sent == 8
    assert ends.client._out.pacing.in_flight == 512 * KIB
    session.reset(ENOUGH)
    assert kinds(ends.client.next_frame(ends.now)) == [Error]


@pytest.mark.rule("N5")
def test_sessions_share_a_link_by_bytes() -> None:
    ends = Ends(Limits(session_window_bytes=16 * MIB, replay_window_bytes=64 * MIB))
    sessions = [mine for mine, _ in streams(ends, 3)]
    ends.client._out.pacing.limit = 64 * MIB
    sizes = [1000, 8000, 60_000]
    framed = [0, 0, 0]
    # As many sessions wait as there are chunks, so that a small chunk is followed by another at once.
    for _ in range(60):
        for session, size in zip(sessions, sizes, strict=True):
            if session.pending is None:
                session.offer(BodyChunk(b"x" * size))
        out: list = []
        ends.client._out._frame_data(out, 70_000, MIB, alone=False)
        for envelope in out:
            framed[sessions.index(next(s for s in sessions if s.id == envelope.session_id))] += 1
    assert framed[0] == 60, "a session that sends little waits for nobody"
    assert framed[1] == 60
    assert framed[2] >= 55


@pytest.mark.rule("N5")
def test_two_bulk_sessions_of_unlike_chunks_get_like_shares() -> None:
    ends = Ends(Limits(session_window_bytes=16 * MIB, replay_window_bytes=64 * MIB))
    sessions = [mine for mine, _ in streams(ends, 9)]
    ends.client._out.pacing.limit = 64 * MIB
    # Eight sessions of small chunks against one of large ones, in frames that hold one large chunk.
    sizes = [8000] * 8 + [60_000]
    framed = dict.fromkeys((session.id for session in sessions), 0)
    for _ in range(200):
        for session, size in zip(sessions, sizes, strict=True):
            if session.pending is None:
                session.offer(BodyChunk(b"x" * size))
        out: list = []
        ends.client._out._frame_data(out, 62_000, MIB, alone=False)
        for envelope in out:
            framed[envelope.session_id] += len(envelope.payload.data)
    large = framed.pop(sessions[-1].id)
    assert max(framed.values()) <= 2 * min(framed.values())
    assert min(framed.values()) <= large <= 2.5 * max(framed.values())


@pytest.mark.rule("N6")
def test_opening_bytes_are_charged_to_the_sessions_share() -> None:
    ends = Ends(WIDE)
    ends.client.open(HttpRequest("POST", body=b"b" * 60_000), ends.now)
    small = ends.client.open(POST, ends.now)
    ends.send(0)
    large = ends.client._sessions.get(1)
    assert large is not None
    large.offer(CHUNK)
    small.offer(CHUNK)
    assert ids(ends.send(0)) == [3, 1]


@pytest.mark.rule("C12")
def test_exhausted_session_does_not_block_its_siblings() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    (stalled, _), (other, _) = streams(ends, 2)
    for _ in range(5):
        assert stalled.pending is None
        stalled.offer(BodyChunk(b"x" * 1700))
        ends.send_all(0)
    assert stalled.pending is not None
    other.offer(BodyChunk(b"y"))
    assert ids(ends.send(0)) == [3]
    ends.client.receive(counted(1, (1, WindowUpdate(4000))), ends.now)
    assert ids(ends.send(0)) == [1]


# -- acknowledgement


@pytest.mark.rule("F8")
def test_every_frame_acknowledges_and_an_empty_one_goes_when_there_is_nothing_else() -> None:
    ends = Ends()
    session, _ = ends.open(POST)
    assert ends.client.retained_frames == 1
    assert ends.server.next_frame(0.0) is None
    ends.server.tick(0.05)
    assert ends.server.sendable
    frame = ends.server.next_frame(0.05)
    assert frame == Frame((), 1, 0)
    ends.client.receive(frame, 0.05)
    assert ends.client.retained_frames == 0
    session.reset(ENOUGH)
    ends.move()


@pytest.mark.rule("F12")
def test_acknowledgement_goes_after_sixty_four_frames() -> None:
    mux = multiplexer()
    for number in range(64):
        assert mux.next_frame(0.0) is None
        mux.receive(counted(number + 1, (2 * number + 1, GET)), 0.0)
    assert mux.next_frame(0.0) == Frame((), 64, 0)


@pytest.mark.rule("F13")
def test_acknowledgement_goes_after_a_quarter_of_the_peers_replay_window() -> None:
    mux = multiplexer(local=Limits(session_window_bytes=256 * KIB), remote=Limits(replay_window_bytes=256 * KIB))
    mux.receive(counted(1, (1, POST)), 0.0)
    mux.receive(counted(2, (1, BodyChunk(b"x" * 63_000))), 0.0)
    assert mux.next_frame(0.0) is None
    mux.receive(counted(3, (1, BodyChunk(b"x" * 2000))), 0.0)
    assert mux.next_frame(0.0) == Frame((), 3, 0)


# -- the reserve of control


@pytest.mark.rule("F20")
def test_many_resets_at_once_wait_for_acknowledgement_and_the_tunnel_lives() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    pairs = streams(ends, 5000)
    for session, _ in pairs:
        session.reset(SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream is gone", detail="x" * 80))
    while ends.client.next_frame(ends.now) is not None:
        assert ends.client._out.retention.control_cost <= CONTROL_RESERVE_BYTES
    assert len(ends.client._out._control) > 0
    assert ends.client.retained_frames > 0


@pytest.mark.rule("F20")
def test_all_of_many_resets_arrive() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    pairs = streams(ends, 5000)
    for session, _ in pairs:
        session.reset(ENOUGH)
        session.finish()
    ends.settle()
    assert all(peer.error is not None for _, peer in pairs)
    for _, peer in pairs:
        peer.finish()
    ends.settle()
    assert ends.client.drained
    assert ends.server.drained


@pytest.mark.rule("F21")
def test_peer_that_provokes_control_and_never_acknowledges_ends_the_tunnel() -> None:
    mux = multiplexer(local=Limits(max_sessions=10))
    seq = 0

    def provoke() -> None:
        nonlocal seq
        seq += 1
        received = mux.receive(counted(seq, (2 * seq - 1, GET)), 0.0)
        assert received.violation is None
        for session in received.opened:
            session.reset(ENOUGH)
            session.finish()
        frame = mux.next_frame(0.0)
        assert frame is None or all(kind in CONTROL for kind in kinds(frame))
        assert mux._out.retention.control_cost <= CONTROL_RESERVE_BYTES

    def provoke_on() -> None:
        while seq < 10_000:
            provoke()

    with pytest.raises(ControlOverflow):
        provoke_on()


@pytest.mark.rule("H17")
def test_newer_configuration_takes_the_place_of_the_parts_that_wait() -> None:
    mux = multiplexer()
    old = [ConfigSyncResponse(1, "old", bytes([part]), more=part < 3) for part in range(4)]
    new = [ConfigSyncResponse(2, "new", bytes([part]), more=part < 1) for part in range(2)]
    for part in old:
        mux.send(part)
    first = mux.next_frame(0.0)
    for part in new:
        mux.send(part)
    sent = [mux.next_frame(0.0) for _ in range(3)]
    assert first == uncounted(old[0])
    assert sent == [uncounted(new[0]), uncounted(new[1]), None]


# -- what each frame does to what is kept of it


def test_uncounted_frame_carries_the_acknowledgement_that_was_due() -> None:
    mux = multiplexer()
    mux.receive(counted(1, (1, GET)), 0.0)
    for seq in range(2, 65):
        mux.receive(counted(seq, (1, StopSending(""))), 0.0)
    mux.ping(0.0)
    frame = mux.next_frame(0.0)
    assert frame is not None
    assert (kinds(frame), frame.ack) == ([Ping], 64)
    assert mux.next_frame(0.0) is None


def test_session_waits_once_whatever_it_has_to_send() -> None:
    ends = Ends(WIDE)
    ((session, peer),) = streams(ends, 1)
    session.offer(CHUNK)
    ends.client.receive(counted(ends.client.received + 1, (session.id, WindowUpdate(1))), ends.now)
    assert ends.client.queued == 1
    peer.stop_receiving("enough")
    peer.reset(ENOUGH)
    assert ends.server.queued == 1


@pytest.mark.parametrize(("sessions", "worth"), [(23, False), (24, True)])
def test_many_sessions_are_worth_a_frame(sessions: int, worth: bool) -> None:
    ends = Ends(WIDE)
    for index, (session, _) in enumerate(streams(ends, sessions)):
        session.offer(CHUNK)
        assert ends.client.worth_a_frame is (worth and index + 1 == sessions)


def test_openings_count_as_sessions_worth_a_frame() -> None:
    ends = Ends(WIDE)
    for session, _ in streams(ends, 12):
        session.offer(CHUNK)
    for index in range(12):
        ends.client.open(GET, ends.now)
        assert ends.client.worth_a_frame is (index == 11)


def test_sessions_with_something_to_say_are_counted() -> None:
    ends = Ends(WIDE)
    ((session, _),) = streams(ends, 1)
    assert ends.client.waiting == 0
    session.offer(CHUNK)
    for number in range(1, 4):
        assert ends.client.waiting == number
        ends.client.open(GET, ends.now)
    ends.client.next_frame(ends.now)
    assert ends.client.waiting == 0


@pytest.mark.parametrize(("cost", "worth"), [(MAX_CHUNK_COST // 2 - 1, False), (MAX_CHUNK_COST // 2, True)])
def test_large_chunk_is_worth_a_frame(cost: int, worth: bool) -> None:
    ends = Ends(WIDE)
    ((session, _),) = streams(ends, 1)
    session.offer(BodyChunk(bytes(cost - COST_OVERHEAD_BYTES)))
    assert ends.client.worth_a_frame is worth
    ends.client.next_frame(ends.now)
    assert not ends.client.worth_a_frame


def test_large_chunk_waits_for_its_turn_where_there_are_others() -> None:
    ends = Ends(WIDE)
    (session, _), (other, peer) = streams(ends, 2)
    session.offer(BodyChunk(bytes(MAX_CHUNK_COST - COST_OVERHEAD_BYTES)))
    assert not ends.client.worth_a_frame
    for each in (other, peer):
        each.reset(ENOUGH)
        each.finish()
    assert ends.client.worth_a_frame


def test_session_that_is_alone_fills_a_frame_with_pieces() -> None:
    ends = Ends(WIDE)
    ((mine, theirs),) = streams(ends, 1)
    mine.offer_pieces(BodyChunk(bytes(4 * MAX_CHUNK_COST), end=True))

    first = ends.client.next_frame(0.0)
    assert first is not None
    assert [envelope.payload.cost for envelope in first.envelopes] == [MAX_CHUNK_COST] * 3  # type: ignore[union-attr]
    assert ends.client.framed == []
    second = ends.client.next_frame(0.0)
    assert second is not None
    assert ends.client.framed == [mine]
    assert not mine.sending
    for frame in (first, second):
        ends.server.receive(frame, 0.0)
    taken = list(iter(lambda: theirs.take(0.0), None))
    assert sum(len(each.data) for each in taken if isinstance(each, BodyChunk)) == 4 * MAX_CHUNK_COST
    assert [each.end for each in taken] == [False] * 4 + [True]


def narrow(ends: Ends) -> None:
    """The client has found out that its link is a narrow one."""
    pacing = ends.client._pacing
    pacing.limit = pacing._allowance = LEAST_ALLOWANCE_BYTES
    pacing.chunk_cost = LEAST_ALLOWANCE_BYTES // 4


def test_pieces_are_small_on_a_narrow_link() -> None:
    ends = Ends(WIDE)
    ((mine, _),) = streams(ends, 1)
    assert mine.takes_whole(MAX_CHUNK_COST)
    narrow(ends)
    assert mine.takes_whole(LEAST_ALLOWANCE_BYTES // 4)
    assert not mine.takes_whole(LEAST_ALLOWANCE_BYTES // 4 + 1)
    assert not mine.offer_last((BodyChunk(bytes(8 * KIB)), BodyChunk(b"", end=True)))
    mine.offer_pieces(BodyChunk(bytes(MAX_CHUNK_COST)))

    frames = list(iter(lambda: ends.client.next_frame(0.0), None))
    assert [[envelope.payload.cost for envelope in frame.envelopes] for frame in frames] == [  # type: ignore[union-attr]
        [LEAST_ALLOWANCE_BYTES // 4]
    ] * 4, "one to a frame, and as many as the link is allowed"


def test_peer_that_wants_smaller_chunks_than_the_link_gets_them() -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB))
    ((mine, _),) = streams(ends, 1)
    narrow(ends)
    assert mine.takes_whole(2 * KIB)
    assert not mine.takes_whole(2 * KIB + 1)


def test_chunk_that_was_cut_before_the_link_became_narrow_goes_when_the_link_is_empty() -> None:
    ends = Ends(WIDE)
    ((mine, _),) = streams(ends, 1)
    mine.stop_receiving("enough")
    ends.client.next_frame(0.0)
    mine.offer(BodyChunk(bytes(MAX_CHUNK_COST - COST_OVERHEAD_BYTES)))
    narrow(ends)
    assert ends.client.retained_bytes > 0, "control is no reason to wait"
    assert ids(ends.client.next_frame(0.0)) == [mine.id]
    mine.offer(CHUNK)
    assert ends.client.next_frame(0.0) is None, "the link is full"


def test_turns_are_short_on_a_narrow_link() -> None:
    ends = Ends(WIDE)
    (first, _), (second, _) = streams(ends, 2)
    narrow(ends)
    for session in (first, second):
        session.deficit = 0
        session.offer(BodyChunk(bytes(4 * KIB)))
    ends.client.next_frame(0.0)
    assert first.deficit == LEAST_ALLOWANCE_BYTES // 4 - 4 * KIB - COST_OVERHEAD_BYTES


def test_session_that_is_alone_on_a_link_of_which_nothing_is_known_puts_one_piece_into_a_frame() -> None:
    ends = Ends(WIDE)
    ((mine, _),) = streams(ends, 1)
    pacing = ends.client._pacing
    pacing.limit = pacing._allowance = INITIAL_ALLOWANCE_BYTES
    mine.offer_pieces(BodyChunk(bytes(4 * MAX_CHUNK_COST)))
    assert ids(ends.client.next_frame(0.0)) == [mine.id]


def test_sessions_on_a_link_of_which_nothing_is_known_fill_half_a_frame() -> None:
    ends = Ends(WIDE)
    sessions = [mine for mine, _ in streams(ends, 4)]
    pacing = ends.client._pacing
    pacing.limit = pacing._allowance = INITIAL_ALLOWANCE_BYTES
    for session in sessions:
        session.offer(BodyChunk(bytes(40_000)))
    assert len(ids(ends.client.next_frame(0.0))) == MAX_FRAME_BYTES // 2 // 40_000


def test_sessions_that_are_not_alone_put_one_piece_into_a_frame() -> None:
    ends = Ends(WIDE)
    (bulk, _), (other, _) = streams(ends, 2)
    bulk.offer_pieces(BodyChunk(bytes(4 * MAX_CHUNK_COST)))

    assert ids(ends.client.next_frame(0.0)) == [bulk.id]
    other.offer(CHUNK)
    assert sorted(ids(ends.client.next_frame(0.0))) == [bulk.id, other.id]
    assert ids(ends.client.next_frame(0.0)) == [bulk.id]


def test_session_with_pieces_left_waits_once_when_credit_comes() -> None:
    ends = Ends(WIDE)
    (bulk, _), _ = streams(ends, 2)
    bulk.offer_pieces(BodyChunk(bytes(4 * MAX_CHUNK_COST)))
    assert ids(ends.client.next_frame(0.0)) == [bulk.id]

    ends.client.receive(counted(1, (bulk.id, WindowUpdate(MAX_CHUNK_COST))), 0.0)
    assert ends.client.queued == 1


def test_pieces_wait_for_credit_and_are_forgotten_with_the_session() -> None:
    ends = Ends(Limits(session_window_bytes=256 * KIB))
    ((mine, theirs),) = streams(ends, 1)
    mine.offer_pieces(BodyChunk(bytes(8 * MAX_CHUNK_COST)))
    assert [len(frame.envelopes) for frame in ends.send_all(0)] == [3], "the opening took of the credit"
    assert mine.pending is not None
    assert not mine.withdraw(), "some of it is on its way"

    while ends.wires[1]:
        ends.deliver(1)
    for _ in range(3):
        theirs.take(0.0)
    ends.send_all(1)
    ends.deliver(0)
    frame = ends.client.next_frame(0.0)
    assert frame is not None
    assert frame.envelopes
    mine.reset(ENOUGH)
    assert kinds(ends.client.next_frame(0.0)) == [Error]
    assert ends.client.next_frame(0.0) is None


def test_pieces_that_were_taken_back_are_forgotten() -> None:
    ends = Ends(WIDE)
    ((mine, theirs),) = streams(ends, 1)
    mine.offer_pieces(BodyChunk(bytes(4 * MAX_CHUNK_COST)))
    assert mine.withdraw()

    mine.offer(CHUNK)
    ends.move()
    assert theirs.take(0.0) == CHUNK
    assert theirs.take(0.0) is None
    assert mine.pending is None


def test_session_whose_envelope_was_framed_is_told() -> None:
    ends = Ends(WIDE)
    ((session, _),) = streams(ends, 1)
    session.offer(CHUNK)
    ends.client.next_frame(ends.now)
    assert ends.client.framed == [session]


def test_nothing_is_left_to_send_when_the_tunnel_has_ended() -> None:
    ends = Ends(WIDE)
    ((session, _),) = streams(ends, 1)
    session.offer(CHUNK)
    ends.client.receive(uncounted(Ping(7)), ends.now)
    ends.client.open(GET, ends.now)
    ends.client.end("gone")
    assert not ends.client.sendable
    assert ends.client.next_frame(ends.now) is None


def test_control_is_charged_to_its_reserve_and_to_the_link_until_acknowledged() -> None:
    ends = Ends(WIDE)
    (first, _), (second, _) = streams(ends, 2)
    first.stop_receiving("enough")
    second.reset(SessionError(ErrorCode.CANCELLED, "abc", detail="de"))
    ends.client.go_away("shutdown")
    out = ends.client._out
    assert kinds(ends.client.next_frame(ends.now)) == [GoAway, StopSending, Error]
    # Text may take four bytes a character.
    charged = 3 * 256 + 4 * len("enough") + 4 * len("abcde")
    assert (out.retention.control_cost, out.pacing.in_flight) == (charged, charged)
    ends.client.receive(Frame((), out.retention.sent), ends.now + 0.1)
    assert (out.retention.control_cost, out.pacing.in_flight) == (0, 0)


def test_frame_that_is_sent_again_is_charged_to_the_new_link_whole() -> None:
    ends = Ends(WIDE)
    (first, _), (second, _) = streams(ends, 2)
    first.offer(CHUNK)
    second.stop_receiving("")
    ends.client.next_frame(ends.now)
    assert ends.client.detach(ends.now) is None
    assert ends.client.attach(ends.client._out.retention.acked, ends.now) is None
    assert ends.client._out.pacing.in_flight == 0
    assert kinds(ends.client.next_frame(ends.now)) == [StopSending, BodyChunk]
    assert ends.client._out.pacing.in_flight == CHUNK.cost + 256


def test_control_takes_half_a_frame_at_most() -> None:
    ends = Ends()
    for session, _ in streams(ends, 600):
        session.stop_receiving("")
    assert len(kinds(ends.client.next_frame(ends.now))) == MAX_FRAME_BYTES // 2 // 256
    assert len(kinds(ends.client.next_frame(ends.now))) == 600 - MAX_FRAME_BYTES // 2 // 256


def test_control_of_a_session_is_said_once() -> None:
    ends = Ends()
    ((session, _),) = streams(ends, 1)
    for say, kind in ((lambda: session.stop_receiving(""), StopSending), (lambda: session.reset(ENOUGH), Error)):
        say()
        assert kinds(ends.client.next_frame(ends.now)) == [kind]
        session.control_grant = 5
        ends.client._out.control(session)
        assert kinds(ends.client.next_frame(ends.now)) == [WindowUpdate]


def test_going_away_is_said_of_the_tunnel_and_of_no_session() -> None:
    ends = Ends()
    ends.client.go_away("shutdown")
    assert ids(ends.client.next_frame(ends.now)) == [0]


def test_what_was_granted_is_not_granted_again() -> None:
    ends = Ends()
    ((_, peer),) = streams(ends, 1)
    for turn in (1, 2):
        peer.control_grant += 5
        ends.server._out.control(peer)
        frame = ends.server.next_frame(ends.now)
        assert frame is not None
        assert [envelope.payload for envelope in frame.envelopes] == [WindowUpdate(5)]
        assert ends.server._out.retention.control_cost == 256 * turn


def test_what_is_left_of_several_frames_stays_charged_to_the_link() -> None:
    ends = Ends(WIDE)
    (first, _), (second, _) = streams(ends, 2)
    first.offer(CHUNK)
    ends.client.next_frame(ends.now)
    first.offer(CHUNK)
    second.stop_receiving("")
    ends.client.next_frame(ends.now)
    retention, pacing = ends.client._out.retention, ends.client._out.pacing
    ends.client.receive(Frame((), retention.sent - 1), ends.now + 0.1)
    assert (retention.cost, retention.control_cost) == (CHUNK.cost, 256)
    assert pacing.in_flight == CHUNK.cost + 256


def test_heads_in_parts_that_were_given_up_make_room_for_others() -> None:
    ends = Ends()
    head = HttpRequest("POST", more=True)
    given_up = [ends.client.open(head, ends.now) for _ in range(MAX_UNFINISHED_HEADS)]
    waiting_for_them = ends.client.open(head, ends.now)
    ends.send_all(0)
    assert ends.client.queued == 1
    for session in given_up:
        session.reset(ENOUGH)
    assert kinds(ends.send(0)) == [*[Error] * MAX_UNFINISHED_HEADS, HttpRequest]
    assert waiting_for_them.id


def test_messages_of_other_kinds_leave_each_other_alone() -> None:
    assert waiting(ConfigApplied(1, "a"), Close("shutdown")) == [ConfigApplied(1, "a"), Close("shutdown")]
