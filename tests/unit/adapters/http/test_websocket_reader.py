"""Frames from bytes, however they arrive; ``websockets`` is the oracle of what is right."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from tunnel.adapters.http.websocket_reader import FRAMES_AT_ONCE, PIECE_BYTES, WebSocketReader
from tunnel.domain.envelopes import WebSocketFrame

MAX_BYTES = 1000


def reader(*, masked: bool = True, max_message_bytes: int = 16 << 20) -> WebSocketReader:
    return WebSocketReader(masked=masked, max_message_bytes=max_message_bytes)


def said(opcode: Opcode, payload: bytes = b"", *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=mask)


def joined(frames: list[WebSocketFrame]) -> list[tuple[int, bytes]]:
    """Messages and control frames, data in however many pieces."""
    whole: list[tuple[int, bytes]] = []
    opcode, parts = 0, b""
    for frame in frames:
        if frame.opcode >= 8:
            whole.append((frame.opcode, frame.payload))
            continue
        opcode, parts = frame.opcode or opcode, parts + frame.payload
        if frame.fin:
            whole.append((opcode, parts))
            parts = b""
    return whole


frames = st.one_of(
    st.tuples(st.just(Opcode.TEXT), st.text(max_size=200).map(str.encode)),
    st.tuples(st.just(Opcode.BINARY), st.binary(max_size=200)),
    st.tuples(st.just(Opcode.BINARY), st.integers(60_000, 70_000).map(bytes)),
    st.tuples(st.just(Opcode.PING), st.binary(max_size=125)),
)


@given(st.lists(frames, max_size=6), st.booleans(), st.data())
def test_what_was_said_is_read_wherever_it_is_cut(
    spoken: list[tuple[Opcode, bytes]], masked: bool, data: st.DataObject
) -> None:
    raw = b"".join(said(opcode, payload, mask=masked) for opcode, payload in spoken)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    reading = reader(masked=masked)

    heard = [frame for start, end in pairwise([0, *cuts, len(raw)]) for frame in reading.feed(raw[start:end])]

    assert reading.violation is None
    assert joined(heard) == [(int(opcode), payload) for opcode, payload in spoken]


@given(st.lists(st.binary(min_size=2, max_size=40), min_size=1, max_size=4))
def test_violations_are_those_that_websockets_finds(pieces: list[bytes]) -> None:
    reading, oracle = reader(max_message_bytes=MAX_BYTES), Protocol(Side.SERVER, max_size=MAX_BYTES)
    for piece in pieces:
        reading.feed(piece)
        oracle.receive_data(piece)
        if reading.closed:
            break

    reading.feed(bytes(256))  # a control frame is judged when it is whole
    if isinstance(oracle.parser_exc, ProtocolError):
        assert reading.violation is not None
        assert reading.violation[0] in (1002, 1007)  # we look at the text before as well
    elif reading.violation is not None:
        assert oracle.parser_exc is not None or reading.violation[0] in (1002, 1007)


def test_frame_in_single_bytes_is_read() -> None:
    reading = reader()
    raw = said(Opcode.TEXT, b"h\xc3\xa9llo" * 60) + said(Opcode.CLOSE, b"\x03\xe8bye")

    heard = [frame for byte in raw for frame in reading.feed(bytes([byte]))]

    assert joined(heard) == [(1, b"h\xc3\xa9llo" * 60), (8, b"\x03\xe8bye")]
    assert reading.closed


def test_large_frame_is_handed_on_as_it_arrives_and_not_kept() -> None:
    reading = reader()
    payload = os.urandom(10 * PIECE_BYTES + 7)
    raw = said(Opcode.BINARY, payload)
    heard: list[WebSocketFrame] = []
    for at in range(0, len(raw), 10_001):
        heard += reading.feed(raw[at : at + 10_001])
        assert reading.kept_bytes < 20

    assert joined(heard) == [(2, payload)]
    assert [frame.opcode for frame in heard[1:]] == [0] * (len(heard) - 1)


@pytest.mark.parametrize("length", [MAX_BYTES + 1, 1 << 20, (1 << 63) - 1, 1 << 63])
def test_declared_length_over_the_limit_is_refused_before_any_of_it_comes(length: int) -> None:
    reading = reader(max_message_bytes=MAX_BYTES)

    heard = reading.feed(b"\x82\xff" + length.to_bytes(8, "big"))
    heard += reading.feed(b"mask")

    assert heard == []
    assert reading.violation == (1009, f"over {MAX_BYTES} bytes")


def test_fragments_count_towards_one_limit_and_the_next_message_has_its_own() -> None:
    reading = reader(max_message_bytes=MAX_BYTES)
    half = bytes(MAX_BYTES // 2)
    whole = said(Opcode.BINARY, half, fin=False) + said(Opcode.CONT, half)

    assert len(reading.feed(whole + whole)) == 4
    reading.feed(said(Opcode.BINARY, half, fin=False) + said(Opcode.CONT, half, fin=False))
    assert reading.violation is None
    reading.feed(said(Opcode.CONT, b"x"))
    assert reading.violation == (1009, f"over {MAX_BYTES} bytes")


def test_limit_is_inclusive() -> None:
    reading = reader(max_message_bytes=MAX_BYTES)
    assert joined(reading.feed(said(Opcode.BINARY, bytes(MAX_BYTES)))) == [(2, bytes(MAX_BYTES))]


def test_text_of_a_large_frame_is_checked_as_it_arrives() -> None:
    reading = reader(masked=False)
    raw = said(Opcode.TEXT, b"x" * PIECE_BYTES + b"\xff" + bytes(PIECE_BYTES), mask=False)

    reading.feed(raw[: PIECE_BYTES + 100])

    assert reading.violation == (1007, "text is not UTF-8")


def test_nothing_is_read_after_a_close_frame() -> None:
    reading = reader()
    assert joined(reading.feed(said(Opcode.CLOSE) + said(Opcode.TEXT, b"late"))) == [(8, b"")]
    assert reading.feed(said(Opcode.TEXT, b"later")) == []
    assert reading.kept_bytes == 0


def test_what_was_right_before_a_violation_is_handed_on() -> None:
    reading = reader()
    assert joined(reading.feed(said(Opcode.TEXT, b"right") + b"\xc1\x80")) == [(1, b"right")]
    assert reading.violation == (1002, "reserved bits must be 0")


def test_frames_are_read_so_many_at_a_time_whatever_they_are() -> None:
    reading = reader()
    raw = (said(Opcode.PONG) + said(Opcode.PING, b"p") + said(Opcode.TEXT, b"t")) * FRAMES_AT_ONCE + said(Opcode.PING)[
        :3
    ]
    heard = reading.feed(raw)
    assert len(heard) < FRAMES_AT_ONCE
    turns = 1
    while reading.unread:
        heard += reading.feed(b"")
        turns += 1
    assert turns == 4
    assert heard == [WebSocketFrame(9, b"p"), WebSocketFrame(1, b"t")] * FRAMES_AT_ONCE
    assert reading.kept_bytes == 3
