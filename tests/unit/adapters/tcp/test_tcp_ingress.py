"""The TCP ingress: whom it lets in, what it tells of them, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from tcp_kit import END, LOOPS, Running, echo, holds, serving

from tunnel.adapters.tcp.ingress import TcpIngress
from tunnel.domain.envelopes import BodyChunk, Trailers
from tunnel.domain.errors import ErrorCode, ListenError, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


async def wait_for_ever(stream: Stream) -> None:
    await asyncio.get_running_loop().create_future()


async def test_head_tells_upstream_and_both_addresses() -> None:
    async with serving(echo) as run:
        visitor = await run.visitor()
        await visitor.say(b"x")
        assert await visitor.take(1) == b"x"
        (head,) = run.target.heads
        host, port = visitor.socket.getsockname()

    assert (head.upstream, head.original_dst, head.peer, head.end) == (
        "test",
        run.ingress.address,
        f"{host}:{port}",
        False,
    )


async def test_target_is_called_before_anything_is_said() -> None:
    async def greet(stream: Stream) -> None:
        await stream.send(BodyChunk(b"220 hello\r\n", end=True))

    async with serving(greet) as run:
        visitor = await run.visitor()
        assert await visitor.rest() == b"220 hello\r\n"


async def test_what_was_written_last_arrives_before_the_end() -> None:
    data = bytes(range(256)) * 8192

    async def pour(stream: Stream) -> None:
        await stream.receive()
        await stream.send(BodyChunk(data))
        await stream.send(END)

    async with serving(pour) as run:
        visitor = await run.visitor(receive_bytes=4096)
        visitor.half_close()
        assert await visitor.rest() == data


async def fails(stream: Stream) -> None:
    raise SessionError(ErrorCode.NO_CLIENT, "no client is connected")


async def breaks(stream: Stream) -> None:
    raise RuntimeError("broken")


async def returns(stream: Stream) -> None:
    return


async def returns_midway(stream: Stream) -> None:
    await stream.send(BodyChunk(b"begun"))


async def fails_after_the_end(stream: Stream) -> None:
    await stream.send(END)
    raise SessionError(ErrorCode.PEER_LOST, "lost")


async def resets(stream: Stream) -> None:
    stream.reset(SessionError(ErrorCode.CANCELLED, "enough"))
    with pytest.raises(SessionError):
        await stream.receive()
    with pytest.raises(SessionError):
        await stream.send(END)


async def says_what_is_no_tcp(stream: Stream) -> None:
    await stream.send(Trailers())


@pytest.mark.parametrize("script", [fails, breaks, returns, returns_midway, resets, says_what_is_no_tcp])
async def test_conversation_that_does_not_end_in_order_is_reset(script, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        async with serving(script) as run:
            visitor = await run.visitor()
            assert await visitor.was_reset()
            await holds(lambda: not run.ingress._visits)


async def test_failure_after_the_end_is_told_too() -> None:
    async with serving(fails_after_the_end) as run:
        visitor = await run.visitor()
        await holds(lambda: run.target.heads != [] and not run.target.running)
        assert await visitor.is_broken()


async def test_visitor_that_resets_cancels_its_target() -> None:
    async with serving(wait_for_ever) as run:
        visitor = await run.visitor()
        await holds(lambda: run.target.running == 1)
        visitor.reset()
        await holds(lambda: run.target.cancelled == 1)


async def test_visitor_that_resets_at_once_leaves_nothing() -> None:
    async with serving(wait_for_ever) as run:
        for _ in range(50):
            visitor = await run.visitor()
            visitor.reset()
        await holds(lambda: run.target.running == 0 and not run.ingress._visits)


async def test_visitor_beyond_the_limit_is_reset_until_another_leaves() -> None:
    async with serving(echo, max_connections=2) as run:
        inside = [await run.visitor() for _ in range(2)]
        for each in inside:
            await each.say(b"x")
            await each.take(1)

        assert await (await run.visitor()).was_reset()
        inside[0].half_close()
        assert await inside[0].rest() == b""
        await holds(lambda: len(run.ingress._visits) == 1)

        another = await run.visitor()
        await another.say(b"y")
        assert await another.take(1) == b"y"


async def test_successor_is_followed_by_the_next_visitor() -> None:
    async with serving(echo) as run:
        first = await run.visitor()
        await first.say(b"x")
        await first.take(1)
        run.ingress.follow(TcpIngress("127.0.0.1:0", name="tcp-new", upstream="new", max_connections=1))
        await first.say(b"y")
        assert await first.take(1) == b"y"

        assert await (await run.visitor()).was_reset()
        first.half_close()
        assert await first.rest() == b""
        await holds(lambda: not run.ingress._visits)
        second = await run.visitor()
        await second.say(b"x")
        await second.take(1)

    assert [head.upstream for head in run.target.heads] == ["test", "new"]
    assert run.ingress.name == "tcp-new"


# -- ends


async def test_drain_lets_those_inside_finish_and_nobody_in() -> None:
    async with serving(echo) as run:
        visitor = await run.visitor()
        await visitor.say(b"x")
        await visitor.take(1)
        run.ingress.drain(60)
        await asyncio.sleep(0)
        assert await refuses(run)

        await visitor.say(b"y")
        assert await visitor.take(1) == b"y"
        visitor.half_close()
        assert await visitor.rest() == b""
        await run.served()


async def refuses(run: Running) -> bool:
    """Whether, before long, nobody is let in any more."""
    for _ in range(100):
        try:
            (await run.visitor()).close()
        except ConnectionRefusedError:
            return True
        await asyncio.sleep(0)
    return False


@pytest.mark.parametrize("graces", [(0.0,), (0.02,), (60.0, 0.0)])
async def test_drain_resets_those_who_are_still_inside(graces: tuple[float, ...]) -> None:
    async with serving(wait_for_ever) as run:
        visitor = await run.visitor()
        await holds(lambda: run.target.running == 1)
        for grace_s in graces:
            run.ingress.drain(grace_s)
        await run.served()

        assert await visitor.was_reset()
        assert (run.target.running, run.target.cancelled) == (0, 1)


async def test_drain_before_it_serves_gives_the_address_back() -> None:
    ingress = TcpIngress("127.0.0.1:0", name="tcp-test", upstream="test")
    ingress.bind()
    ingress.drain(60)
    await ingress.serve(run_of_nobody(), lambda: pytest.fail("it serves"))

    with socket.create_server(("127.0.0.1", int(ingress.address.rpartition(":")[2]))):
        pass


def run_of_nobody():
    class Nobody:
        async def handle(self, stream: Stream) -> None: ...

    return Nobody()


async def test_cancelled_it_closes_everything() -> None:
    async with serving(wait_for_ever) as run:
        visitors = [await run.visitor() for _ in range(3)]
        await holds(lambda: run.target.running == 3)
        run.serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.serving

        assert [await each.was_reset() for each in visitors] == [True] * 3
        assert run.target.running == 0


async def test_address_in_use_is_a_listen_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ingress = TcpIngress(f"127.0.0.1:{taken.getsockname()[1]}", name="tcp-test", upstream="test")
        with pytest.raises(ListenError, match="cannot listen on 127"):
            ingress.bind()


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "host.invalid:0"])
async def test_address_that_is_none_is_a_listen_error(listen: str) -> None:
    with pytest.raises(ListenError):
        TcpIngress(listen, name="tcp-test", upstream="test").bind()


# -- whatever happens, whenever


async def talk(stream: Stream) -> None:
    """Every kind of waiting that a target does, one after the other."""
    for _ in range(3):
        chunk = await stream.receive()
        await stream.send(BodyChunk(chunk.data))
    await stream.send(BodyChunk(bytes(1 << 24)))
    await stream.send(END)
    await stream.receive()


async def play(run: Running, step: int) -> None:
    """A visitor's part in ``talk``, up to ``step``."""
    visitor = run.visitors[0]
    for _ in range(min(step, 3)):
        await visitor.say(b"x")
        assert await visitor.take(1) == b"x"
    if step > 3:
        await visitor.hear()


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("fate", ["reset", "close", "drain", "cancel"])
async def test_whatever_ends_it_leaves_nothing(step: int, fate: str) -> None:
    async with serving(talk) as run:
        visitor = await run.visitor()
        await play(run, step)
        match fate:
            case "reset":
                visitor.reset()
            case "close":
                visitor.close()
            case "drain":
                run.ingress.drain(0)
            case "cancel":
                run.serving.cancel()
        if fate == "close" and step < 4:
            # An end of the visitor's input is none of its hearing; only what is then said finds out that it has gone.
            await holds(lambda: run.target.heads != [])
            run.ingress.drain(0)
        await holds(lambda: not run.ingress._visits and not run.target.running)
