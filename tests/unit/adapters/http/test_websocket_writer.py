from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.adapters.http.websocket_reader import PIECE_BYTES, WebSocketReader
from tunnel.adapters.http.websocket_writer import WebSocketWriter
from tunnel.domain.envelopes import WebSocketFrame
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.mux.pieces import split
from tunnel.domain.websocket_assembly import MessageAssembly

TEXT, BINARY, CONTINUATION, CLOSE = 1, 2, 0, 8


@given(
    st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 3 * PIECE_BYTES).map(bytes)), max_size=4),
    st.integers(300, 70_000),
    st.booleans(),
)
def test_messages_in_pieces_are_the_same_messages_written(payloads: list[bytes], limit: int, masked: bool) -> None:
    writing = WebSocketWriter(masked=masked)
    reading = WebSocketReader(masked=masked, max_message_bytes=1 << 24)
    assembly = MessageAssembly(1 << 24)
    raw = b"".join(
        writing.write(piece)  # type: ignore[arg-type]
        for payload in payloads
        for piece in split(WebSocketFrame(BINARY, payload), limit)
    )

    messages = [assembly.add(frame) for frame in reading.feed(raw)]

    assert [message for message in messages if message is not None] == payloads


def test_small_message_in_pieces_is_one_frame() -> None:
    writing = WebSocketWriter(masked=False)

    assert writing.write(WebSocketFrame(TEXT, b"a", fin=False)) == b""
    assert writing.write(WebSocketFrame(CONTINUATION, b"", fin=False)) == b""
    assert writing.write(WebSocketFrame(CONTINUATION, b"b")) == b"\x81\x02ab"
    assert writing.write(WebSocketFrame(TEXT, b"next")) == b"\x81\x04next"


def test_large_message_is_not_kept_until_it_is_whole() -> None:
    writing = WebSocketWriter(masked=False)
    piece = bytes(40_000)

    assert writing.write(WebSocketFrame(BINARY, piece, fin=False)) == b""
    assert writing.write(WebSocketFrame(CONTINUATION, piece, fin=False))[:2] == b"\x02\x7f"
    assert writing.write(WebSocketFrame(CONTINUATION, piece))[:2] == b"\x80\x7e"


def test_empty_pieces_do_not_pile_up() -> None:
    writing = WebSocketWriter(masked=False)
    writing.write(WebSocketFrame(BINARY, b"", fin=False))
    for _ in range(1000):
        writing.write(WebSocketFrame(CONTINUATION, b"", fin=False))

    assert not writing._held
    assert writing.write(WebSocketFrame(CONTINUATION)) == b"\x82\x00"


def test_masks_differ_from_frame_to_frame() -> None:
    writing = WebSocketWriter(masked=True)
    assert len({writing.write(WebSocketFrame(TEXT, b"x"))[2:6] for _ in range(20)}) > 1


@pytest.mark.parametrize(
    "frames",
    [
        [WebSocketFrame(CONTINUATION, b"x")],
        [WebSocketFrame(TEXT, b"x", fin=False), WebSocketFrame(TEXT, b"x")],
        [WebSocketFrame(9, b"ping")],
        [WebSocketFrame(10, b"pong")],
        [WebSocketFrame(3, b"x")],
        [WebSocketFrame(CLOSE, b"\x03")],
        [WebSocketFrame(CLOSE, b"\x03\xed")],
        [WebSocketFrame(CLOSE, b"\x03\xe8" + bytes(124))],
        [WebSocketFrame(CLOSE, b"\x03\xe8\xff")],
    ],
)
def test_what_a_peer_may_not_send_is_refused(frames: list[WebSocketFrame]) -> None:
    writing = WebSocketWriter(masked=False)
    *before, last = frames
    for frame in before:
        writing.write(frame)
    with pytest.raises(SessionError) as caught:
        writing.write(last)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([WebSocketFrame(CONTINUATION, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([WebSocketFrame(TEXT, b"x", fin=False), WebSocketFrame(BINARY, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([WebSocketFrame(9)], ErrorCode.PROTOCOL_ERROR),
        ([WebSocketFrame(TEXT, b"\xff")], ErrorCode.PROTOCOL_ERROR),
        ([WebSocketFrame(BINARY, bytes(6), fin=False), WebSocketFrame(CONTINUATION, bytes(5))], ErrorCode.TOO_LARGE),
    ],
)
def test_what_cannot_be_put_together_is_refused(frames: list[WebSocketFrame], code: ErrorCode) -> None:
    assembly = MessageAssembly(10)
    *before, last = frames
    for frame in before:
        assembly.add(frame)
    with pytest.raises(SessionError) as caught:
        assembly.add(last)
    assert caught.value.code is code


@pytest.mark.parametrize("take", [WebSocketWriter(masked=True).write, MessageAssembly(1 << 20).add])
def test_message_in_tiny_pieces_is_kept_in_hardly_more_memory_than_its_size(
    take: Callable[[WebSocketFrame], object],
) -> None:
    take(WebSocketFrame(BINARY, b"", fin=False))
    tracemalloc.start()
    try:
        for number in range(10_000):
            take(WebSocketFrame(CONTINUATION, bytes((number & 0xFF, 1)), fin=False))
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 2 * 20_000
