"""What calls are made of: metadata, messages, statuses."""

from __future__ import annotations

import tracemalloc

import pytest
from grpc import StatusCode

from tunnel.adapters.grpc.call_messages import MessageAssembly
from tunnel.adapters.grpc.call_metadata import block_of, metadata_of, without
from tunnel.adapters.grpc.call_status import FAILURE_STATUS, STATUS_OF_NUMBER, failure_text
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType
from tunnel.domain.errors import ErrorCode, SessionError


def data(piece: bytes, *, more: bool = False) -> GrpcFrame:
    return GrpcFrame(GrpcFrameType.DATA, data=piece, more=more)


def test_metadata_keep_order_repetition_and_bytes() -> None:
    pairs = (("a", "1"), ("b-bin", b"\x00\xff"), ("a", "2"))
    block = (b"a", b"1", b"b-bin", b"\x00\xff", b"a", b"2")
    assert block_of(pairs) == block
    assert metadata_of(block) == pairs
    assert metadata_of(()) == ()


def test_what_the_library_says_of_itself_is_left_to_it() -> None:
    block = (b"user-agent", b"me", b"grpc-timeout", b"1S", b"te", b"trailers", b"x", b"1", b"grpc-trace-bin", b"\x01")
    assert metadata_of(block) == (("x", "1"), ("grpc-trace-bin", b"\x01"))


@pytest.mark.parametrize(
    "key", [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host"]
)
def test_what_belongs_to_a_connection_is_left_out(key: bytes) -> None:
    assert metadata_of((b"x", b"1", key, b"chunked")) == (("x", "1"),)


@pytest.mark.parametrize(
    "block",
    [(b"Upper", b"1"), (b":path", b"/"), (b"", b"1"), (b"x y", b"1"), (b"x", b"a\nb"), (b"x", b"\xff"), (b"\xc3", b"")],
)
def test_metadata_that_grpc_would_choke_on_are_refused(block: tuple[bytes, ...]) -> None:
    with pytest.raises(SessionError) as caught:
        metadata_of(block)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


def test_keys_are_taken_out_wherever_they_are() -> None:
    block = (b"a", b"1", b"b", b"2", b"a", b"3")
    assert without(block, frozenset({b"a"})) == (b"b", b"2")
    assert without(block, frozenset({b"1"})) is block


def test_messages_are_put_together_and_empty_ones_are_messages_too() -> None:
    assembly = MessageAssembly(10)
    assert assembly.add(data(b"")) == b""
    assert assembly.add(data(b"ab", more=True)) is None
    assert assembly.open
    assert assembly.add(data(b"cd", more=True)) is None
    assert assembly.add(data(b"")) == b"abcd"
    assert not assembly.open
    assert assembly.add(data(b"0123456789")) == b"0123456789"


@pytest.mark.parametrize("pieces", [[11], [5, 6], [10, 1], [4, 4, 4]])
def test_message_over_the_limit_is_refused_before_more_of_it_is_kept(pieces: list[int]) -> None:
    assembly = MessageAssembly(10)
    *fitting, last = pieces
    for size in fitting:
        assembly.add(data(b"x" * size, more=True))
    with pytest.raises(SessionError) as caught:
        assembly.add(data(b"x" * last, more=True))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_message_in_small_parts_takes_no_more_memory_than_its_bytes() -> None:
    parts = [data(number.to_bytes(2, "big"), more=True) for number in range(10_000)]
    assembly = MessageAssembly(1 << 20)
    tracemalloc.start()
    try:
        while parts:
            assembly.add(parts.pop())
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 2 * 20_000
    message = assembly.add(data(b""))
    assert message is not None
    assert message[-4:] == b"\x00\x01\x00\x00"


def test_empty_parts_that_never_end_are_refused() -> None:
    with pytest.raises(SessionError) as caught:
        MessageAssembly(10).add(data(b"", more=True))
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


def test_every_code_and_every_number_has_a_status() -> None:
    assert set(FAILURE_STATUS) == set(ErrorCode)
    assert {number: code.value[0] for number, code in STATUS_OF_NUMBER.items()} == {n: n for n in range(17)}
    assert FAILURE_STATUS[ErrorCode.ROUTE_NOT_FOUND] is StatusCode.UNIMPLEMENTED


def test_failure_tells_its_message_or_else_its_code_and_never_its_detail() -> None:
    assert failure_text(SessionError(ErrorCode.NO_CLIENT, "nobody", detail="10.0.0.1")) == "nobody"
    assert failure_text(SessionError(ErrorCode.NO_CLIENT, detail="10.0.0.1")) == "no client"
