"""Listeners that somebody asks for what makes gRPC's servers give up listening."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import grpc.aio
import pytest
from call_kit import answered, data, ingress, trailer
from grpc_kit import Service, chunk, connect, eventually, listening, run

from tunnel.adapters.grpc.standing_server import StandingServer
from tunnel.domain.errors import ListenError
from tunnel.ports.target import Stream

OK = grpc.StatusCode.OK
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 50),
)


async def ask_for_no_text(address: str) -> None:
    """Ask for a path that is not UTF-8."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call = channel.stream_stream(b"/\xff.S/M", None, None)(timeout=5)  # type: ignore[arg-type]
        await call.done_writing()
        assert await call.code() is not OK


async def answer(address: str) -> grpc.StatusCode:
    """The status of a call that is made when somebody listens."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call = channel.stream_stream("/s.S/M", None, None)(timeout=5, wait_for_ready=True)
        await call.done_writing()
        with suppress(grpc.aio.AioRpcError):
            async for _ in call:
                pass
        return await call.code()


def test_ingress_listens_on_and_calls_under_way_go_on() -> None:
    async def scenario() -> None:
        async def handle(stream: Stream) -> None:
            await stream.send(data(b"begun"))
            await answered(stream, [b"done"])

        async with ingress(handle) as (entrance, target, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=10)
            assert await call.read() == b"begun"
            for _ in range(2):
                await ask_for_no_text(entrance.address)
                assert await answer(entrance.address) is OK
            await call.done_writing()
            assert await call.read() == b"done"
            assert await call.code() is OK
            assert target.ended == [None] * 3

    run(scenario)


def test_transport_listens_on_and_links_last() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener:
            clients, links = [], []
            for seq in (1, 2):
                clients.append(await connect(listener.address))
                links.append(await service.links.get())
                await ask_for_no_text(listener.address)
                assert await answer(listener.address) is grpc.StatusCode.UNIMPLEMENTED
                await clients[0].send(chunk(seq))
                assert await links[0].receive() == chunk(seq)
            service.let_go()
            for client in clients:
                await client.aclose()

    run(scenario)


@pytest.mark.parametrize("grace_s", [0, 10])
def test_stopping_ends_the_calls_of_those_that_gave_up_too(grace_s: float) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def handle(stream: Stream) -> None:
            await go.wait()
            await stream.send(trailer())

        async with ingress(handle) as (entrance, target, channel):
            call = channel.stream_stream("/s.S/M", None, None)(timeout=10)
            await call.done_writing()
            await eventually(lambda: len(target.streams) == 1)
            await ask_for_no_text(entrance.address)
            go.set()
            await answer(entrance.address)
            go.clear()
            call = channel.stream_stream("/s.S/M", None, None)(timeout=10)
            await call.done_writing()
            await eventually(lambda: len(target.streams) == 3)
            await ask_for_no_text(entrance.address)
            entrance.drain(grace_s)
            if grace_s:
                go.set()
            assert await call.code() is (OK if grace_s else grpc.StatusCode.UNAVAILABLE)

    run(scenario)


def test_address_that_is_taken_for_a_moment_is_tried_again() -> None:
    async def scenario() -> None:
        makes: list[str] = []

        def make() -> grpc.aio.Server:
            makes.append("")
            if len(makes) in (2, 3):
                raise ListenError("127.0.0.1:1", "taken")
            server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
            makes[-1] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            return server

        standing = StandingServer(make)
        await standing.start()
        await ask_for_no_text(makes[0])
        if grpc.__version__ < "1.84":
            await standing.stop(0)
            pytest.skip("gRPC before 1.84 does not give up")
        await eventually(lambda: len(makes) == 4 and bool(makes[3]))
        assert await answer(makes[3]) is grpc.StatusCode.UNIMPLEMENTED
        await standing.stop(0)
        await standing.stop(0)

    run(scenario)


def test_start_at_an_address_that_is_taken_is_a_listen_error() -> None:
    async def scenario() -> None:
        def make() -> grpc.aio.Server:
            raise ListenError("127.0.0.1:1", "taken")

        standing = StandingServer(make)
        with pytest.raises(ListenError):
            await standing.start()
        await standing.stop(0)

    run(scenario)
