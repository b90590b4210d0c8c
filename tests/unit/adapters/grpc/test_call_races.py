"""What gRPC tells in an order that depends on the moment, told here in each of them."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from call_kit import CLOSE, UNARY, Call, data, ingress, trailer
from call_status_kit import MADE_UP, OWN, FakeCall
from call_upstream_kit import answering
from grpc_kit import eventually, run

from tunnel.adapters.grpc.ingress_call import IngressCall
from tunnel.adapters.grpc.upstream_call import UpstreamCall
from tunnel.domain.call_head import CallHead
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream


class FakeContext:
    """Of a call whose messages end at once, and that may have a deadline."""

    left_s: float | None = None

    def time_remaining(self) -> float | None:
        return self.left_s

    def peer(self) -> str:
        return "ipv6:%5B::1%5D:5000"

    async def read(self) -> object:
        return grpc.aio.EOF


@pytest.mark.parametrize("cycles", [0, 1, 2, 3])
def test_end_of_messages_that_is_the_callers_leaving_is_not_passed_on(cycles: int) -> None:
    async def scenario() -> None:
        call = IngressCall(FakeContext(), UNARY, max_message_bytes=100)  # type: ignore[arg-type]
        receiving = asyncio.create_task(call.receive())  # type: ignore[arg-type]
        reading = asyncio.create_task(call.read())
        await asyncio.sleep(0)
        for _ in range(cycles):
            await asyncio.sleep(0)
        call.close()  # what the cancelled task does
        await reading
        assert not receiving.done()
        receiving.cancel()

    run(scenario)


def test_end_of_messages_is_passed_on() -> None:
    async def scenario() -> None:
        call = IngressCall(FakeContext(), UNARY, max_message_bytes=100)  # type: ignore[arg-type]
        reading = asyncio.create_task(call.read())
        assert await call.receive() == CLOSE
        await reading

    run(scenario)


def test_deadline_is_told_as_of_now_and_made_once_a_moment() -> None:
    async def scenario() -> None:
        context = FakeContext()
        context.left_s = 10.0
        call = IngressCall(context, UNARY, max_message_bytes=100)  # type: ignore[arg-type]
        first = call.head
        context.left_s -= 0.0005

        assert call.head is first
        told = []
        for left_s in (9.5, 9.4999, 0.25, 0.0):
            context.left_s = left_s
            told.append(CallHead.of(call.head).timeout_s)
        assert CallHead.of(first).timeout_s == 10
        assert told == pytest.approx([9.5, 9.5, 0.25, 0], abs=0.0001)

    run(scenario)


@pytest.mark.parametrize("statuses", [(OWN,), (OWN, MADE_UP), (MADE_UP, OWN), (MADE_UP, MADE_UP, OWN)])
def test_status_of_the_target_is_told_from_one_that_grpc_made_up(statuses: tuple[object, ...]) -> None:
    async def scenario() -> None:
        stream = Call(data(b"m"))
        await relayed(FakeCall(*statuses), stream)  # type: ignore[arg-type]
        assert stream.sent == [
            GrpcFrame(GrpcFrameType.METADATA, metadata=(b"i", b"1")),
            GrpcFrame(GrpcFrameType.TRAILER, status=7, message="not you", metadata=(b"k", b"v")),
        ]

    run(scenario)


def test_answer_is_whole_though_the_request_could_not_be_written_any_more() -> None:
    """The target is done, and resets the stream, before its answer is read: then a write fails ahead of the status."""
    taken = asyncio.Event()

    class Stalled(Call):
        async def send(self, payload: SessionPayload) -> None:
            await taken.wait()
            await super().send(payload)

    async def answer(_: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.write(b"one")
        await context.write(b"two")
        context.set_trailing_metadata((("k", "v"),))

    def refused(stream: Call) -> bool:
        stream.feed(data(b"m"))
        return not any("call writer" in task.get_name() for task in asyncio.all_tasks())

    async def scenario() -> None:
        async with answering(answer) as upstream:
            stream = Stalled(data(b"m"))
            handling = asyncio.create_task(upstream.handle(stream))
            await eventually(lambda: any("call writer" in task.get_name() for task in asyncio.all_tasks()))
            await eventually(lambda: refused(stream))
            taken.set()
            await handling
        assert stream.messages() == [b"one", b"two"]
        assert stream.sent[-1] == GrpcFrame(GrpcFrameType.TRAILER, metadata=(b"k", b"v"))

    run(scenario)


@pytest.mark.parametrize(
    "details",
    [
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused",
        "Socket closed",
        "recvmsg:Connection reset by peer",
        "GOAWAY received; Error code: 0; Debug Text: bye",
    ],
)
def test_lost_connection_is_told_from_a_target_that_is_unavailable(details: str) -> None:
    async def scenario() -> None:
        with pytest.raises(SessionError) as caught:
            await relayed(FakeCall((grpc.StatusCode.UNAVAILABLE, details, ())), Call(data(b"m")))
        assert caught.value.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert details not in caught.value.message
        assert details in caught.value.detail
        stream = Call(data(b"m"))
        await relayed(FakeCall((grpc.StatusCode.UNAVAILABLE, "come back later", ())), stream)
        assert stream.sent[-1] == GrpcFrame(GrpcFrameType.TRAILER, status=14, message="come back later")

    run(scenario)


async def relayed(call: FakeCall, stream: Call) -> None:
    await UpstreamCall(
        call,  # type: ignore[arg-type]
        stream,
        max_message_bytes=100,
        first_byte_timeout_s=None,
        expect_single=False,
        label="grpc://a.test:1",
    ).relay()


@pytest.mark.parametrize("gathers", [False, True])
def test_end_of_messages_is_asked_for_again_unless_it_came_with_the_message(gathers: bool) -> None:
    """What gRPC's core tells of the visitor's leaving, it tells before it answers the second time."""

    class Reading(FakeContext):
        def __init__(self) -> None:
            super().__init__()
            self.reads = 0

        async def read(self) -> object:
            self.reads += 1
            return b"m" if self.reads == 1 else grpc.aio.EOF

    async def scenario() -> None:
        context = Reading()
        call = IngressCall(context, UNARY, max_message_bytes=100)  # type: ignore[arg-type]
        reading = asyncio.create_task(call.read())
        if gathers:
            await call.whole()
            assert call.head.data == b"m"
        else:
            assert await call.receive() == data(b"m")
            assert await call.receive() == CLOSE
        await reading
        assert context.reads == (2 if gathers else 3)

    run(scenario)


def test_caller_that_leaves_is_never_one_that_has_said_everything() -> None:
    async def scenario() -> None:
        async with ingress(_echo) as (listening, target, channel):
            for _ in range(50):
                call = channel.stream_stream("/s.S/Talk", None, None)(timeout=30)
                await call.write(b"m")
                assert await call.read() == b"m"
                call.cancel()
                await eventually(lambda: not listening._calls and not listening._readers)
        assert [type(each) for each in target.ended] == [asyncio.CancelledError] * 50

    run(scenario)


async def _echo(stream: Stream) -> None:
    while not (payload := await stream.receive()).end:
        await stream.send(payload)
    await stream.send(trailer())
