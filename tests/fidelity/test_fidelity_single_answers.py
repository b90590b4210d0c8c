"""A method that answered once again and again, and then does not: its calls are as they would be without a tunnel.

Answers of a single message travel together with their status once a method is known for them. Whoever counts on the
message alone must not notice.
"""

from __future__ import annotations

import asyncio
import itertools

import grpc
import grpc.aio
import pytest
from fidelity_calls import CallWire
from support.call_app import script
from support.call_observation import observe

_methods = (f"/test.v1.Any/Single{number}" for number in itertools.count())

WITHIN_S = 1.0
"""Far more than a message is kept for, and far less than a deadline."""


@pytest.fixture
def wire(call_wire: CallWire) -> CallWire:
    return call_wire


@pytest.fixture
def method(wire: CallWire) -> str:
    """A method that has answered once, several times."""
    path = next(_methods)

    async def accustom() -> None:
        for _ in range(3):
            assert await wire.tunnelled.unary_unary(path, None, None)(b"m", timeout=10) == b"m"

    wire.within(accustom())
    return path


@pytest.mark.fidelity("G-SERVER-STREAM")
def test_message_that_a_long_pause_follows_comes_before_it(wire: CallWire, method: str) -> None:
    async def call(channel: grpc.aio.Channel) -> bytes:
        made = channel.unary_stream(method, None, None)(
            b"go", timeout=20, metadata=(script(["read", 1], ["send", 5, 1], ["hang"]),)
        )
        async with asyncio.timeout(WITHIN_S):
            message = await anext(aiter(made))
        assert not made.done()
        made.cancel()
        return message

    assert wire.both(call) == (b"aaaaa", b"aaaaa")


@pytest.mark.fidelity("G-SERVER-STREAM")
@pytest.mark.parametrize("count", [0, 2, 300])
def test_other_numbers_of_messages_come_whole(wire: CallWire, method: str, count: int) -> None:
    async def call(channel: grpc.aio.Channel) -> list[bytes]:
        made = channel.unary_stream(method, None, None)(
            b"go", timeout=10, metadata=(script(["read", 1], ["send", 5, count]),)
        )
        return [message async for message in made]

    assert wire.both(call) == ([b"aaaaa"] * count,) * 2


@pytest.mark.fidelity("G-STATUS")
@pytest.mark.parametrize("number", [5, 14, 16])
def test_message_and_a_status_that_is_not_ok_both_come(wire: CallWire, method: str, number: int) -> None:
    pairs = (["trailing", [["k", "v"], ["k-bin", "\x00\xff"]]], ["status", number, "no more"])
    steps = script(["read", 1], ["send", 5, 1], *pairs)
    direct, tunnelled = wire.both(lambda channel: observe(channel, method, b"go", metadata=(steps,)))
    assert tunnelled == direct
    assert tunnelled.messages == (b"aaaaa",)


@pytest.mark.fidelity("G-INITIAL")
def test_initial_metadata_of_one_that_works_long_come_before_its_message(wire: CallWire, method: str) -> None:
    async def call(channel: grpc.aio.Channel) -> tuple[object, ...]:
        made = channel.unary_stream(method, None, None)(
            b"go", timeout=20, metadata=(script(["read", 1], ["initial", [["k", "v"]]], ["hang"]),)
        )
        async with asyncio.timeout(WITHIN_S):
            metadata = tuple(await made.initial_metadata())
        made.cancel()
        return metadata

    assert wire.both(call) == ((("k", "v"),),) * 2


@pytest.mark.fidelity("G-CANCEL-VISITOR")
def test_caller_that_leaves_behind_a_message_is_told_to_the_application(wire: CallWire, method: str) -> None:
    wire.app.calls.clear()

    async def leave() -> None:
        made = wire.tunnelled.unary_stream(method, None, None)(
            b"go", timeout=20, metadata=(script(["read", 1], ["send", 5, 1], ["hang"]),)
        )
        seen = await wire.app.call(0)
        await seen.begun.wait()
        made.cancel()
        async with asyncio.timeout(WITHIN_S):
            await seen.ended.wait()
        assert seen.cancelled

    wire.within(leave())
