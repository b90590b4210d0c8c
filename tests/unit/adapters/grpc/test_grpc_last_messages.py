"""Only messages of answers, sent together with the status: how long they wait for it, and what they survive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import pytest
from call_kit import UNARY, Call, data, ingress, trailer
from call_upstream_kit import answering, be_patient, once, relayed
from grpc_kit import eventually, run

from tunnel.adapters.grpc import ingress_call, upstream_call
from tunnel.adapters.grpc.upstream import GrpcUpstream
from tunnel.adapters.grpc.upstream_call import UpstreamCall
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

METADATA = GrpcFrameType.METADATA.value
NOT_FOUND = (grpc.StatusCode.NOT_FOUND.value[0], "gone")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_call, "_HEAD_S", 0.01)
    monkeypatch.setattr(upstream_call, "_OVER_S", 0.01)


def calls(*messages: bytes) -> list[Call]:
    return [Call(call=UNARY._replace(message=message)) for message in messages]


# -- at the upstream


async def _reply(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
    """Answer with the message, unless it says something else."""
    async for message in messages:
        if message == b"metadata":
            await context.send_initial_metadata((("k", "v"),))
        await context.write(message)
        if message == b"twice":
            await context.write(message)
        if message == b"fails":
            await context.abort(grpc.StatusCode.NOT_FOUND, "gone")


def test_message_of_a_method_that_answers_once_goes_with_the_status() -> None:
    first, *others = calls(b"m", b"m", b"")
    relayed(_reply, first, *others)
    assert first.together == []
    assert [call.together for call in others] == [[(data(b"m"), trailer())], [(data(b""), trailer())]]
    assert [call.sent for call in (first, *others)] == [[data(m), trailer()] for m in (b"m", b"m", b"")]


def test_message_before_a_status_that_is_not_ok_goes_with_it() -> None:
    _, failing = expected = calls(b"m", b"fails")
    relayed(_reply, *expected)
    assert failing.together == [(data(b"fails"), trailer(*NOT_FOUND))]


HEAD = GrpcFrame(METADATA, metadata=(b"k", b"v"))


def test_initial_metadata_go_with_the_message_that_waits() -> None:
    first, second = both = calls(b"metadata", b"metadata")
    relayed(_reply, *both)
    assert first.sent == second.sent == [HEAD, data(b"metadata"), trailer()]
    assert (first.together, second.together) == ([], [(HEAD, data(b"metadata"), trailer())])


def test_initial_metadata_of_a_call_without_messages_go_with_the_status() -> None:
    async def behave(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
        async for message in messages:
            if message == b"m":
                await context.write(message)
            else:
                await context.send_initial_metadata((("k", "v"),))
                await context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    _, call = both = calls(b"m", b"none")
    relayed(behave, *both)
    assert call.together == [(HEAD, trailer(*NOT_FOUND))]


def test_initial_metadata_are_not_kept_longer_than_the_news_of_any_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    _, call = both = calls(b"m", b"late")

    async def behave(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
        async for message in messages:
            if message == b"late":
                await context.send_initial_metadata((("k", "v"),))
                await asyncio.wait_for(call.sending.wait(), 10)
            await context.write(message)

    relayed(behave, *both)
    assert call.sent == [HEAD, data(b"late"), trailer()]


def test_message_that_others_follow_goes_before_them_and_ends_the_habit(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    said = calls(b"m", b"twice", b"m")
    relayed(_reply, *said)
    assert [call.messages() for call in said] == [[b"m"], [b"twice", b"twice"], [b"m"]]
    assert [call.sent[-1] for call in said] == [trailer()] * 3
    assert [call.together for call in said] == [[], [], []]


def test_message_that_a_long_pause_follows_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    usual, paused = said = calls(b"m", b"pause")

    async def behave(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
        async for message in messages:
            await context.write(message)
            if message == b"pause":
                # As long as it takes: the message has to get there meanwhile.
                await eventually(lambda: paused.messages() == [b"pause"])

    relayed(behave, *said)
    assert (usual.together, paused.together) == ([], [])
    assert paused.sent[-2:] == [data(b"pause"), trailer()]


def test_late_message_that_a_long_pause_follows_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    usual, paused = said = calls(b"m", b"pause")

    async def behave(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
        async for message in messages:
            if message == b"pause":
                await context.send_initial_metadata(())
                await asyncio.wait_for(paused.sending.wait(), 10)
            await context.write(message)
            if message == b"pause":
                await eventually(lambda: paused.messages() == [b"pause"])

    relayed(behave, *said)
    assert usual.messages() == [b"m"]
    assert paused.sent == [GrpcFrame(METADATA), data(b"pause"), trailer()]


def upstream(
    behaviour: Callable[..., Awaitable[None]], scenario: Callable[[GrpcUpstream], Awaitable[None]], **settings: object
) -> None:
    """Run ``scenario`` with an upstream that answers by ``behaviour`` and knows its method as one that answers once."""

    async def running() -> None:
        async with answering(behaviour, **settings) as target:
            (usual,) = calls(b"m")
            await target.handle(usual)
            await scenario(target)
            assert not [task for task in asyncio.all_tasks() if "upstream call" in task.get_name()]

    run(running)


async def _hang_behind(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
    async for message in messages:
        await context.write(message)
        if message == b"hang":
            await asyncio.Event().wait()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a message waits for its status."""
    event = asyncio.Event()
    over_soon = UpstreamCall._over_soon

    async def noted(self: UpstreamCall) -> bool:
        event.set()
        return await over_soon(self)

    monkeypatch.setattr(UpstreamCall, "_over_soon", noted)
    return event


