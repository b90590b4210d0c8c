"""gRPC calls through real processes: each the same as when it is made directly."""

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from e2e_stats import leaving_nothing
from e2e_topologies import Plan, Topology, make_topology, running
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.call_app import CallApp, script
from support.call_observation import Observation, observe

from tunnel.domain.configuration.addresses import authority

pytestmark = pytest.mark.usefixtures("requires_tunnel")

DEADLINE_S = 60
LARGE = bytes(range(256)) * 40_000

Caller = Callable[[grpc.aio.Channel], Awaitable[Observation]]

CALLS: dict[str, Caller] = {
    "unary": lambda channel: observe(channel, "/a.v1.S/Unary", b"m"),
    "10 MB both ways": lambda channel: observe(channel, "/a.v1.S/Unary", LARGE),
    "client streaming": lambda channel: observe(
        channel, "/a.v1.S/Up", *[b"m" * 1000] * 200, metadata=(script(["read-all"], ["send", 1, 1]),)
    ),
    "server streaming": lambda channel: observe(channel, "/a.v1.S/Down", metadata=(script(["send", 1000, 500]),)),
    "metadata": lambda channel: observe(
        channel,
        "/a.v1.S/Unary",
        metadata=(
            ("x", "1"),
            ("x", "2"),
            ("y-bin", b"\x00\xff"),
            script(["initial", [["i", "1"], ["i-bin", "\xff"]]], ["trailing", [["t", "1"], ["t", "2"]]], ["echo"]),
        ),
        greeted=True,
    ),
    "deadline": lambda channel: observe(channel, "/a.v1.S/Wait", metadata=(script(["hang"]),), timeout_s=0.3),
    **{
        f"status {code.name}": lambda channel, code=code: observe(
            channel, "/a.v1.S/Unary", b"m", metadata=(script(["read-all"], ["status", code.value[0], "why"]),)
        )
        for code in grpc.StatusCode
    },
}


@contextlib.asynccontextmanager
async def through(
    transport: str, direction: str, upstream: tuple[str, int], directory: object
) -> AsyncIterator[tuple[Topology, CallApp, grpc.aio.Channel, grpc.aio.Channel]]:
    """A tunnel to an application in this process, and channels to both."""
    app = CallApp()
    await app.start()
    topology = make_topology(transport, Plan(upstream, direction=direction, calls_port=app.port), directory)
    entered = running(topology)
    # Processes are waited for by blocking.
    await asyncio.to_thread(entered.__enter__)
    try:
        address = authority(*topology.calls)
        options = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{app.port}", options=options) as direct,
            grpc.aio.insecure_channel(address, options=options) as tunnelled,
        ):
            yield topology, app, direct, tunnelled
    finally:
        await asyncio.to_thread(entered.__exit__, None, None, None)
        await app.stop()


def run(work: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await work

    asyncio.run(bounded())


async def refused(address: tuple[str, int]) -> None:
    """Return once nobody listens there.

    Asked without gRPC: a call that comes at the moment its server stops listening may hang until its deadline, also one
    made directly.
    """
    while True:
        try:
            _, writer = await asyncio.open_connection(*address)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def unnamed(seen: Observation) -> Observation:
    """Without the name of the call, which its answer has besides."""
    assert "x-request-id" in dict(seen.trailing) or seen.code is grpc.StatusCode.DEADLINE_EXCEEDED
    return replace(seen, trailing=tuple(pair for pair in seen.trailing if pair[0] != "x-request-id"))


@pytest.mark.both_ways
def test_calls_are_the_same_as_when_they_are_made_directly(transport, direction, upstream, tmp_path):
    async def work() -> None:
        async with through(transport, direction, upstream, tmp_path) as (topology, app, direct, tunnelled):
            await observe(tunnelled, "/a.v1.S/Unary", b"m")  # gRPC opens files of its own, most of them now
            async with leaving_nothing(topology, at_once=4):
                seen = {name: (await call(direct), unnamed(await call(tunnelled))) for name, call in CALLS.items()}
            assert {name: other for name, (_, other) in seen.items()} == {name: one for name, (one, _) in seen.items()}
            assert {other.code for _, other in seen.values()} == set(grpc.StatusCode)

            stubs = [health_pb2_grpc.HealthStub(channel) for channel in (direct, tunnelled)]
            one, other = [await stub.Check(health_pb2.HealthCheckRequest(), timeout=10) for stub in stubs]
            assert other == one

            app.calls.clear()
            leaving = tunnelled.stream_stream("/a.v1.S/Wait", None, None)(
                None, metadata=(script(["read", 1], ["hang"]),)
            )
            await leaving.write(b"m")
            waiting = await app.call()
            await waiting.begun.wait()
            left = time.monotonic()
            leaving.cancel()
            await waiting.ended.wait()
            assert waiting.cancelled
            assert time.monotonic() - left < 1

    run(work())


def test_calls_at_once_keep_apart(transport, direction, upstream, tmp_path):
    async def work() -> None:
        async with through(transport, direction, upstream, tmp_path) as (topology, _, _, tunnelled):

            async def one(number: int) -> None:
                messages = [b"%d-%d" % (number, index) for index in range(10)]
                seen = await observe(tunnelled, "/a.v1.S/Talk", *messages, timeout_s=30)
                assert seen.messages == tuple(messages)

            await one(0)
            async with leaving_nothing(topology, at_once=100):
                for _ in range(3):
                    await asyncio.gather(*map(one, range(100)))

    run(work())


@pytest.mark.both_ways
def test_side_where_calls_enter_lets_them_finish_when_it_is_told_to_stop(transport, direction, upstream, tmp_path):
    if transport == "memory":
        pytest.skip("the host of both ends stops otherwise")

    async def work() -> None:
        async with through(transport, direction, upstream, tmp_path) as (topology, app, _, tunnelled):
            call = tunnelled.stream_stream("/a.v1.S/Talk", None, None)(None, timeout=20)
            await call.write(b"1")
            assert await call.read() == b"1"
            doorkeeper = topology.doorkeeper
            address = authority(*topology.calls)
            doorkeeper.signal(signal.SIGTERM)
            await refused(topology.calls)
            async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
                assert (await observe(channel, "/a.v1.S/Unary", b"m")).code is grpc.StatusCode.UNAVAILABLE
            await call.write(b"2")
            assert await call.read() == b"2"
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
            assert await asyncio.to_thread(doorkeeper.wait, 20) == 0, doorkeeper.output
            assert not re.search(r"Traceback|ERROR", doorkeeper.output)
            assert app.calls[0].half_closed

    run(work())
