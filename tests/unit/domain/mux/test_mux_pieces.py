from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mux_kit import Ends, opened_in

from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Frame,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    SessionPayload,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import COST_OVERHEAD_BYTES, KIB, MAX_CHUNK_COST, Limits
from tunnel.domain.messagepack import encode_frame, encode_payload
from tunnel.domain.mux.pieces import MAX_ENVELOPE_BYTES, HeadAssembly, HeadLimits, encoded_bound, needs_assembly, split

LIMITS = st.sampled_from([2 * KIB, 4 * KIB, MAX_CHUNK_COST])
BODIES = st.integers(0, 200_000).map(lambda size: bytes(i % 251 for i in range(min(size, 251))) * (size // 251 + 1))
FIELDS = st.lists(
    st.tuples(st.sampled_from([b"a", b"name"]), st.sampled_from([b"", b"v", b"v" * 900])), max_size=60
).map(lambda pairs: tuple(part for pair in pairs for part in pair))
TEXTS = st.text(max_size=20)

WHOLE: st.SearchStrategy[SessionPayload] = st.one_of(
    st.builds(HttpRequest, TEXTS, headers=FIELDS, body=BODIES, end=st.booleans(), original_dst=TEXTS),
    st.builds(HttpResponse, st.integers(200, 599), FIELDS, BODIES, st.booleans()),
    st.builds(BodyChunk, BODIES, st.booleans()),
    st.builds(Trailers, FIELDS),
    st.builds(GrpcFrame, st.just(0), data=BODIES),
    st.builds(GrpcFrame, st.sampled_from([1, 2]), TEXTS, TEXTS, FIELDS, status=st.integers(0, 16), message=TEXTS),
    st.builds(GrpcFrame, st.just(5), TEXTS, TEXTS, FIELDS, data=BODIES),
    st.builds(WebSocketFrame, st.sampled_from([1, 2]), BODIES, st.booleans()),
)


def joined(pieces: list[SessionPayload]) -> SessionPayload:
    """What the other end makes of the pieces of one payload."""
    first, *rest = pieces
    if needs_assembly(first):
        assembly = HeadAssembly(first, 10**6)
        while rest:
            whole = assembly.add(rest.pop(0))
            if whole is not None:
                first = whole
                break
    body = b"".join(piece_bytes(piece) for piece in [first, *rest])
    last = rest[-1] if rest else first
    match first:
        case HttpRequest():
            end = first.end or last.end
            return HttpRequest(first.method, headers=first.headers, body=body, end=end, original_dst=first.original_dst)
        case HttpResponse():
            return HttpResponse(first.status, first.headers, body, first.end or last.end)
        case BodyChunk():
            return BodyChunk(body, last.end)
        case GrpcFrame(type=GrpcFrameType.DATA):
            assert isinstance(last, GrpcFrame)
            return GrpcFrame(first.type, data=body, more=last.more)
        case GrpcFrame(type=GrpcFrameType.METADATA) if rest:
            assert last == GrpcFrame(GrpcFrameType.CLOSE.value)
            return GrpcFrame(GrpcFrameType.WHOLE.value, first.service, first.method, first.metadata, body)
        case WebSocketFrame():
            assert isinstance(last, WebSocketFrame)
            return WebSocketFrame(first.opcode, body, last.fin)
        case _:
            return first


def piece_bytes(piece: SessionPayload) -> bytes:
    match piece:
        case HttpRequest() | HttpResponse():
            return piece.body
        case BodyChunk() | GrpcFrame():
            return piece.data
        case WebSocketFrame():
            return piece.payload
        case _:
            return b""


@pytest.mark.rule("P1", "P3", "P5")
@given(WHOLE, LIMITS)
def test_pieces_are_small_enough_and_join_to_the_whole(payload: SessionPayload, limit: int) -> None:
    pieces = list(split(payload, limit))
    assert all(piece.cost <= limit for piece in pieces)
    assert [piece.end for piece in pieces[:-1]] == [False] * (len(pieces) - 1)
    assert pieces[-1].end == payload.end
    assert joined(pieces) == payload


@given(WHOLE, LIMITS)
def test_bound_of_a_piece_holds_in_messagepack(payload: SessionPayload, limit: int) -> None:
    for piece in split(payload, limit):
        frame = Frame((Envelope(2**63, KIND_OF[type(piece)], piece),), 2**63, 2**63)
        assert len(encode_frame(frame)) <= encoded_bound(piece, piece.cost) + 64


@pytest.mark.parametrize("fields", [(b"a", b""), (b"", b""), (b"a", b"b")])
def test_head_of_more_fields_than_a_frame_holds_is_split_though_it_costs_little(fields: tuple[bytes, ...]) -> None:
    head = HttpResponse(200, fields * 25_000)
    assert head.cost <= MAX_CHUNK_COST
    assert encoded_bound(head, head.cost) > MAX_ENVELOPE_BYTES
    pieces = list(split(head, MAX_CHUNK_COST))
    assert needs_assembly(pieces[0])
    assert joined(pieces) == head


@pytest.mark.rule("P12")
@pytest.mark.parametrize(
    "payload",
    [TcpOpen("u" * 3000), WebSocketFrame(WebSocketOpcode.CLOSE, b"r" * 3000), HeadPart(b"p" * 3000)],
)
def test_what_cannot_be_split_is_too_large(payload: SessionPayload) -> None:
    with pytest.raises(SessionError) as caught:
        list(split(payload, 2 * KIB))
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.rule("P4")
def test_websocket_message_goes_on_as_continuations() -> None:
    pieces = list(split(WebSocketFrame(WebSocketOpcode.TEXT, b"t" * 4000), 2 * KIB))
    size = 2 * KIB - COST_OVERHEAD_BYTES
    assert pieces == [
        WebSocketFrame(WebSocketOpcode.TEXT, b"t" * size, fin=False),
        WebSocketFrame(WebSocketOpcode.CONTINUATION, b"t" * size, fin=False),
        WebSocketFrame(WebSocketOpcode.CONTINUATION, b"t" * (4000 - 2 * size), fin=True),
    ]


ANNOUNCED = HttpResponse(200, more=True)
ENCODED = encode_payload(HttpResponse(200, (b"a", b"b")))
METADATA = encode_payload(GrpcFrame(GrpcFrameType.TRAILER))


@pytest.mark.rule("P7", "P10")
@pytest.mark.parametrize(
    ("announced", "parts", "code"),
    [
        (ANNOUNCED, [BodyChunk(b"body")], ErrorCode.PROTOCOL_ERROR),
        (ANNOUNCED, [HeadPart(b"", more=True)], ErrorCode.PROTOCOL_ERROR),
        (ANNOUNCED, [HeadPart(b"\xc1")], ErrorCode.PROTOCOL_ERROR),
        (ANNOUNCED, [HeadPart(encode_payload(Trailers()))], ErrorCode.PROTOCOL_ERROR),
        (ANNOUNCED, [HeadPart(encode_payload(ANNOUNCED))], ErrorCode.PROTOCOL_ERROR),
        (ANNOUNCED, [HeadPart(ENCODED, end=True)], ErrorCode.PROTOCOL_ERROR),
        (GrpcFrame(GrpcFrameType.METADATA, more=True), [HeadPart(METADATA, end=True)], ErrorCode.PROTOCOL_ERROR),
        (ANNOUNCED, [HeadPart(b"p" * 60, more=True), HeadPart(b"p" * 60)], ErrorCode.TOO_LARGE),
    ],
)
def test_parts_that_do_not_make_the_head_are_an_error(
    announced: SessionPayload, parts: list[SessionPayload], code: ErrorCode
) -> None:
    assembly = HeadAssembly(announced, 100)
    for part in parts[:-1]:
        assert assembly.add(part) is None
    with pytest.raises(SessionError) as caught:
        assembly.add(parts[-1])
    assert caught.value.code is code


def relay(ends: Ends, side: int, pieces: list[SessionPayload], session, reader) -> list[SessionPayload]:
    read = []
    for piece in pieces:
        session.offer(piece)
        ends.settle()
        while (payload := reader.take(ends.now)) is not None:
            read.append(payload)
    return read


@pytest.mark.rule("P6", "C4")
@pytest.mark.parametrize("encoded", [False, True])
def test_large_heads_and_trailers_pass_both_ways(encoded: bool) -> None:
    ends = Ends(Limits(session_window_bytes=8 * KIB), encoded=encoded)
    large = (b"large", b"v" * 30_000)
    request = HttpRequest("POST", b"/p", headers=large, protocol="websocket")
    first, *rest = split(request, ends.client.opening_cost)
    session = ends.client.open(first, ends.now)  # type: ignore[arg-type]  # the first piece opens
    opened = opened_in(ends.move()[1])
    for piece in rest:
        assert opened == []
        session.offer(piece)
        opened += opened_in(ends.move()[1])
    (peer,) = opened
    assert peer.head == request

    response, trailers = HttpResponse(200, large), Trailers(large)
    pieces = [*split(response, 2 * KIB), BodyChunk(b"body"), *split(trailers, 2 * KIB)]
    assert relay(ends, 1, pieces, peer, session) == [response, BodyChunk(b"body"), trailers]
    session.offer(BodyChunk(b"", end=True))
    ends.settle()
    assert peer.take(ends.now) == BodyChunk(b"", end=True)
    for each in (session, peer):
        each.finish()
        assert each.error is None
    ends.settle()
    assert ends.client.drained
    assert ends.server.drained


# -- what fits exactly


def head_of_bound(bound: int) -> HttpResponse:
    """A head that costs little for the many bytes it may take."""
    names = (b"a", b"") * 10_000
    head = HttpResponse(200, names)
    padding = bound - encoded_bound(head, head.cost) - 2 * 5
    return HttpResponse(200, (*names, b"", b"v" * padding))


@pytest.mark.rule("P1")
def test_head_that_takes_its_share_of_a_frame_exactly_stays_whole() -> None:
    exact, larger = head_of_bound(MAX_ENVELOPE_BYTES), head_of_bound(MAX_ENVELOPE_BYTES + 1)
    assert encoded_bound(exact, exact.cost) == MAX_ENVELOPE_BYTES
    assert list(split(exact, MAX_CHUNK_COST)) == [exact]
    assert needs_assembly(next(split(larger, MAX_CHUNK_COST)))

    _, peer = Ends().open(HttpRequest("GET"))
    peer.offer(exact)
    assert peer.pending is exact


@pytest.mark.rule("P1")
def test_head_of_the_largest_cost_stays_whole() -> None:
    head = HttpResponse(200, (b"name", b"v" * 3000))
    assert list(split(head, head.cost)) == [head]
    assert needs_assembly(next(split(head, head.cost - 1)))


@pytest.mark.parametrize("more", [False, True])
def test_message_of_a_call_goes_on_until_its_own_end(more: bool) -> None:
    message = GrpcFrame(GrpcFrameType.DATA, data=b"d" * 4000, more=more)
    assert [piece.more for piece in split(message, 2 * KIB)] == [True, True, more]


def test_last_part_of_a_head_may_be_a_byte() -> None:
    head = HttpResponse(200, (b"name", b"v" * 3000))
    if len(encode_payload(head)) % 2 == 0:
        head = HttpResponse(200, (b"name", b"v" * 3001))
    size = len(encode_payload(head)) // 2
    _, *parts = split(head, COST_OVERHEAD_BYTES + size)
    assert [(len(part.data), part.more) for part in parts] == [(size, True), (size, True), (1, False)]


def test_assembled_head_may_take_all_that_is_allowed() -> None:
    assert HeadAssembly(ANNOUNCED, len(ENCODED)).add(HeadPart(ENCODED)) == HttpResponse(200, (b"a", b"b"))


@pytest.mark.parametrize("kind", GrpcFrameType)
@pytest.mark.parametrize("more", [False, True])
def test_every_frame_of_a_call_but_data_announces_parts_by_more(kind: GrpcFrameType, more: bool) -> None:
    assert needs_assembly(GrpcFrame(kind, more=more)) is (more and kind is not GrpcFrameType.DATA)


@pytest.mark.parametrize("body", [b"", b"b" * 5000])
def test_head_may_take_all_that_is_announced_beside_its_body(body: bytes) -> None:
    limits = HeadLimits(max_items=2, max_bytes=1000)
    for size, expected in ((999, None), (1000, None), (1001, ErrorCode.TOO_LARGE)):
        empty = HttpRequest("GET", headers=(b"", b""), body=body)
        name = b"n" * (size - (empty.cost - COST_OVERHEAD_BYTES - len(body)))
        head = HttpRequest("GET", headers=(name, b""), body=body)
        problem = limits.problem(head, head.cost)
        assert (problem and problem.code) == expected


@pytest.mark.parametrize("kind", [GrpcFrameType.METADATA, GrpcFrameType.TRAILER])
def test_large_metadata_of_a_call_are_announced_and_joined(kind: GrpcFrameType) -> None:
    whole = GrpcFrame(kind, "s", "m", (b"large", b"v" * 5000))
    announced, *parts = split(whole, 2 * KIB)
    assert announced == GrpcFrame(kind, more=True)
    assert joined([announced, *parts]) == whole
