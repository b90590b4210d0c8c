from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio
import pytest
from call_kit import CLOSE, answered, data, ingress, trailer
from grpc_kit import eventually, run

from tunnel.adapters.grpc import ingress as module
from tunnel.adapters.grpc import options
from tunnel.adapters.grpc.ingress import GrpcIngress
from tunnel.adapters.grpc.options import SERVER_OPTIONS
from tunnel.domain.call_head import CallHead
from tunnel.domain.configuration import GrpcIngressSettings
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpResponse
from tunnel.domain.errors import ErrorCode, ListenError, SessionError
from tunnel.ports.target import Stream


async def failure(call: grpc.aio.Call) -> tuple[grpc.StatusCode, str, tuple[object, ...]]:
    # gRPC keeps the status behind messages that nobody reads.
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError:
        pass
    return await call.code(), await call.details(), tuple(await call.trailing_metadata() or ())


def start(channel: grpc.aio.Channel, method: str = "/s.S/M", **more: object) -> grpc.aio.StreamStreamCall:
    return channel.stream_stream(method, None, None)(timeout=10, **more)


def test_opening_tells_service_method_metadata_host_and_deadline() -> None:
    async def scenario() -> None:
        async with ingress(answered, host="calls.test") as (_, target, channel):
            call = channel.stream_stream("/a.b.S/M", None, None)
            made = call(timeout=3, metadata=(("x", "1"), ("y-bin", b"\xff")))
            await made.done_writing()
            assert await made.code() is grpc.StatusCode.OK
            head = target.streams[0].head
            assert isinstance(head, GrpcFrame)
            call = CallHead.of(head)
            metadata = dict(zip(call.metadata[::2], call.metadata[1::2], strict=True))
            assert metadata.pop(b"user-agent")
            assert metadata == {b"x": b"1", b"y-bin": b"\xff", b"x-forwarded-for": b"127.0.0.1"}
            assert (call.service, call.method, call.host) == ("a.b.S", "M", b"calls.test")
            assert call.timeout_s is not None
            assert 1 < call.timeout_s < 3.1  # gRPC rounds up what it sends

    run(scenario)


def test_deadline_is_told_as_of_when_the_head_is_asked_for() -> None:
    async def scenario() -> None:
        seen: list[float] = []

        async def handle(stream: Stream) -> None:
            for _ in range(2):
                assert isinstance(stream.head, GrpcFrame)
                seen.append(CallHead.of(stream.head).timeout_s or 0)
                await asyncio.sleep(0.05)
            await answered(stream)

        async with ingress(handle) as (_, _, channel):
            call = start(channel)
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
        assert seen[0] - seen[1] >= 0.04

    run(scenario)


def test_reads_one_message_ahead_and_no_more() -> None:
    async def scenario() -> None:
        async with ingress(lambda stream: asyncio.Event().wait()) as (_, target, channel):  # type: ignore[arg-type,return-value]
            call = start(channel)
            for _ in range(3):
                await call.write(b"m" * 10)
            await eventually(lambda: bool(target.streams))
            stream = target.streams[0]
            assert await stream.receive() == data(b"m" * 10)
            assert await stream.receive() == data(b"m" * 10)
            call.cancel()
            await eventually(lambda: bool(target.ended))

    run(scenario)


