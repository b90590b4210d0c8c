"""Rules of the wire protocol that no other test of this folder is about."""

from __future__ import annotations

import pytest
from mux_kit import CLIENT, GET, POST, SERVER, Ends, counted, multiplexer, opened_in, uncounted

from tunnel.domain.envelopes import (
    BodyChunk,
    Error,
    Frame,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Opening,
    Ping,
    Pong,
    TcpOpen,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB, MIB, Limits
from tunnel.domain.messagepack import decode_payload
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.pieces import split
from tunnel.domain.mux.windows import ReceiveWindow

CHUNK = BodyChunk(b"x" * 10_000)
ENOUGH = SessionError(ErrorCode.CANCELLED, "enough")


@pytest.mark.rule("F1")
def test_counted_frames_are_numbered_from_one_in_each_direction() -> None:
    ends = Ends()
    numbers: dict[int, list[int]] = {CLIENT: [], SERVER: []}
    for _ in range(3):
        ends.client.open(POST, ends.now)
        numbers[CLIENT] += [frame.seq for frame in ends.send_all(CLIENT)]
        (peer,) = ends.deliver(SERVER).opened
        peer.offer(HttpResponse(200))
        numbers[SERVER] += [frame.seq for frame in ends.send_all(SERVER)]
        ends.deliver(CLIENT)

    assert numbers == {CLIENT: [1, 2, 3], SERVER: [1, 2, 3]}


@pytest.mark.rule("F6")
def test_frame_is_counted_when_all_of_it_was_taken_in() -> None:
    mux = multiplexer()
    received = mux.receive(counted(1, (1, POST), (1, BodyChunk(b"one")), (3, GET)), 0.0)
    assert [session.id for session in received.opened] == [1, 3]
    assert received.opened[0].take(0.0) == BodyChunk(b"one")
    mux.tick(0.05)
    assert mux.next_frame(0.05) == Frame((), 1, 0)

    received = mux.receive(counted(2, (5, GET), (9, BodyChunk(b"of nothing"))), 0.1)

    assert received.violation is not None
    mux.receive(uncounted(Ping(1)), 0.1)
    frame = mux.next_frame(0.1)
    assert frame is not None
    assert frame.ack == 1


@pytest.mark.rule("F9")
def test_what_nobody_reads_is_acknowledged_all_the_same() -> None:
    mux = multiplexer()
    (session,) = mux.receive(counted(1, (1, POST)), 0.0).opened
    mux.receive(counted(2, (1, CHUNK)), 0.0)
    mux.tick(0.05)

    assert mux.next_frame(0.05) == Frame((), 2, 0)
    assert mux.next_frame(0.05) is None, "and no credit is returned"
    assert session.readable


@pytest.mark.rule("F18")
def test_uncounted_frames_pass_a_full_replay_window_and_are_not_kept() -> None:
    ends = Ends(Limits(session_window_bytes=MIB, replay_window_bytes=256 * KIB))
    session, _ = ends.open(POST)
    while session.pending is None:
        session.offer(CHUNK)
        ends.client.next_frame(ends.now)
    before = ends.client.retained_frames
    ends.client.ping(ends.now)
    ends.client.receive(uncounted(Ping(7)), ends.now)

    frames = [ends.client.next_frame(ends.now) for _ in range(3)]

    assert [frame and [envelope.payload for envelope in frame.envelopes] for frame in frames] == [
        [Pong(7)],
        [Ping(1)],
        None,
    ]
    assert ends.client.retained_frames == before


@pytest.mark.rule("K3")
def test_what_was_framed_is_charged_until_it_is_acknowledged() -> None:
    ends = Ends()
    first, _ = ends.open(POST)
    second, _ = ends.open(POST)
    ends.settle()
    first.offer(CHUNK)
    second.reset(ENOUGH)
    opened = ends.client.open(GET, ends.now)
    frame = ends.client.next_frame(ends.now)
    assert frame is not None
    assert [type(envelope.payload) for envelope in frame.envelopes] == [Error, HttpRequest, BodyChunk]
    retention = ends.client._out.retention

    # The text of the error counts as if each character took four bytes.
    assert (retention.cost, retention.control_cost) == (GET.cost + CHUNK.cost, 256 + 4 * len("enough"))
    ends.client.receive(Frame((), frame.seq), ends.now)
    assert (retention.cost, retention.control_cost) == (0, 0)
    assert opened.id == 5


@pytest.mark.rule("S1")
def test_client_opens_odd_ids_and_server_even_ones() -> None:
    ends = Ends()
    ids: dict[int, list[int]] = {}
    for side in (CLIENT, SERVER):
        for _ in range(3):
            ends.muxes[side].open(GET, ends.now)
        ids[side] = [session.id for session in opened_in(ends.move()[1 - side])]

    assert ids == {CLIENT: [1, 3, 5], SERVER: [2, 4, 6]}


@pytest.mark.rule("S6")
@pytest.mark.parametrize(
    "head",
    [
        GET,
        POST,
        HttpRequest("GET", protocol="websocket"),
        GrpcFrame(GrpcFrameType.METADATA, "shop.v1.Orders", "Create"),
        TcpOpen("ssh"),
    ],
)
def test_every_kind_of_opening_opens(head: Opening) -> None:
    (session,) = multiplexer().receive(counted(1, (1, head)), 0.0).opened

    assert (session.id, session.head) == (1, head)


@pytest.mark.rule("P8")
def test_body_of_a_split_head_follows_in_chunks() -> None:
    request = HttpRequest("POST", headers=(b"x-large", b"v" * 3000), body=b"b" * 5000, end=True)

    announced, *rest = split(request, 2 * KIB)

    parts = [piece for piece in rest if isinstance(piece, HeadPart)]
    chunks = rest[len(parts) :]
    assert announced == HttpRequest("POST", path=b"", more=True)
    assert decode_payload(b"".join(part.data for part in parts)) == HttpRequest("POST", headers=request.headers)
    assert not parts[-1].end
    assert all(isinstance(piece, BodyChunk) for piece in chunks)
    assert b"".join(piece.data for piece in chunks) == request.body
    assert [piece.end for piece in chunks] == [False] * (len(chunks) - 1) + [True]


def window(size: int) -> ReceiveWindow:
    limits = Limits(session_window_bytes=size)
    budget = Budget(MIB)
    assert budget.reserve(size)
    receive = ReceiveWindow(limits, budget, 0.0)
    assert receive.arrived(size)
    return receive


@pytest.mark.rule("C3")
def test_credit_returns_when_a_quarter_of_the_window_was_consumed() -> None:
    receive = window(64 * KIB)

    assert receive.consumed(16 * KIB - 1, 100.0, 0.1) == 0
    assert receive.consumed(1, 100.0, 0.1) == 16 * KIB
    assert receive.consumed(16 * KIB - 1, 100.0, 0.1) == 0


@pytest.mark.rule("C7")
def test_growth_comes_with_the_credit_that_is_returned() -> None:
    receive = window(64 * KIB)

    assert receive.consumed(64 * KIB, 0.1, 0.1) == 128 * KIB
    assert (receive.size, receive.credit) == (128 * KIB, 128 * KIB)
