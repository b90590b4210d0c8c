"""Calls of a single message, which travel as one envelope; and answers that begin with their first message."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from call_kit import UNARY, Call, answered, data, ingress, trailer
from call_upstream_kit import answering, be_patient, once, relayed
from grpc_kit import eventually, run

from tunnel.adapters.grpc import ingress_call, upstream_call
from tunnel.adapters.grpc.call_habits import CallHabits
from tunnel.domain.call_head import CallHead
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

WHOLE = GrpcFrameType.WHOLE.value
METADATA = GrpcFrameType.METADATA.value


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress_call, "_WHOLE_S", 0.0)
    monkeypatch.setattr(upstream_call, "_HEAD_S", 0.0)
    monkeypatch.setattr(upstream_call, "_OVER_S", 0.0)


async def reply(stream: Stream) -> None:
    """Answer a call with what it said."""
    head = stream.head
    assert isinstance(head, GrpcFrame)
    said = [head.data] if head.end else []
    while not head.end and isinstance(payload := await stream.receive(), GrpcFrame) and not payload.end:
        said.append(payload.data)
    for message in said:
        await stream.send(data(message))
    await stream.send(trailer())


def kinds(streams: list[Stream]) -> list[int]:
    return [stream.head.type for stream in streams if isinstance(stream.head, GrpcFrame)]


@pytest.mark.parametrize("message", [b"", b"hello", b"m" * ingress_call._WHOLE_BYTES])
def test_second_call_of_a_single_message_is_one_envelope(message: bytes) -> None:
    async def scenario() -> None:
        async with ingress(reply) as (_, target, channel):
            for _ in range(3):
                assert await once(channel, message) == [message]
        assert kinds(target.streams) == [METADATA, WHOLE, WHOLE]
        head = target.streams[1].head
        assert isinstance(head, GrpcFrame)
        assert (CallHead.of(head).message, head.end, head.carried_bytes) == (message, True, len(message))

    run(scenario)


def test_whole_call_tells_its_deadline_as_of_now() -> None:
    async def scenario() -> None:
        told: list[CallHead] = []

        async def handle(stream: Stream) -> None:
            assert isinstance(stream.head, GrpcFrame)
            told.append(CallHead.of(stream.head))
            await reply(stream)

        async with ingress(handle) as (_, _, channel):
            for _ in range(2):
                await once(channel, b"m")
        assert told[1].message == b"m"
        assert 0 < (told[1].timeout_s or 0) < 30.1

    run(scenario)


def test_message_too_large_for_a_head_comes_after_it_and_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        large = b"m" * (ingress_call._WHOLE_BYTES + 1)
        async with ingress(reply) as (_, target, channel):
            await once(channel, b"m")
            assert await once(channel, large) == [large]
        assert kinds(target.streams) == [METADATA, METADATA]

    run(scenario)


def test_call_of_more_messages_loses_none_and_ends_the_habit() -> None:
    async def scenario() -> None:
        async with ingress(reply) as (_, target, channel):
            await once(channel, b"m")
            assert await once(channel, b"1", b"2", b"3") == [b"1", b"2", b"3"]
            await once(channel, b"m")
        assert kinds(target.streams) == [METADATA] * 3

    run(scenario)


def test_call_without_messages_is_not_taken_for_one_of_a_single_message() -> None:
    async def scenario() -> None:
        async with ingress(reply) as (_, target, channel):
            await once(channel, b"m")
            assert await once(channel) == []
        assert kinds(target.streams) == [METADATA] * 2

    run(scenario)


@pytest.mark.parametrize("said", [[], [b"1"]])
def test_caller_that_goes_on_later_is_not_waited_for(said: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with ingress(reply) as (_, target, channel):
            await once(channel, b"m")
            impatient(monkeypatch)
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            for message in said:
                await call.write(message)
            await eventually(lambda: len(target.streams) == 2)
            await call.write(b"last")
            await call.done_writing()
            assert [message async for message in call] == [*said, b"last"]
        assert kinds(target.streams) == [METADATA] * 2

    run(scenario)


def test_caller_that_leaves_while_its_message_is_waited_for_is_forgotten() -> None:
    async def scenario() -> None:
        async with ingress(reply) as (listening, target, channel):
            await once(channel, b"m")
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.wait_for_connection()
            await eventually(lambda: len(listening._calls) == 1)
            call.cancel()
            await eventually(lambda: not listening._calls and not listening._readers)
        assert len(target.streams) == 1

    run(scenario)


def test_drain_cuts_off_a_call_whose_message_is_waited_for() -> None:
    async def scenario() -> None:
        async with ingress(reply) as (listening, target, channel):
            await once(channel, b"m")
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.wait_for_connection()
            await eventually(lambda: len(listening._calls) == 1)
            listening.drain(0)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert len(target.streams) == 1

    run(scenario)


def test_call_answered_before_its_end_is_no_sign_of_a_single_message() -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            await stream.receive()
            await stream.send(GrpcFrame(METADATA))
            await answered(stream)

        async with ingress(handle) as (_, target, channel):
            for _ in range(2):
                call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
                await call.write(b"m")
                await call.initial_metadata()
                await call.done_writing()
                assert await call.code() is grpc.StatusCode.OK
        assert kinds(target.streams) == [METADATA] * 2

    run(scenario)


# -- habits


def test_method_is_left_alone_for_a_while_after_a_call_was_held_up_in_vain() -> None:
    habits = CallHabits()
    assert not habits.single(b"/s/M")
    habits.saw_single(b"/s/M")
    assert habits.single(b"/s/M")
    assert not habits.single(b"/s/Other")
    habits.in_vain(b"/s/M")
    until = next(count for count in range(1000) if habits.single(b"/s/M") or habits.saw_single(b"/s/M"))
    assert until == 100


def test_made_up_methods_do_not_fill_the_memory() -> None:
    habits = CallHabits()
    for number in range(5000):
        habits.saw_single(b"/s/%d" % number)
    assert sum(habits.single(b"/s/%d" % number) for number in range(5000)) == 4096
    assert habits.single(b"/s/4999")


# -- the upstream


async def _echo(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
    async for message in messages:
        await context.write(message)


@pytest.mark.parametrize("message", [b"", b"hello"])
def test_whole_call_says_its_message_and_its_end(message: bytes) -> None:
    call = Call(call=UNARY._replace(message=message))
    relayed(_echo, call)
    assert call.sent == [data(message), trailer()]


def test_status_behind_an_only_message_comes_without_another_read() -> None:
    # Waited for longer than the test may take: it has to come by itself.
    calls = [Call(call=UNARY._replace(message=b"m")) for _ in range(3)]
    relayed(_echo, *calls)
    assert [call.sent for call in calls] == [[data(b"m"), trailer()]] * 3


def test_answer_that_has_more_messages_than_those_before_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)

    async def behave(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
        async for message in messages:
            for _ in range(message[0]):
                await context.write(message)

    calls = [Call(call=UNARY._replace(message=bytes([count]))) for count in (1, 1, 3, 1, 2)]
    relayed(behave, *calls)
    assert [len(call.messages()) for call in calls] == [1, 1, 3, 1, 2]


def test_whole_call_with_a_message_over_the_limit_is_refused() -> None:
    with pytest.raises(SessionError) as caught:
        relayed(_echo, Call(call=UNARY._replace(message=b"m" * 2000)), max_message_bytes=1999)
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_whole_call_is_not_waited_for_longer_than_its_first_byte_may_take() -> None:
    async def never(messages: object, context: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(SessionError) as caught:
        relayed(never, Call(call=UNARY._replace(message=b"m")), first_byte_timeout_s=0.02)
    assert caught.value.code is ErrorCode.UPSTREAM_TIMEOUT


def test_answer_whose_first_message_takes_its_time_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    call = Call(call=UNARY._replace(message=b"m"))

    async def behave(messages: object, context: grpc.aio.ServicerContext) -> None:
        await context.send_initial_metadata(())
        await asyncio.wait_for(call.sending.wait(), 10)
        await context.write(b"late")

    relayed(behave, call)
    assert call.sent == [GrpcFrame(METADATA), data(b"late"), trailer()]


def test_initial_metadata_come_before_the_first_message() -> None:
    async def behave(messages: object, context: grpc.aio.ServicerContext) -> None:
        await context.send_initial_metadata((("k", "v"),))
        await context.write(b"m")

    call = Call(call=UNARY._replace(message=b"m"))
    relayed(behave, call)
    assert call.sent == [GrpcFrame(METADATA, metadata=(b"k", b"v")), data(b"m"), trailer()]


def test_announcement_that_is_not_taken_ends_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    call = Call(call=UNARY._replace(message=b"m"), room=0)

    async def behave(messages: object, context: grpc.aio.ServicerContext) -> None:
        await context.send_initial_metadata(())
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with answering(behave) as upstream:
            handling = asyncio.create_task(upstream.handle(call))
            await asyncio.wait_for(call.sending.wait(), 10)
            handling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handling
            assert not [task for task in asyncio.all_tasks() if "upstream call" in task.get_name()]

    run(scenario)