def test_receiving_that_is_cancelled_loses_nothing() -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            for _ in range(3):
                receiving = asyncio.create_task(stream.receive())  # type: ignore[arg-type]
                await asyncio.sleep(0)
                receiving.cancel()
                await asyncio.wait([receiving])
            await stream.send(data(b"now"))
            assert await stream.receive() == data(b"m")
            assert await stream.receive() == CLOSE
            await stream.send(trailer())

        async with ingress(handle) as (_, _, channel):
            call = start(channel)
            assert await call.read() == b"now"
            await call.write(b"m")
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK

    run(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        [HttpResponse(200)],
        [data(b"1"), GrpcFrame(GrpcFrameType.METADATA)],
        [data(b"1", more=True), trailer()],
        [GrpcFrame(GrpcFrameType.ERROR)],
        [CLOSE],
        [GrpcFrame(GrpcFrameType.METADATA, metadata=(b"BAD", b"1"))],
        [GrpcFrame(GrpcFrameType.TRAILER, metadata=(b"x", b"\n"))],
    ],
)
def test_answer_that_is_none_to_a_call_is_internal(answer: list[GrpcFrame]) -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            for payload in answer:
                await stream.send(payload)

        async with ingress(handle) as (_, _, channel):
            code, _, trailing = await failure(start(channel))
            assert (code, trailing) == (grpc.StatusCode.INTERNAL, (("tunnel-error", "protocol_error"),))

    run(scenario)


def test_status_of_an_application_does_not_look_like_a_failure_of_the_tunnel() -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            metadata = (b"a", b"1", b"tunnel-error", b"no_client")
            await stream.send(GrpcFrame(GrpcFrameType.TRAILER, status=14, metadata=metadata))

        async with ingress(handle) as (_, _, channel):
            code, _, trailing = await failure(start(channel))
            assert (code, trailing) == (grpc.StatusCode.UNAVAILABLE, (("a", "1"),))

    run(scenario)


def test_target_that_does_not_answer_or_fails_is_internal(caplog: pytest.LogCaptureFixture) -> None:
    async def nothing(stream: Stream) -> None:
        return

    async def broken(stream: Stream) -> None:
        raise ValueError("a secret")

    async def scenario() -> None:
        for handle in (nothing, broken):
            async with ingress(handle) as (_, _, channel):
                code, details, _ = await failure(start(channel))
                assert code is grpc.StatusCode.INTERNAL
                assert "secret" not in details

    with caplog.at_level(logging.CRITICAL, "tunnel.ingress"):
        run(scenario)


def test_reset_ends_a_call_whose_caller_does_not_read() -> None:
    async def scenario() -> None:
        blocked = asyncio.Event()

        async def handle(stream: Stream) -> None:
            async def reset() -> None:
                await blocked.wait()
                stream.reset(SessionError(ErrorCode.OVERLOADED, "enough"))

            resetting = asyncio.create_task(reset())
            try:
                while True:
                    blocked.set()
                    await stream.send(data(b"m" * 1_000_000))
            finally:
                await resetting

        async with ingress(handle) as (_, target, channel):
            call = start(channel)
            await call.done_writing()
            await call.initial_metadata()
            await eventually(lambda: bool(target.ended))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    run(scenario)


def test_leaving_caller_cancels_the_target() -> None:
    async def scenario() -> None:
        async with ingress(lambda stream: asyncio.Event().wait()) as (_, target, channel):  # type: ignore[arg-type,return-value]
            call = start(channel)
            await call.write(b"m")
            await eventually(lambda: bool(target.streams))
            call.cancel()
            await eventually(lambda: bool(target.ended))
            assert isinstance(target.ended[0], asyncio.CancelledError)

    run(scenario)


def test_drain_lets_calls_finish_and_takes_no_more() -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def handle(stream: Stream) -> None:
            await go.wait()
            await answered(stream, [b"done"])

        async with ingress(handle) as (listening, target, channel):
            call = start(channel)
            await call.done_writing()
            await eventually(lambda: bool(target.streams))
            listening.drain(10)
            await asyncio.sleep(0)
            async with grpc.aio.insecure_channel(
                listening.address, options=(("grpc.use_local_subchannel_pool", 1),)
            ) as late:
                assert await start(late).code() is grpc.StatusCode.UNAVAILABLE
            go.set()
            assert await call.read() == b"done"
            assert await call.code() is grpc.StatusCode.OK

    run(scenario)


