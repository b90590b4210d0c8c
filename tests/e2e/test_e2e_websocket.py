"""WebSocket conversations through real processes, with the visitors and the upstream of the ``websockets`` library."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from e2e_processes import start_shaping_proxy
from e2e_stats import leaving_nothing
from e2e_topologies import Plan, Topology, make_topology, running, terminate
from e2e_visitor import Address, Visitor, run
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

HOST = "app.example.test"
MIB = 1 << 20


@dataclass
class Upstream:
    """What the upstream has seen, by the path of each conversation."""

    closes: dict[str, tuple[int, str]] = field(default_factory=dict)
    open: dict[str, ServerConnection] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(holds)

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        self.open[path] = connection
        try:
            if path.startswith("/flood"):
                while True:
                    await connection.send(bytes(64 * 1024))
            with contextlib.suppress(ConnectionClosed):
                async for message in connection:
                    await connection.send(message)
        finally:
            await connection.wait_closed()
            del self.open[path]
            self.closes[path] = (connection.close_code or 0, connection.close_reason or "")
            async with self.changed:
                self.changed.notify_all()


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/refused":
        return Response(403, "Forbidden", Headers({"X-Reason": "tea", "Content-Length": "2"}), b"no")
    return None


def choose(connection: ServerConnection, offers: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("log") if "log" in offers else None


@contextlib.asynccontextmanager
async def echoing(port: int = 0) -> AsyncIterator[tuple[Upstream, Address]]:
    upstream = Upstream()
    async with serve(
        upstream.handle, "127.0.0.1", port, select_subprotocol=choose, process_request=refuse, max_size=20 * MIB
    ) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield upstream, (host, port)
        for connection in list(upstream.open.values()):
            connection.transport.abort()


def visiting(topology: Topology, path: str, **options) -> connect:
    host, port = topology.ingress
    options = {"max_size": 20 * MIB, "compression": None, "ping_interval": None, **options}
    return connect(f"ws://{HOST}{path}", host=host, port=port, proxy=None, **options)


@pytest.fixture
def scene(transport: str, direction: str, tmp_path):
    """Run a scenario with a tunnel to an echoing upstream."""
    if transport == "direct":
        pytest.skip("a tunnel is given its upstream here")

    def play(scenario):
        async def all_of_it():
            async with echoing() as (upstream, address):
                topology = make_topology(transport, Plan(address, direction=direction), tmp_path)
                with contextlib.ExitStack() as stack:
                    await asyncio.to_thread(stack.enter_context, running(topology))
                    await scenario(topology, upstream)

        run(all_of_it())

    return play


@pytest.mark.both_ways
def test_conversation_with_everything_in_it(scene) -> None:
    async def scenario(topology: Topology, upstream: Upstream) -> None:
        async with visiting(topology, "/all", subprotocols=["other", "log"]) as visitor:
            assert visitor.subprotocol == "log"
            for message in ("text \u2603", "", b"", bytes(range(256)), "x" * 100_000, os.urandom(16 * MIB)):
                await visitor.send(message)
                assert await visitor.recv() == message
            await visitor.send(["in ", "three ", "frames"])
            assert await visitor.recv() == "in three frames"
            await (await visitor.ping())
            await visitor.close(4001, "done")
            assert (visitor.close_code, visitor.close_reason) == (4001, "done")
        await upstream.until(lambda: "/all" in upstream.closes)
        assert upstream.closes["/all"] == (4001, "done")

        with pytest.raises(InvalidStatus) as refused:
            async with visiting(topology, "/refused"):
                pass
        response = refused.value.response
        assert (response.status_code, response.headers["x-reason"], response.body) == (403, "tea", b"no")

    scene(scenario)


@pytest.mark.both_ways
def test_either_end_closes_or_vanishes(scene) -> None:
    async def scenario(topology: Topology, upstream: Upstream) -> None:
        async with leaving_nothing(topology):
            await ends(topology, upstream)

    async def ends(topology: Topology, upstream: Upstream) -> None:
        async with visiting(topology, "/closing") as visitor:
            await visitor.send("ready")
            await visitor.recv()
            await upstream.open["/closing"].close(4002, "enough")
            with pytest.raises(ConnectionClosed):
                await visitor.recv()
            assert (visitor.close_code, visitor.close_reason) == (4002, "enough")

        async with visiting(topology, "/vanishing") as visitor:
            await visitor.send("ready")
            await visitor.recv()
            upstream.open["/vanishing"].transport.abort()
            with pytest.raises(ConnectionClosed):
                await visitor.recv()
            assert visitor.close_code == 1014

        visitor = await visiting(topology, "/leaving")
        await visitor.send("ready")
        await visitor.recv()
        visitor.transport.abort()
        await upstream.until(lambda: "/leaving" in upstream.closes)
        assert upstream.closes["/leaving"][0] == 1006

    scene(scenario)


def test_stalled_reader_delays_none_of_a_hundred(scene) -> None:
    async def scenario(topology: Topology, upstream: Upstream) -> None:
        async with leaving_nothing(topology, at_once=100):
            await hundred(topology, upstream)

    async def hundred(topology: Topology, upstream: Upstream) -> None:
        async def chat(number: int, visitor: ClientConnection) -> None:
            for turn in range(10):
                message = f"{number} {turn} " * (1 + number)
                await visitor.send(message)
                assert await visitor.recv() == message

        async with contextlib.AsyncExitStack() as stack:
            stalled = await stack.enter_async_context(visiting(topology, "/flood", max_queue=1))
            visitors = [await stack.enter_async_context(visiting(topology, f"/{each}")) for each in range(99)]
            await stalled.recv()
            await asyncio.gather(*(chat(number, visitor) for number, visitor in enumerate(visitors)))
            # It was waiting all the while, and goes on when it reads.
            for _ in range(100):
                assert await stalled.recv() == bytes(64 * 1024)
            stalled.transport.abort()
        await upstream.until(lambda: len(upstream.closes) == 100)
        assert {code for path, (code, _) in upstream.closes.items() if path != "/flood"} == {1000}

    scene(scenario)


@pytest.mark.both_ways
def test_side_that_shuts_down_lets_no_socket_in_and_tells_those_inside_1001(scene, transport: str) -> None:
    if transport == "memory":
        pytest.skip("needs a process that can be told to stop")

    async def scenario(topology: Topology, upstream: Upstream) -> None:
        async with visiting(topology, "/staying") as visitor:
            await visitor.send("before")
            assert await visitor.recv() == "before"
            terminate(topology.doorkeeper)
            await _refused(topology)
            await visitor.send("during")
            assert await visitor.recv() == "during"
            terminate(topology.doorkeeper)  # a second one: at once
            with pytest.raises(ConnectionClosed):
                await visitor.recv()
            assert visitor.close_code == 1001
        await upstream.until(lambda: "/staying" in upstream.closes)
        assert upstream.closes["/staying"][0] == 1001

    scene(scenario)


async def _refused(topology: Topology) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                visitor = await Visitor.connect(topology.ingress)
            except OSError:
                return
            await visitor.leave()


@pytest.mark.both_ways
def test_conversation_outlives_its_link(scene, transport: str) -> None:
    if transport == "memory":
        pytest.skip("nothing lies between the two ends of the in-memory transport")

    async def scenario(topology: Topology, upstream: Upstream) -> None:
        proxy, near = await asyncio.to_thread(start_shaping_proxy, topology.transport_address)
        with contextlib.closing(contextlib.ExitStack()) as stack:
            stack.callback(proxy.kill)
            await asyncio.to_thread(topology.lose_client)
            await asyncio.to_thread(topology.start_client, via=near)
            await asyncio.to_thread(topology.wait_for_client)
            client = topology.processes["client"]
            async with visiting(topology, "/cut") as visitor:
                for turn in range(3):
                    said = len(client.lines)
                    await visitor.send(f"before {turn}")
                    proxy.signal(signal.SIGUSR1)
                    await visitor.send(f"after {turn}")
                    assert [await visitor.recv(), await visitor.recv()] == [f"before {turn}", f"after {turn}"]
                    await asyncio.to_thread(client.wait_for, "tunnel_resumed", after_line=said)
                await visitor.close(4000, "whole")
            await upstream.until(lambda: "/cut" in upstream.closes)
            assert upstream.closes["/cut"] == (4000, "whole")

    scene(scenario)
