"""The TCP target: what it dials, what it carries, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import anyio
import pytest
from tcp_kit import DEADLINE_S, END, LOOPS, Conversation, Listening, Peer, holds

from tunnel.adapters.tcp import deaf_watch, dialer
from tunnel.adapters.tcp.upstream import TcpUpstream
from tunnel.domain.envelopes import BodyChunk, HttpRequest, TcpOpen, Trailers
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.sockets.resolver import Resolved

pytestmark = pytest.mark.anyio

MUCH_BYTES = 1 << 26


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


def anywhere(*_: object) -> bool:
    return True


def dialling(listening: Listening, **options: float) -> TcpUpstream:
    return TcpUpstream(listening.target, permits=anywhere, **options)  # type: ignore[arg-type]


async def failure(upstream: TcpUpstream, stream: Conversation) -> ErrorCode:
    with pytest.raises(SessionError) as caught:
        async with asyncio.timeout(DEADLINE_S):
            await upstream.handle(stream)
    return caught.value.code


@contextlib.asynccontextmanager
async def handled(upstream: TcpUpstream, stream: Conversation):
    """A conversation that is being handled; what becomes of it is the body's business."""
    handling = asyncio.create_task(upstream.handle(stream))
    try:
        yield handling
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait((handling,))
    finally:
        handling.cancel()
        await asyncio.wait((handling,))
        await upstream.aclose()
    assert upstream.open_connections == 0


async def test_both_directions_are_carried_and_end_by_themselves() -> None:
    with Listening() as listening:
        upstream, stream = dialling(listening), Conversation(BodyChunk(b"question"))
        async with handled(upstream, stream) as handling:
            peer = await listening.accept()
            assert await peer.take(8) == b"question"
            await peer.say(b"answer")
            peer.half_close()
            await stream.until(lambda: bool(stream.sent) and stream.sent[-1].end)
            stream.push(BodyChunk(b"more", end=True))
            assert await peer.rest() == b"more"
        assert handling.exception() is None
    assert stream.data == b"answer"
    assert stream.error is None


async def test_opening_that_is_the_end_too_ends_what_is_said_to_the_upstream() -> None:
    with Listening() as listening:
        upstream, stream = dialling(listening), Conversation(head=TcpOpen("test", end=True))
        async with handled(upstream, stream) as handling:
            peer = await listening.accept()
            assert await peer.rest() == b""
            peer.close()
        assert handling.exception() is None


# -- dialling


async def test_upstream_that_refuses_is_unreachable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        upstream = TcpUpstream(f"tcp://127.0.0.1:{bound.getsockname()[1]}", permits=anywhere)
        assert await failure(upstream, Conversation()) is ErrorCode.UPSTREAM_UNREACHABLE


async def test_name_that_does_not_resolve_is_unreachable() -> None:
    upstream = TcpUpstream("tcp://upstream.invalid:1", permits=anywhere)
    assert await failure(upstream, Conversation()) is ErrorCode.UPSTREAM_UNREACHABLE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
async def test_upstream_that_does_not_take_the_connection_in_time_is_a_timeout() -> None:
    with Listening(backlog=0) as listening, socket.create_connection(("127.0.0.1", listening.port)):
        upstream = dialling(listening, connect_timeout_s=0.05)
        assert await failure(upstream, Conversation()) is ErrorCode.UPSTREAM_TIMEOUT


async def test_address_is_dialled_only_where_that_is_permitted() -> None:
    asked: list[tuple[str, int, str]] = []

    def nowhere(*where: object) -> bool:
        asked.append(where)  # type: ignore[arg-type]
        return False

    with Listening() as listening:
        upstream = TcpUpstream(listening.target, permits=nowhere)
        assert await failure(upstream, Conversation()) is ErrorCode.FORBIDDEN
        assert asked == [("127.0.0.1", listening.port, "127.0.0.1")]


async def test_next_address_is_tried_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listening() as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        async def resolve(host: str, port: int) -> tuple[Resolved, ...]:
            each = [bound.getsockname(), ("127.0.0.1", listening.port)]
            return tuple(Resolved(socket.AF_INET, at) for at in each)

        monkeypatch.setattr(dialer, "resolve", resolve)
        upstream, stream = TcpUpstream("tcp://two.test:1", permits=anywhere), Conversation(END)
        async with handled(upstream, stream) as handling:
            (await listening.accept()).close()
        assert handling.exception() is None


async def test_conversation_beyond_the_limit_is_overloaded_until_another_ends() -> None:
    with Listening() as listening:
        upstream, stream = dialling(listening, max_connections=1), Conversation(END)
        async with handled(upstream, stream):
            peer = await listening.accept()
            assert await failure(upstream, Conversation()) is ErrorCode.OVERLOADED
            peer.close()
        assert len(upstream._visits) == 0


async def test_head_of_another_protocol_is_refused() -> None:
    upstream = TcpUpstream("tcp://127.0.0.1:1", permits=anywhere)
    stream = Conversation(head=HttpRequest("GET"))  # type: ignore[arg-type]
    assert await failure(upstream, stream) is ErrorCode.PROTOCOL_ERROR


async def test_target_without_a_port_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError):
        TcpUpstream("tcp://127.0.0.1", permits=anywhere)


# -- resets