@pytest.mark.parametrize("grace_s", [0, 10])
def test_callers_of_a_server_that_shuts_down_are_not_told_of_a_cancellation(
    monkeypatch: pytest.MonkeyPatch, grace_s: float
) -> None:
    monkeypatch.setattr(module, "_LAST_CALLS_S", (5.0, 5.0))  # no less on a machine that is busy
    monkeypatch.setattr(module, "_QUIET_S", (0.1, 0.2))

    async def handle(stream: Stream) -> None:
        if stream.head.end:  # type: ignore[union-attr]
            await stream.send(trailer())
        else:
            await answered(stream)

    def call_on(address: str) -> grpc.StatusCode:
        """Call until that fails, by a connection and in a thread of its own; how it failed."""
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            begin = channel.stream_stream("/s.S/M")
            while True:
                try:
                    assert list(begin(iter([b"m"]), timeout=10)) == []
                except grpc.RpcError as exc:
                    code: grpc.StatusCode = exc.code()
                    return code

    async def scenario() -> None:
        async with ingress(handle) as (listening, target, _):
            with ThreadPoolExecutor(30) as pool:
                loop = asyncio.get_running_loop()
                callers = [loop.run_in_executor(pool, call_on, listening.address) for _ in range(30)]
                await eventually(lambda: len(target.streams) > 100)
                listening.drain(grace_s)
                assert {*await asyncio.gather(*callers)} == {grpc.StatusCode.UNAVAILABLE}

    run(scenario)


@pytest.mark.parametrize("grace_s", [0, 10])
def test_callers_who_try_again_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch, grace_s: float) -> None:
    monkeypatch.setattr(module, "_LAST_CALLS_S", (0.05, 0.05))
    monkeypatch.setattr(module, "_QUIET_S", (60.0, 60.0))

    async def scenario() -> None:
        async with ingress(answered) as (listening, target, channel):
            call = start(channel)
            await eventually(lambda: bool(target.streams))
            listening.drain(grace_s)
            await call.done_writing()
            assert await call.code() is (grpc.StatusCode.OK if grace_s else grpc.StatusCode.UNAVAILABLE)

    run(scenario)


def test_server_that_is_to_stop_at_once_while_it_refuses_the_last_calls_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_CALLS_S", (0.05, 3600.0))
    monkeypatch.setattr(module, "_QUIET_S", (3600.0, 3600.0))

    async def scenario() -> None:
        async with ingress(lambda stream: asyncio.Event().wait()) as (listening, target, channel):  # type: ignore[arg-type,return-value]
            call = start(channel)
            await eventually(lambda: bool(target.streams))
            listening.drain(3600)
            late = start(channel)
            assert await late.code() is grpc.StatusCode.UNAVAILABLE
            listening.drain(0)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE

    run(scenario)


@pytest.mark.parametrize("grace_s", [0, 0.1])
def test_calls_that_outlive_the_grace_are_unavailable(grace_s: float) -> None:
    async def scenario() -> None:
        async with ingress(lambda stream: asyncio.Event().wait()) as (listening, target, channel):  # type: ignore[arg-type,return-value]
            call = start(channel)
            await call.write(b"m")
            await eventually(lambda: bool(target.streams))
            listening.drain(grace_s)
            code, _, trailing = await failure(call)
            assert (code, trailing) == (grpc.StatusCode.UNAVAILABLE, (("tunnel-error", "peer_lost"),))
            assert isinstance(target.ended[0], asyncio.CancelledError)

    run(scenario)


def test_other_settings_hold_from_the_next_call_on() -> None:
    async def scenario() -> None:
        async with ingress(answered, host="one.test") as (listening, target, channel):
            for host in ("one.test", "other.test"):
                call = start(channel)
                await call.done_writing()
                assert await call.code() is grpc.StatusCode.OK
                head = target.streams[-1].head
                assert isinstance(head, GrpcFrame)
                assert CallHead.of(head).host == host.encode()
                listening.follow(GrpcIngress(GrpcIngressSettings(listen="127.0.0.1:0", host="other.test")))

    run(scenario)