def test_call_that_is_cancelled_while_its_message_waits_sends_nothing(waiting: asyncio.Event) -> None:
    async def scenario(target: GrpcUpstream) -> None:
        (call,) = calls(b"hang")
        handling = asyncio.create_task(target.handle(call))
        await waiting.wait()
        handling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handling
        assert call.sent == []

    upstream(_hang_behind, scenario)


def test_message_is_sent_before_the_news_that_the_upstream_was_lost(waiting: asyncio.Event) -> None:
    async def scenario(target: GrpcUpstream) -> None:
        (call,) = calls(b"hang")
        handling = asyncio.create_task(target.handle(call))
        await waiting.wait()
        await target.aclose()
        with pytest.raises(SessionError) as caught:
            await handling
        assert caught.value.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert call.sent == [data(b"hang")]

    upstream(_hang_behind, scenario)


def test_initial_metadata_are_sent_before_the_news_that_the_upstream_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()
    note = UpstreamCall._begun

    def noted(self: UpstreamCall) -> None:
        begun.set()
        note(self)

    async def behave(messages: grpc.aio.ServicerContext, context: grpc.aio.ServicerContext) -> None:
        async for message in messages:
            if message == b"hang":
                await context.send_initial_metadata((("k", "v"),))
                await asyncio.Event().wait()
            await context.write(message)

    async def scenario(target: GrpcUpstream) -> None:
        monkeypatch.setattr(UpstreamCall, "_begun", noted)
        (call,) = calls(b"hang")
        handling = asyncio.create_task(target.handle(call))
        await begun.wait()
        await target.aclose()
        with pytest.raises(SessionError) as caught:
            await handling
        assert caught.value.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert call.sent == [HEAD]

    upstream(behave, scenario)


# -- at the ingress


def concluding(*payloads: GrpcFrame) -> Callable[[Stream], Awaitable[None]]:
    async def handle(stream: Stream) -> None:
        while not stream.head.end and not (await stream.receive()).end:
            pass
        await stream.conclude(*payloads)

    return handle


@pytest.mark.parametrize("size", [0, 1, ingress_call._FIRST_BYTES, ingress_call._FIRST_BYTES + 1])
def test_message_and_status_reach_the_visitor(size: int) -> None:
    async def scenario() -> None:
        async with ingress(concluding(data(b"m" * size), trailer())) as (_, target, channel):
            for _ in range(3):
                assert await once(channel, b"q") == [b"m" * size]
        assert target.ended == [None] * 3

    run(scenario)


def test_message_reaches_the_visitor_before_a_status_that_is_not_ok() -> None:
    async def scenario() -> None:
        async with ingress(concluding(data(b"m"), trailer(*NOT_FOUND))) as (_, _, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.done_writing()
            answers = aiter(call)
            assert await anext(answers) == b"m"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(answers)
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "gone")

    run(scenario)


def test_initial_metadata_come_before_what_concludes() -> None:
    async def scenario() -> None:
        head = GrpcFrame(METADATA, metadata=(b"k", b"v"))
        async with ingress(concluding(head, data(b"m"), trailer())) as (_, _, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.done_writing()
            assert tuple(await call.initial_metadata()) == (("k", "v"),)
            assert [message async for message in call] == [b"m"]

    run(scenario)


def test_message_in_parts_is_joined_with_the_last_part() -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            while not (await stream.receive()).end:
                pass
            await stream.send(data(b"be", more=True))
            await stream.conclude(data(b"gun"), trailer())

        async with ingress(handle) as (_, _, channel):
            assert await once(channel, b"q") == [b"begun"]

    run(scenario)


@pytest.mark.parametrize(
    "payloads", [(trailer(), trailer()), (data(b"m", more=True), trailer()), (trailer(), data(b"m"))]
)
def test_conclusion_that_is_none_fails_the_call(payloads: tuple[GrpcFrame, ...]) -> None:
    async def scenario() -> None:
        async with ingress(concluding(*payloads)) as (_, _, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.done_writing()
            assert await call.code() is not grpc.StatusCode.OK

    run(scenario)


def test_too_large_a_last_message_fails_the_call_whole() -> None:
    async def scenario() -> None:
        async with ingress(concluding(data(b"m" * 2000), trailer()), max_message_bytes=1999) as (_, _, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(scenario)


def test_target_that_fails_after_its_conclusion_fails_the_call() -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            await stream.conclude(data(b"m"), trailer())
            raise SessionError(ErrorCode.INTERNAL, "it failed")

        async with ingress(handle) as (_, _, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.INTERNAL

    run(scenario)


def test_call_that_is_concluded_is_not_cut_off_by_a_drain() -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            while not (await stream.receive()).end:
                pass
            await stream.conclude(data(b"m"), trailer())
            listening.drain(0)
            for _ in range(10):
                await asyncio.sleep(0)

        async with ingress(handle) as (listening, _, channel):
            assert await once(channel, b"q") == [b"m"]

    run(scenario)


def test_visitor_that_leaves_before_the_conclusion_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        concluded = asyncio.Event()

        async def handle(stream: Stream) -> None:
            await stream.receive()
            await stream.conclude(data(b"m"), trailer())
            concluded.set()
            await asyncio.Event().wait()

        async with ingress(handle) as (listening, _, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=30)
            await call.write(b"q")
            await asyncio.wait_for(concluded.wait(), 10)
            call.cancel()
            await eventually(lambda: not listening._calls and not listening._readers)

    run(scenario)
