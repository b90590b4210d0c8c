from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Frame,
    HttpRequest,
    Kind,
    Ping,
    UnknownPayload,
    WindowUpdate,
)
from tunnel.domain.messagepack import FrameError, decode_frame, decode_payload, encode_frame, encode_payload
from tunnel.testing.strategies import PAYLOADS, frames, payloads

pack = msgspec.msgpack.encode
CHUNK = Envelope(3, Kind.BODY_CHUNK.value, BodyChunk(b"body", end=True))


def frame_around(*envelopes: object, ack: object = 7, seq: object = 9) -> bytes:
    return pack([list(envelopes), ack, seq])


@given(frames())
def test_frame_survives_the_round_trip(frame: Frame) -> None:
    assert decode_frame(encode_frame(frame)) == frame


@given(payloads())
def test_payload_survives_the_round_trip(payload) -> None:
    assert decode_payload(encode_payload(payload)) == payload


def test_every_kind_has_a_strategy() -> None:
    assert set(PAYLOADS) == set(KIND_OF)


@pytest.mark.rule("W10")
def test_layout_is_arrays_with_the_kind_in_the_envelope_and_in_its_payload() -> None:
    frame = Frame((CHUNK,), ack=7, seq=9)
    assert encode_frame(frame) == bytes.fromhex("93 91 93 03 0a 93 0a c404 626f6479 c3 07 09")


@pytest.mark.rule("W13", "W14")
@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        ([5, 99, [99, "from the future"]], "unknown kind 99"),
        ([5, -1, [-1]], "unknown kind -1"),
        ([5, 0, [0, "forged"]], "unknown kind 0"),
        ([5, 10, [10, "text"]], "Expected `bytes`, got `str`"),
        ([5, 10, [21, 1]], "Invalid value 21"),
        ([5, 21, [10, b"kinds differ"]], "Invalid value 10"),
        ([5, 10, {"data": b""}], "Expected `array`, got `object`"),
        ([5, 10, None], "Expected `array`, got `None`"),
        ([5, 9, [9]], "Expected `array` of at least length 2"),
    ],
)
def test_bad_payload_costs_only_its_own_envelope(envelope: list[object], why: str) -> None:
    frame = decode_frame(frame_around([3, 10, [10, b"body", True]], envelope, [5, 21, [21, 1]]))
    bad = frame.envelopes[1]
    assert (frame.ack, frame.seq) == (7, 9)
    assert frame.envelopes[0] == CHUNK
    assert frame.envelopes[2] == Envelope(5, Kind.PING.value, Ping(1))
    assert (bad.session_id, bad.kind) == (5, envelope[1])
    assert isinstance(bad.payload, UnknownPayload)
    assert why in bad.payload.why


@pytest.mark.rule("W14")
def test_text_that_is_not_utf8_costs_only_its_own_envelope() -> None:
    data = frame_around([1, 9, [9, "secret"]], [3, 10, [10, b"body", True]]).replace(b"secret", b"s\xffcret")
    frame = decode_frame(data)
    assert frame.envelopes == (Envelope(1, 9, UnknownPayload("invalid start byte")), CHUNK)


def test_frame_that_counts_nothing_may_have_a_bad_payload_too() -> None:
    frame = decode_frame(frame_around([0, 99, [99]], ack=0, seq=0))

    assert (frame.ack, frame.seq, frame.envelopes[0].session_id) == (0, 0, 0)


def test_reason_is_short_whatever_came_in() -> None:
    frame = decode_frame(frame_around([1, 9, [9, 1]]))
    payload = frame.envelopes[0].payload
    assert isinstance(payload, UnknownPayload)
    assert len(payload.why) <= 200


@pytest.mark.rule("W11")
def test_fields_that_a_later_version_appends_are_ignored() -> None:
    data = pack([[[3, 10, [10, b"body", True, "new", {"a": 1}], "new"]], 7, 9, "new"])
    assert decode_frame(data) == Frame((CHUNK,), 7, 9)


@pytest.mark.rule("W11")
def test_fields_that_an_earlier_version_leaves_out_get_their_defaults() -> None:
    assert decode_frame(pack([[[3, 10, [10]]]])) == Frame((Envelope(3, 10, BodyChunk()),))


