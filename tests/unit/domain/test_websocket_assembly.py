"""Messages from pieces, and the pieces that are of none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.envelopes import WebSocketFrame
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.kinds import WebSocketOpcode
from tunnel.domain.websocket_assembly import MessageAssembly

TEXT, BINARY = WebSocketOpcode.TEXT.value, WebSocketOpcode.BINARY.value
MORE = WebSocketOpcode.CONTINUATION.value


def code_of(assembly: MessageAssembly, frame: WebSocketFrame) -> ErrorCode:
    with pytest.raises(SessionError) as caught:
        assembly.add(frame)
    return caught.value.code


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_message_is_its_pieces_joined_however_it_was_cut(message: bytes, cuts: list[int]) -> None:
    assembly = MessageAssembly(40)
    ends = [*sorted(min(cut, len(message)) for cut in cuts), len(message)]
    for _ in range(2):
        begin, found = 0, None
        for number, end in enumerate(ends):
            assert found is None
            opcode = MORE if number else BINARY
            found = assembly.add(WebSocketFrame(opcode, message[begin:end], fin=number == len(ends) - 1))
            begin = end
        assert found == message


def test_text_is_text_and_bytes_are_bytes() -> None:
    assembly = MessageAssembly(100)
    assert assembly.add(WebSocketFrame(TEXT, "é".encode())) == "é"
    assert assembly.add(WebSocketFrame(BINARY, b"\xff")) == b"\xff"
    # A character may lie in two pieces.
    assert assembly.add(WebSocketFrame(TEXT, b"\xc3", fin=False)) is None
    assert assembly.add(WebSocketFrame(MORE, b"\xa9")) == "é"


@pytest.mark.parametrize("frame", [WebSocketFrame(MORE, b"x"), WebSocketFrame(MORE, b"x", fin=False)])
def test_nothing_is_continued_before_something_has_begun(frame: WebSocketFrame) -> None:
    assembly = MessageAssembly(10)
    assert code_of(assembly, frame) is ErrorCode.PROTOCOL_ERROR
    assembly.add(WebSocketFrame(TEXT, b"a"))
    assert code_of(assembly, frame) is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [TEXT, BINARY, WebSocketOpcode.CLOSE.value, WebSocketOpcode.PING.value, 3])
def test_nothing_comes_between_the_pieces_of_a_message(opcode: int) -> None:
    assembly = MessageAssembly(10)
    assert assembly.add(WebSocketFrame(TEXT, b"a", fin=False)) is None
    assert code_of(assembly, WebSocketFrame(opcode, b"b")) is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [WebSocketOpcode.CLOSE.value, WebSocketOpcode.PONG.value, 3])
def test_what_is_no_data_begins_no_message(opcode: int) -> None:
    assert code_of(MessageAssembly(10), WebSocketFrame(opcode, b"")) is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("pieces", [(11,), (5, 6), (10, 1), (4, 4, 3)])
def test_message_has_a_greatest_size_over_all_its_pieces(pieces: tuple[int, ...]) -> None:
    assembly = MessageAssembly(10)
    for number, size in enumerate(pieces[:-1]):
        assert assembly.add(WebSocketFrame(MORE if number else BINARY, b"x" * size, fin=False)) is None
    last = WebSocketFrame(BINARY if len(pieces) == 1 else MORE, b"x" * pieces[-1])
    assert code_of(assembly, last) is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("pieces", [(10,), (4, 6), (10, 0)])
def test_message_of_the_greatest_size_is_taken_and_the_next_too(pieces: tuple[int, ...]) -> None:
    assembly = MessageAssembly(10)
    for _ in range(2):
        for number, size in enumerate(pieces):
            last = number == len(pieces) - 1
            found = assembly.add(WebSocketFrame(MORE if number else BINARY, b"x" * size, fin=last))
        assert found == b"x" * 10


def test_text_that_is_not_utf_8_is_a_mistake_and_spoils_no_other_message() -> None:
    assembly = MessageAssembly(10)
    assert code_of(assembly, WebSocketFrame(TEXT, b"\xff")) is ErrorCode.PROTOCOL_ERROR
    assert assembly.add(WebSocketFrame(BINARY, b"\xff")) == b"\xff"