async def test_reset_of_the_upstream_resets_the_conversation_after_what_had_come() -> None:
    with Listening() as listening:
        upstream, stream = dialling(listening), Conversation()
        async with handled(upstream, stream) as handling:
            peer = await listening.accept()
            await peer.say(b"last words")
            await stream.until(lambda: stream.data == b"last words")
            peer.reset()
        assert handling.exception() is None
    assert stream.error is not None
    assert stream.error.code is ErrorCode.CANCELLED


async def test_what_had_come_before_a_reset_waits_for_the_conversation() -> None:
    with Listening() as listening:
        upstream, stream = dialling(listening), Conversation()
        stream.gate.clear()
        async with handled(upstream, stream):
            peer = await listening.accept()
            await peer.say(b"a")
            await stream.until(lambda: stream.blocked)
            await peer.say(b"b")
            (connection,) = upstream._shared.open
            await holds(lambda: connection._buffered_bytes == 1)
            peer.reset()
            await holds(lambda: connection.error is not None)
            stream.gate.set()
    assert stream.data == b"ab"
    assert stream.error is not None


async def test_reset_after_its_own_end_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaf_watch, "_LOOK_S", 0.01)
    with Listening() as listening:
        upstream, stream = dialling(listening), Conversation()
        async with handled(upstream, stream):
            peer = await listening.accept()
            peer.half_close()
            await stream.until(lambda: bool(stream.sent))
            peer.reset()
    assert stream.error is not None


async def test_failed_conversation_resets_the_upstream() -> None:
    with Listening() as listening:
        upstream, stream = dialling(listening), Conversation()
        async with handled(upstream, stream) as handling:
            peer = await listening.accept()
            stream.push(SessionError(ErrorCode.PEER_LOST, "lost"))
            assert await peer.was_reset()
        assert isinstance(handling.exception(), SessionError)


async def test_what_is_no_tcp_resets_the_upstream() -> None:
    with Listening() as listening:
        upstream, stream = dialling(listening), Conversation(Trailers())
        async with handled(upstream, stream) as handling:
            assert await (await listening.accept()).was_reset()
        error = handling.exception()
    assert isinstance(error, SessionError)
    assert error.code is ErrorCode.PROTOCOL_ERROR


# -- ends, whenever they come


async def half_ended_by_the_visitor(stream: Conversation, peer: Peer) -> None:
    stream.push(END)
    assert await peer.rest() == b""


async def half_ended_by_the_upstream(stream: Conversation, peer: Peer) -> None:
    peer.half_close()
    await stream.until(lambda: bool(stream.sent))


async def waiting_to_send_on(stream: Conversation, peer: Peer) -> None:
    stream.gate.clear()
    await peer.say_until_stuck(bytes(1 << 16), most_bytes=MUCH_BYTES)
    assert stream.blocked


async def waiting_to_write(stream: Conversation, peer: Peer) -> None:
    stream.push(BodyChunk(bytes(MUCH_BYTES)), BodyChunk(b"x"))
    await holds(stream._incoming.empty)


async def finishing(stream: Conversation, peer: Peer) -> None:
    stream.push(BodyChunk(bytes(MUCH_BYTES), end=True))
    peer.half_close()
    await stream.until(lambda: bool(stream.sent))


async def dialled(stream: Conversation, peer: Peer) -> None:
    """As far as the peer knows; here that may still have to be found out."""


async def idle(stream: Conversation, peer: Peer) -> None:
    await peer.say(b"x")
    await stream.until(lambda: bool(stream.sent))


POINTS = [
    dialled,
    idle,
    half_ended_by_the_visitor,
    half_ended_by_the_upstream,
    waiting_to_send_on,
    waiting_to_write,
    finishing,
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("fate", ["cancel", "scope", "aclose", "reset"])
async def test_whatever_ends_it_leaves_nothing(point, fate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaf_watch, "_LOOK_S", 0.01)
    scope = anyio.CancelScope()
    with Listening(receive_bytes=4096) as listening:
        upstream, stream = dialling(listening), Conversation()

        async def handle() -> None:
            with scope, contextlib.suppress(SessionError):
                await upstream.handle(stream)

        handling = asyncio.create_task(handle())
        peer = await listening.accept()
        await point(stream, peer)
        async with asyncio.timeout(DEADLINE_S):
            match fate:
                case "cancel":
                    handling.cancel()
                case "scope":
                    scope.cancel()
                case "aclose":
                    await upstream.aclose()
                    assert upstream.open_connections == 0
                case "reset":
                    peer.reset()
                    stream.gate.set()
            await asyncio.wait((handling,))
        await holds(lambda: upstream.open_connections == 0)
        assert not upstream._visits
        assert not upstream._shared.watch._deaf
        await upstream.aclose()


async def test_aclose_ends_dialling() -> None:
    with Listening(backlog=0) as listening, socket.create_connection(("127.0.0.1", listening.port)):
        upstream = dialling(listening)
        handling = asyncio.create_task(failure(upstream, Conversation()))
        await holds(lambda: len(upstream._visits) == 1)
        await upstream.aclose()
        assert await handling is ErrorCode.CANCELLED


async def test_closed_it_refuses_and_dials_nobody() -> None:
    upstream = TcpUpstream("tcp://127.0.0.1:1", permits=anywhere)
    await upstream.aclose()
    await upstream.aclose()
    assert await failure(upstream, Conversation()) is ErrorCode.REFUSED
