from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import pytest
from grpc_kit import Service, chunk, connect, end_of, eventually, listening, raw_server, received, run

from tunnel.adapters.grpc import transport
from tunnel.adapters.grpc.codec import encode_frame
from tunnel.adapters.grpc.options import TRANSPORT_METADATA
from tunnel.adapters.grpc.transport import GrpcTransport
from tunnel.domain.errors import LinkEnd, LinkError


async def failure(url: str, *, timeout_s: float = 5.0) -> LinkError:
    with pytest.raises(LinkError) as caught:
        await GrpcTransport().connect(url, timeout_s=timeout_s)
    return caught.value


@pytest.mark.rule("L3")
def test_connect_refused_is_unreachable() -> None:
    async def scenario() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            error = await failure(f"grpc://127.0.0.1:{unused.getsockname()[1]}")
        assert error.end is LinkEnd.UNREACHABLE
        assert "refused" in error.reason

    run(scenario)


@pytest.mark.rule("L3")
def test_server_without_the_service_is_unreachable() -> None:
    async def scenario() -> None:
        async with raw_server(None) as address:
            error = await failure(f"grpc://{address}")
        assert error.end is LinkEnd.UNREACHABLE
        assert "UNIMPLEMENTED" in error.reason

    run(scenario)


@pytest.mark.rule("L4")
@pytest.mark.parametrize(
    ("code", "end"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, LinkEnd.REFUSED),
        (grpc.StatusCode.PERMISSION_DENIED, LinkEnd.REFUSED),
        (grpc.StatusCode.UNAVAILABLE, LinkEnd.UNREACHABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, LinkEnd.UNREACHABLE),
    ],
)
@pytest.mark.parametrize("early", [True, False], ids=["status alone", "metadata first"])
def test_status_before_the_link_is_usable(code: grpc.StatusCode, end: LinkEnd, early: bool) -> None:
    async def proxy(_: Any, context: Any) -> None:
        if not early:
            await context.send_initial_metadata(())
        await context.abort(code, "because")

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            error = await failure(f"grpc://{address}")
        assert (error.end, error.reason) == (end, f"gRPC {code.name}: because")

    run(scenario)


@pytest.mark.rule("W4")
def test_server_that_does_not_mark_its_metadata_is_usable() -> None:
    async def proxy(_: Any, context: Any) -> None:
        await context.send_initial_metadata(())
        await context.write(await context.read())

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            link = await connect(address)
            await link.send(chunk(7))
            assert await link.receive() == chunk(7)
            assert await end_of(link.receive()) is LinkEnd.ENDED
            await link.aclose()

    run(scenario)


@pytest.mark.rule("W4")
def test_link_is_usable_though_something_on_the_way_holds_the_metadata_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nginx does over TLS, until more follows."""
    monkeypatch.setattr(transport, "_SILENT_S", 0.05)

    async def proxy(_: Any, context: Any) -> None:
        first = await context.read()
        await context.send_initial_metadata((TRANSPORT_METADATA,))
        await context.write(first)

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            link = await connect(address)
            await link.send(chunk(7))
            assert await link.receive() == chunk(7)
            await link.aclose()

    run(scenario)


def test_refusal_that_comes_late_is_told_by_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_SILENT_S", 0.05)

    async def proxy(_: Any, context: Any) -> None:
        await context.read()
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "because")

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            link = await connect(address)
            await link.send(chunk(7))
            assert await end_of(link.receive()) is LinkEnd.REFUSED
            await link.aclose()

    run(scenario)


def test_server_that_never_answers_times_out() -> None:
    async def proxy(_: Any, context: Any) -> None:
        await context.read()

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            error = await failure(f"grpc://{address}", timeout_s=0.2)
        assert (error.end, error.reason) == (LinkEnd.UNREACHABLE, "no answer within 0.2 s")

    run(scenario)


def test_port_that_accepts_and_says_nothing_times_out() -> None:
    async def scenario() -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            error = await failure(f"grpc://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
        assert error.end is LinkEnd.UNREACHABLE

    run(scenario)


def test_cancelled_connect_leaves_nothing() -> None:
    async def proxy(_: Any, context: Any) -> None:
        reached.set()
        await context.read()

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            connecting = asyncio.create_task(connect(address))
            await reached.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting

    reached = asyncio.Event()
    run(scenario)


@pytest.mark.parametrize("given_up", ["when its time is over", "by its caller", "at once, refused"])
def test_connect_that_fails_has_ended_what_grpc_runs_for_it(given_up: str) -> None:
    """What gRPC's core says later would meet a closed event loop, and disturb the next one that uses gRPC."""

    async def scenario() -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            if given_up != "at once, refused":
                silent.listen()
            others = asyncio.all_tasks()
            connecting = asyncio.create_task(connect(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05))
            if given_up == "by its caller":
                await eventually(lambda: len(asyncio.all_tasks() - others) == 3)
                connecting.cancel()
            with pytest.raises((LinkError, asyncio.CancelledError)):
                await connecting
            assert asyncio.all_tasks() == others

    run(scenario)


@pytest.mark.parametrize(
    "url",
    [
        *("grpc://", "grpc://host", "grpc://:7000", "grpc://host:port", "grpc://host:70000"),
        *("grpc://host:7000/path", "grpc://user@host:7000", "grpc://[::1:7000"),
        *("grpcs://host:7000", "ws://host:7000"),
    ],
)
def test_unusable_url_is_unreachable(url: str) -> None:
    async def scenario() -> None:
        assert (await failure(url)).end is LinkEnd.UNREACHABLE

    run(scenario)


def test_peers_name_each_other() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener:
            client = await connect(listener.address)
            server = await service.links.get()
            assert client.peer.address == listener.address
            assert server.peer.address.startswith("127.0.0.1:")
            await client.aclose()

    run(scenario)


def test_link_that_ends_at_once_still_tells_what_it_was_told() -> None:
    async def proxy(_: Any, context: Any) -> None:
        await context.send_initial_metadata((TRANSPORT_METADATA,))
        await context.write(encode_frame(chunk(1)))

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            link = await connect(address)
            assert await received(link) == ([1], LinkEnd.ENDED)
            await link.aclose()

    run(scenario)
