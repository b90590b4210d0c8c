"""What a peer that knows nothing but gRPC sees of a link's beginning and end."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_kit import Service, connect, end_of, listening, raw_server, run

from tunnel.adapters.grpc.options import SERVICE
from tunnel.domain.errors import LinkEnd


@pytest.mark.rule("W4")
def test_server_marks_the_link_as_usable_before_anything_is_said() -> None:
    async def scenario() -> None:
        async with listening(Service()) as listener, grpc.aio.insecure_channel(listener.address) as channel:
            call = channel.stream_stream(f"/{SERVICE}/Proxy")()
            assert ("tunnel-transport", "v1") in list(await call.initial_metadata())
            call.cancel()

    run(scenario)


@pytest.mark.rule("W4")
def test_end_of_a_link_that_nothing_else_is_shown_of_tells_that_there_was_one() -> None:
    # As gRPC's client has it when it learns of the beginning and of the end at once.
    async def scenario() -> None:
        async def proxy(_: Any, context: Any) -> None:
            context.set_trailing_metadata((("tunnel-transport", "v1"),))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "aborted by this side")

        async with raw_server(proxy) as address:
            link = await connect(address)
            assert await end_of(link.receive()) is LinkEnd.BROKEN
            await link.aclose()

    run(scenario)


@pytest.mark.rule("W4")
def test_server_marks_the_end_of_a_link_as_well() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener, grpc.aio.insecure_channel(listener.address) as channel:
            call = channel.stream_stream(f"/{SERVICE}/Proxy")()
            (await service.links.get()).abort()
            assert ("tunnel-transport", "v1") in list(await call.trailing_metadata())

    run(scenario)


@pytest.mark.rule("L1")
def test_client_that_closes_in_order_says_farewell_last() -> None:
    async def scenario() -> None:
        messages: list[object] = []
        done = asyncio.Event()

        async def proxy(_: Any, context: Any) -> None:
            await context.send_initial_metadata((("tunnel-transport", "v1"),))
            while (message := await context.read()) is not grpc.aio.EOF:
                messages.append(message)
            done.set()

        async with raw_server(proxy) as address:
            link = await connect(address)
            await link.aclose()
            await done.wait()
        assert messages == [bytes.fromhex("f8 7f 01")]

    run(scenario)


@pytest.mark.rule("L1")
@pytest.mark.parametrize(("farewell", "end"), [("f87f01", LinkEnd.ENDED), ("", LinkEnd.BROKEN)])
def test_half_that_closes_is_an_orderly_end_only_after_a_farewell(farewell: str, end: LinkEnd) -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener, grpc.aio.insecure_channel(listener.address) as channel:
            call = channel.stream_stream(f"/{SERVICE}/Proxy")()
            await call.initial_metadata()
            server = await service.links.get()
            if farewell:
                await call.write(bytes.fromhex(farewell))
            await call.done_writing()
            assert await end_of(server.receive()) is end
            service.let_go()

    run(scenario)
