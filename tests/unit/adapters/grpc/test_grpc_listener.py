from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_kit import Service, chunk, connect, end_of, listening, run

from tunnel.adapters.grpc._generated import tunnel_pb2 as pb
from tunnel.adapters.grpc.codec import encode_frame
from tunnel.adapters.grpc.listener import GrpcListener
from tunnel.adapters.grpc.options import SERVICE
from tunnel.domain.envelopes import ConfigSyncRequest, Register, RegisterResponse
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, ListenError, RegistrationRefused
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link


def blocking_stub(channel: grpc.Channel, method: str, request: type, response: type) -> Any:
    open_method = channel.stream_stream if method == "Proxy" else channel.unary_unary
    return open_method(f"/{SERVICE}/{method}", request.SerializeToString, response.FromString)


def held_open(frame: Any, answered: threading.Event) -> Iterator[Any]:
    yield frame
    answered.wait(5)


def test_plain_stubs_can_call_every_method() -> None:
    answered = threading.Event()

    def call(address: str) -> tuple[Any, Any, list[Any]]:
        with grpc.insecure_channel(address) as channel:
            register = blocking_stub(channel, "Register", pb.Register, pb.RegisterResponse)
            config_sync = blocking_stub(channel, "ConfigSync", pb.ConfigSyncRequest, pb.ConfigSyncResponse)
            proxy = blocking_stub(channel, "Proxy", pb.TunnelFrame, pb.TunnelFrame)
            replies = proxy(held_open(pb.TunnelFrame(seq=1, ack=7), answered), timeout=5)
            frames = [next(replies)]
            return (
                register(pb.Register(versions=[1], client_id="c", group_id="g", credential="secret"), timeout=5),
                config_sync(pb.ConfigSyncRequest(client_id="c", group_id="g"), timeout=5),
                [*frames, *replies],
            )

    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener:
            calling = asyncio.create_task(asyncio.to_thread(call, listener.address))
            server = await service.links.get()
            await server.send(chunk(2))
            assert (await server.receive()).ack == 7
            answered.set()
            # A half that is closed without a word is a loss as far as anybody can tell.
            assert await end_of(server.receive()) is LinkEnd.BROKEN
            registered, synced, frames = await calling
        assert registered.tunnel_id == "tunnel"
        assert (synced.version, synced.hash, synced.snapshot) == (3, "hash", b"{}")
        assert [frame.SerializeToString() for frame in frames] == [encode_frame(chunk(2))]
        ((request, peer),) = service.registered
        assert request == Register((1,), "c", "g", b"", "secret")
        assert peer.transport == "grpc"
        assert service.asked == [ConfigSyncRequest("c", "g", "")]

    run(scenario)


@pytest.mark.parametrize("method", ["Register", "ConfigSync"])
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.UNAUTHENTICATED, grpc.StatusCode.UNAUTHENTICATED),
        (ErrorCode.FORBIDDEN, grpc.StatusCode.PERMISSION_DENIED),
        (ErrorCode.PROTOCOL_ERROR, grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_refusals_become_statuses(method: str, code: ErrorCode, status: grpc.StatusCode) -> None:
    async def scenario() -> None:
        async with (
            listening(Service(RegistrationRefused(code, "so it is"))) as listener,
            grpc.aio.insecure_channel(listener.address) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{SERVICE}/{method}")(b"")
        assert (caught.value.code(), caught.value.details()) == (status, f"{code.value}: so it is")

    run(scenario)


@pytest.mark.parametrize("method", ["Register", "ConfigSync"])
def test_malformed_request_is_an_invalid_argument(method: str) -> None:
    async def scenario() -> None:
        async with listening(Service()) as listener, grpc.aio.insecure_channel(listener.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{SERVICE}/{method}")(b"\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(scenario)


def test_failing_service_tells_nothing_of_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Service):
        async def proxy(self, link: Link) -> None:
            raise ValueError("10.0.0.7 is down")

        async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
            raise ValueError("10.0.0.7 is down")

    async def scenario() -> None:
        async with listening(Failing()) as listener, grpc.aio.insecure_channel(listener.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(f"/{SERVICE}/Register")(b"")
            assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")
            client = await connect(listener.address)
            with pytest.raises(LinkError) as broken:
                await client.receive()
            assert broken.value.end is LinkEnd.BROKEN
            assert "10.0.0.7" not in str(broken.value)
            await client.aclose()

    with caplog.at_level(logging.ERROR):
        run(scenario)
    assert [record.name for record in caplog.records] == ["tunnel.adapters.grpc.unary", "tunnel.adapters.grpc.listener"]


def test_calls_above_the_limit_are_refused_and_a_slot_is_free_again() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service, max_calls=1) as listener:
            first = await connect(listener.address)
            server = await service.links.get()
            assert await end_of(connect(listener.address)) is LinkEnd.UNREACHABLE
            await first.aclose()
            await server.aclose()
            while True:
                try:
                    second = await connect(listener.address)
                    break
                except LinkError:
                    continue
            await second.aclose()

    run(scenario)


def test_serving_an_address_twice_is_a_listen_error() -> None:
    async def scenario() -> None:
        async with listening(Service()) as listener:
            with pytest.raises(ListenError) as caught:
                GrpcListener(listener.address).bind()
        assert caught.value.address == listener.address
        assert "in use" in caught.value.reason

    run(scenario)


def test_address_is_free_again_after_serving() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener:
            client = await connect(listener.address)
            await service.links.get()
        again = GrpcListener(listener.address)
        again.bind()
        again.stop()
        await client.aclose()

    run(scenario)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "nowhere.invalid:0", "192.0.2.1:0", f"{'x' * 70}.test:0"]
)
def test_address_that_cannot_be_had_is_a_listen_error(listen: str) -> None:
    with pytest.raises(ListenError) as caught:
        GrpcListener(listen).bind()
    assert caught.value.address == listen
    assert caught.value.reason


def test_address_is_as_configured_with_the_real_port() -> None:
    listener = GrpcListener("localhost:0")
    listener.bind()
    host, _, port = listener.address.rpartition(":")
    assert host == "localhost"
    assert int(port) > 0
    listener.stop()


def test_ipv6_addresses_work() -> None:
    async def scenario() -> None:
        service = Service()
        listener = GrpcListener("[::1]:0")
        listener.bind()
        started = asyncio.Event()
        serving = asyncio.create_task(listener.serve(service, started.set))
        await started.wait()
        client = await connect(listener.address)
        server = await service.links.get()
        assert server.peer.address.startswith("[::1]:")
        await client.aclose()
        listener.stop()
        await serving

    run(scenario)


@pytest.mark.parametrize("method", ["Register", "Proxy"])
def test_compressed_messages_are_refused_before_they_are_inflated(method: str) -> None:
    async def scenario() -> None:
        async with listening(Service()) as listener, grpc.aio.insecure_channel(listener.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{SERVICE}/{method}")(
                    bytes(100_000), compression=grpc.Compression.Gzip, timeout=10
                )
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "gzip" in (caught.value.details() or "")

    run(scenario)