@pytest.mark.rule("W12")
@pytest.mark.parametrize(
    ("kind", "required"),
    [
        *((kind, ["GET"]) for kind in (5,)),
        *((kind, [1]) for kind in (6, 7, 8, 14, 21, 22, 23)),
        *((kind, ["text"]) for kind in (9, 12, 15)),
        *((kind, []) for kind in (10, 11, 13, 24)),
        (16, [[1], "client", "group", bytes(16), "credential"]),
        (17, ["tunnel", bytes(32), "server", 1]),
        (18, [1, "hash", b"{}"]),
        (19, [1, "hash"]),
        (20, [1, "hash", "why"]),
    ],
)
def test_payload_is_malformed_only_without_a_field_that_has_no_default(kind: int, required: list[object]) -> None:
    (envelope,) = decode_frame(frame_around([1, kind, [kind, *required]])).envelopes
    assert not isinstance(envelope.payload, UnknownPayload)
    assert KIND_OF[type(envelope.payload)] == kind
    for length in range(len(required)):
        (envelope,) = decode_frame(frame_around([1, kind, [kind, *required[:length]]])).envelopes
        assert isinstance(envelope.payload, UnknownPayload)


@pytest.mark.rule("W15")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"GET / HTTP/1.1\r\n",
        pack(None),
        pack([]),
        pack({"envelopes": []}),
        pack([[], 0, 0]) + b"\x00",
        pack([[], 0, 0])[:-1],
        pack([[], -1, 0]),
        pack([[], 0, -1]),
        pack([[], 0.0, 0]),
        pack([[], 0, "1"]),
        pack([[None], 0, 0]),
        pack([[[]], 0, 0]),
        pack([[[1, 10]], 0, 0]),
        pack([[["1", 10, [10]]], 0, 0]),
        pack([[[-1, 10, [10]]], 0, 0]),
        pack([[[-1, 99, [99]]], 0, 0]),
        pack([[[1, "10", [10]]], 0, 0]),
        pytest.param(b"\x93\xdd\xff\xff\xff\xff", id="declares-four-thousand-million-envelopes"),
        pytest.param(b"\x93\x91\x93\x01\x0a\x93\x0a\xc6\xff\xff\xff\xff", id="declares-a-payload-of-4-gib"),
        pytest.param(b"\x93\x91\x93\x01\x0a" + b"\x91" * 200_000, id="nests-without-end"),
    ],
)
def test_broken_structure_is_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(data)


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_a_frame_error(data: bytes) -> None:
    try:
        frame = decode_frame(data)
    except FrameError:
        return
    assert isinstance(frame, Frame)


@given(frames(), st.data())
@example(Frame((CHUNK,)), None)
def test_mutated_frames_decode_or_are_a_frame_error(frame: Frame, data: st.DataObject | None) -> None:
    encoded = bytearray(encode_frame(frame))
    if data is not None:
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(encoded) - 1))
            encoded[position] = data.draw(st.integers(0, 255))
        encoded = encoded[: data.draw(st.integers(0, len(encoded)))]
    try:
        decoded = decode_frame(bytes(encoded))
    except FrameError:
        return
    assert decoded.ack >= 0
    assert decoded.seq >= 0
    for envelope in decoded.envelopes:
        assert envelope.session_id >= 0
        assert isinstance(envelope.payload, UnknownPayload) or KIND_OF[type(envelope.payload)] == envelope.kind


@pytest.mark.parametrize("data", [b"", b"\xc1", pack([99]), pack([10, "text"]), pack([10]) + b"\x00", pack(None)])
def test_payload_alone_that_is_malformed_is_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError) as caught:
        decode_payload(data)
    assert caught.value.why == str(caught.value) != ""


def test_split_head_joins_again() -> None:
    head = HttpRequest("GET", headers=(b"x-large", b"v" * 100_000))
    encoded = encode_payload(head)
    parts = [encoded[i : i + 16_384] for i in range(0, len(encoded), 16_384)]
    assert decode_payload(b"".join(parts)) == head


def test_largest_numbers_survive() -> None:
    largest = 2**64 - 1
    frame = Frame((Envelope(largest, Kind.WINDOW_UPDATE.value, WindowUpdate(largest)),), largest, largest)
    assert decode_frame(encode_frame(frame)) == frame


@pytest.mark.rule("K5")
def test_payloads_own_their_bytes() -> None:
    data = bytearray(encode_frame(Frame((CHUNK,))))
    frame = decode_frame(data)  # type: ignore[arg-type]  # whatever a transport reads into
    data[:] = bytes(len(data))
    assert frame == Frame((CHUNK,))