def test_address_that_is_taken_shows_when_it_is_bound() -> None:
    one = GrpcIngress(GrpcIngressSettings(listen="127.0.0.1:0"))
    one.bind()
    with pytest.raises(ListenError):
        GrpcIngress(GrpcIngressSettings(listen=one.address)).bind()
    one.drain(0)
    other = GrpcIngress(GrpcIngressSettings(listen=one.address))
    other.bind()
    other.drain(0)


def test_metadata_over_the_limit_is_resource_exhausted() -> None:
    async def scenario() -> None:
        async with ingress(answered, max_header_bytes=2048) as (_, target, channel):
            call = start(channel, metadata=(("x", "1" * 4000),))
            assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert target.streams == []

    run(scenario)


def test_one_connection_does_not_get_all_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.adapters.grpc.options._VISITOR_CALLS", 3)

    async def scenario() -> None:
        let_go = asyncio.Event()

        async def handle(stream: Stream) -> None:
            await let_go.wait()
            await answered(stream)

        async with ingress(handle) as (listening, target, channel):
            calls = [start(channel) for _ in range(20)]
            closing = [asyncio.create_task(call.done_writing()) for call in calls]
            await eventually(lambda: len(target.streams) >= 3)
            async with grpc.aio.insecure_channel(
                listening.address, options=(("grpc.use_local_subchannel_pool", 1),)
            ) as other:
                calls.append(start(other))
                await calls[-1].done_writing()
                await eventually(lambda: len(target.streams) >= 4)
                assert len(target.streams) == 4
                let_go.set()
                assert [await call.code() for call in calls] == [grpc.StatusCode.OK] * 21
                await asyncio.wait(closing)

    run(scenario)


def test_compressed_message_is_refused_by_what_it_inflates_to() -> None:
    async def scenario() -> None:
        async with ingress(answered, max_message_bytes=100_000) as (_, _, channel):
            call = start(channel, compression=grpc.Compression.Gzip)
            await call.write(bytes(90_000))
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
            bomb = start(channel, compression=grpc.Compression.Gzip)
            await bomb.write(bytes(1_000_000))
            code, details, _ = await failure(bomb)
            # gRPC before 1.83.1 inflates the whole first, and says so in other words.
            assert (code, details) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "Decompressed message larger than max",
            )

    run(scenario)


def test_calls_are_counted_over_all_servers_of_an_ingress(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with ingress(lambda stream: asyncio.Event().wait()) as (_, target, channel):  # type: ignore[arg-type,return-value]
            call = start(channel)
            await call.done_writing()
            await eventually(lambda: bool(target.streams))
            monkeypatch.setattr("tunnel.adapters.grpc.ingress._CALLS", 1)
            code, _, trailing = await failure(start(channel))
            assert (code, trailing) == (grpc.StatusCode.RESOURCE_EXHAUSTED, (("tunnel-error", "overloaded"),))
            call.cancel()

    run(scenario)


def test_connections_beyond_the_bound_are_closed_and_one_that_leaves_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound = dict(SERVER_OPTIONS)["grpc.max_allowed_incoming_connections"]
    assert ("grpc.max_allowed_incoming_connections", bound) == options._CONNECTIONS
    monkeypatch.setattr(options, "_CONNECTIONS", (options._CONNECTIONS[0], 2))

    async def scenario() -> None:
        async with ingress(answered) as (listening, _, _):
            host, _, port = listening.address.rpartition(":")

            async with contextlib.AsyncExitStack() as stack, asyncio.timeout(5):

                async def visit() -> tuple[bool, asyncio.StreamWriter]:
                    reader, writer = await asyncio.open_connection(host, int(port))
                    stack.callback(writer.close)
                    return bool(await reader.read(1)), writer

                visits = [await visit() for _ in range(3)]
                assert [greeted for greeted, _ in visits] == [True, True, False]
                visits[0][1].close()
                while not (await visit())[0]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    run(scenario)
