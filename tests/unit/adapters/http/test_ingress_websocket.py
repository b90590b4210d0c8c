"""WebSocket conversations of our own listener, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from typing import Any

import pytest
from ingress_kit import Target
from listener_kit import Running, Visitor, running, within
from websockets.frames import Frame, Opcode

from tunnel.adapters.http.ingress_websocket import WebSocketVisitor
from tunnel.adapters.http.websocket_reader import FRAMES_AT_ONCE
from tunnel.domain.envelopes import BodyChunk, HttpResponse, Trailers, WebSocketFrame
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

OPENING = (
    b"GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, BINARY, CONTINUATION, CLOSE = 1, 2, 0, 8
EARLY_BYTES = 64 * 1024


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=True)


async def hear(visitor: Visitor) -> tuple[int, bytes]:
    first, length = await visitor.bytes(2)
    if length == 126:
        length = int.from_bytes(await visitor.bytes(2), "big")
    elif length == 127:
        length = int.from_bytes(await visitor.bytes(8), "big")
    return first & 0x0F, await visitor.bytes(length)


async def accepted(run: Running, said: bytes = b"") -> Visitor:
    visitor = await run.visitor()
    visitor.say(OPENING + said)
    assert (await visitor.head())[0] == 101
    return visitor


async def echo(stream: Stream) -> None:
    await stream.send(HttpResponse(101))
    while True:
        received = await stream.receive()
        await stream.send(received)
        if received.end:
            return


async def test_visitor_that_speaks_before_it_is_answered_is_heard_afterwards() -> None:
    answer = asyncio.Event()

    async def late(stream: Stream) -> None:
        await answer.wait()
        await echo(stream)

    payload = bytes(4 * EARLY_BYTES)
    async with running(late) as run:
        visitor = await run.visitor()
        visitor.say(OPENING + frame(Opcode.BINARY, payload) + frame(Opcode.TEXT, b"next"))
        await asyncio.sleep(0)
        answer.set()
        assert (await visitor.head())[0] == 101
        heard = b""
        while len(heard) < len(payload):
            heard += (await hear(visitor))[1]
        assert heard == payload
        assert await hear(visitor) == (TEXT, b"next")


async def test_handshake_in_single_bytes_is_read() -> None:
    async with running(echo) as run:
        visitor = await run.visitor()
        for byte in OPENING:
            visitor.say(bytes([byte]))
            await asyncio.sleep(0)
        assert (await visitor.head())[0] == 101
        visitor.say(frame(Opcode.CLOSE, b"\x03\xe8"))
        assert await hear(visitor) == (CLOSE, b"\x03\xe8")
        assert await visitor.rest() == b""
        await run.forgotten()


@pytest.mark.parametrize(
    ("code", "status"),
    [(ErrorCode.NO_CLIENT, 503), (ErrorCode.PEER_LOST, 502), (ErrorCode.FORBIDDEN, 403), (ErrorCode.INTERNAL, 500)],
)
async def test_failure_before_acceptance_is_a_problem_document_and_closes(code: ErrorCode, status: int) -> None:
    async def fail(stream: Stream) -> None:
        raise SessionError(code, "it failed", detail="secret")

    async with running(fail) as run:
        visitor = await run.visitor()
        visitor.say(OPENING)
        told, headers, body = await visitor.response()
        assert (told, headers[b"connection"]) == (status, b"close")
        assert code.value.encode() in body
        assert b"secret" not in body
        assert await visitor.rest() == b""
        visitor.leave()
        await run.forgotten()


@pytest.mark.parametrize("code", [ErrorCode.PEER_LOST, ErrorCode.OVERLOADED])
async def test_failure_after_acceptance_is_a_close_frame(code: ErrorCode) -> None:
    async def fail(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await stream.send(WebSocketFrame(TEXT, b"half of a mess", fin=False))
        raise SessionError(code, "it failed", detail="secret")

    async with running(fail) as run:
        visitor = await accepted(run)
        told = 1013 if code is ErrorCode.OVERLOADED else 1014
        assert await hear(visitor) == (CLOSE, told.to_bytes(2, "big") + b"it failed")
        visitor.say(frame(Opcode.CLOSE))
        assert await visitor.rest() == b""
        await run.forgotten()


@pytest.mark.parametrize(
    "payload",
    [
        BodyChunk(b"x"),
        Trailers(),
        HttpResponse(101),
        HttpResponse(200, (), b"", end=True),
        WebSocketFrame(CONTINUATION, b"x"),
        WebSocketFrame(9, b"x"),
        WebSocketFrame(CLOSE, b"\x03\xed"),
    ],
)
async def test_what_a_peer_may_not_send_closes_with_1014(payload: Any) -> None:
    async def confuse(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await stream.send(payload)

    async with running(confuse) as run:
        visitor = await accepted(run)
        assert (await hear(visitor))[1][:2] == (1014).to_bytes(2, "big")


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(101, (b"x", b"a\r\nb")),
        HttpResponse(101, (b"a b", b"c")),
        HttpResponse(101, (b"sec-websocket-protocol", b"unasked")),
        HttpResponse(101, (b"x",)),
        HttpResponse(600, (), b"", end=True),
        WebSocketFrame(TEXT, b"unasked"),
    ],
)
async def test_what_cannot_be_an_answer_is_502(response: Any) -> None:
    async def confuse(stream: Stream) -> None:
        await stream.send(response)

    async with running(confuse) as run:
        visitor = await run.visitor()
        visitor.say(OPENING)
        assert (await visitor.response())[0] == 502


async def test_target_that_leaves_without_a_close_is_1014() -> None:
    async def leave(stream: Stream) -> None:
        await stream.send(HttpResponse(101))

    async with running(leave) as run:
        visitor = await accepted(run)
        assert (await hear(visitor))[1][:2] == (1014).to_bytes(2, "big")


async def flood(stream: Stream) -> None:
    while True:
        await stream.send(WebSocketFrame(BINARY, bytes(1 << 16)))


async def test_reset_wakes_a_target_that_receives_and_one_that_sends() -> None:
    woken: list[ErrorCode] = []

    async def both(stream: Stream) -> None:
        await stream.send(HttpResponse(101))

        async def receiving() -> None:
            with pytest.raises(SessionError) as caught:
                await stream.receive()
            woken.append(caught.value.code)

        async def sending() -> None:
            with pytest.raises(SessionError) as caught:
                await flood(stream)
            woken.append(caught.value.code)

        waiting = [asyncio.create_task(receiving()), asyncio.create_task(sending())]
        await asyncio.sleep(0.05)
        stream.reset(SessionError(ErrorCode.FLOW_CONTROL, "enough"))
        await asyncio.gather(*waiting)

    target = Target(both)
    async with running(target) as run:
        visitor = await accepted(run)
        visitor.reader._limit = 1  # type: ignore[attr-defined]  # it does not read
        async with asyncio.timeout(5):
            while len(woken) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert woken == [ErrorCode.FLOW_CONTROL, ErrorCode.FLOW_CONTROL]


async def test_drain_lets_conversations_finish_and_then_says_1001_to_both_ends() -> None:
    heard: list[Any] = []

    async def listen(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        heard.append(await stream.receive())
        await stream.send(WebSocketFrame(CLOSE, b"\x03\xe9"))

    async with running(listen) as run:
        visitor = await accepted(run)
        run.ingress.drain(60)
        await asyncio.sleep(0.01)
        assert run.connections() == 1
        run.ingress.drain(0)
        assert await hear(visitor) == (CLOSE, b"\x03\xe9the server shuts down")
        visitor.say(frame(Opcode.CLOSE, b"\x03\xe9"))
        assert await visitor.rest() == b""
        await run.served()
    assert heard == [WebSocketFrame(CLOSE, b"\x03\xe9the server shuts down")]


async def test_drain_ends_though_neither_end_answers() -> None:
    async def deaf(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await asyncio.sleep(3600)

    target = Target(deaf)
    async with running(target) as run:
        await accepted(run)
        run.ingress.drain(0)
        await run.served()
        await within(target.cancelled.wait())


async def test_conversation_that_is_over_leaves_no_garbage_in_cycles() -> None:
    made: list[weakref.ref[Any]] = []

    async def script(stream: Stream) -> None:
        made.append(weakref.ref(stream))
        await echo(stream)

    async with running(script) as run:
        gc.disable()
        try:
            visitor = await accepted(run, frame(Opcode.CLOSE, b"\x03\xe8"))
            await visitor.rest()
            await run.forgotten()
            for _ in range(5):
                await asyncio.sleep(0)
            assert [each() for each in made] == [None]
        finally:
            gc.enable()


async def test_silent_connections_are_probed_by_the_operating_system() -> None:
    async with running(echo) as run:
        await accepted(run)
        assert run.ingress._server is not None
        (connection,) = run.ingress._server.server_state.connections
        assert isinstance(connection, WebSocketVisitor)
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def conversation(run: Running) -> WebSocketVisitor:
    assert run.ingress._server is not None
    (connection,) = run.ingress._server.server_state.connections
    assert isinstance(connection, WebSocketVisitor)
    return connection


@pytest.mark.parametrize("closes", [False, True])
async def test_visitor_that_reads_nothing_is_not_waited_for_once_all_is_said(closes: bool) -> None:
    over = asyncio.Event()

    async def pour(stream: Stream) -> None:
        assert isinstance(stream, WebSocketVisitor)
        await stream.send(HttpResponse(101))
        if closes:
            await stream.receive()
        while not stream.writing_paused:
            await stream.send(WebSocketFrame(BINARY, bytes(1 << 16)))
        await stream.send(WebSocketFrame(CLOSE, b"\x03\xe8"))
        over.set()

    async with running(pour) as run:
        visitor = await accepted(run)
        visitor.reader._limit = 1  # type: ignore[attr-defined]  # it does not read
        connection = conversation(run)
        if closes:
            visitor.say(frame(Opcode.CLOSE, b"\x03\xe8"))
        await within(over.wait())
        connection.overdue()
        assert run.connections() == 1
        connection.overdue()
        await run.forgotten()


async def test_visitor_that_takes_a_refusal_slowly_gets_all_of_it() -> None:
    over = asyncio.Event()
    body = bytes(16 << 20)

    async def refuse(stream: Stream) -> None:
        assert isinstance(stream, WebSocketVisitor)
        stream.transport.set_write_buffer_limits(high=2 * len(body))
        await stream.send(HttpResponse(403, (), body, end=True))
        over.set()

    async with running(refuse) as run:
        visitor = await run.visitor()
        visitor.say(OPENING)
        await within(over.wait())
        conversation(run).overdue()
        status, headers = await visitor.head()
        assert status == 403
        assert await visitor.bytes(int(dict(headers)[b"content-length"])) == body


@pytest.mark.parametrize("stays", [True, False])
async def test_target_that_is_slow_still_gets_what_the_visitor_said_before_its_close(stays: bool) -> None:
    heard: list[bytes] = []
    turn = asyncio.Semaphore(0)
    taken = asyncio.Semaphore(0)

    async def slow(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        while True:
            await turn.acquire()
            received = await stream.receive()
            assert isinstance(received, WebSocketFrame)
            heard.append(received.payload)
            taken.release()
            if received.end:
                await stream.send(received)
                return

    target = Target(slow)
    async with running(target) as run:
        visitor = await accepted(run)
        connection = conversation(run)
        for each in (b"one", b"two", b"three"):
            visitor.say(frame(Opcode.TEXT, each))
        visitor.say(frame(Opcode.CLOSE, b"\x03\xe8"))
        while not connection.close_received:  # noqa: ASYNC110
            await asyncio.sleep(0)
        if not stays:
            visitor.leave()
            await run.forgotten()
        for _ in range(4):
            turn.release()
            await within(taken.acquire())
            connection.overdue() if stays else connection._give_up()
            await asyncio.sleep(0)
    assert heard == [b"one", b"two", b"three", b"\x03\xe8"]


async def test_target_that_takes_nothing_of_what_came_before_a_close_is_not_waited_for() -> None:
    async def deaf(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await asyncio.sleep(3600)

    target = Target(deaf)
    async with running(target) as run:
        visitor = await accepted(run, frame(Opcode.TEXT, b"unheard") + frame(Opcode.CLOSE, b"\x03\xe8"))
        connection = conversation(run)
        while not connection.close_received:  # noqa: ASYNC110
            await asyncio.sleep(0)
        connection.overdue()
        connection.overdue()
        assert await hear(visitor) == (CLOSE, b"\x03\xe8")
        await within(target.cancelled.wait())


async def test_of_many_pings_at_once_the_last_is_answered_and_others_have_their_turn() -> None:
    async with running(echo) as run:
        visitor = await accepted(run)
        connection = conversation(run)
        pings = b"".join(frame(Opcode.PING, b"%d" % number) for number in range(1000))
        connection.data_received(pings + frame(Opcode.TEXT, b"next"))
        assert connection._reader.unread
        pongs = []
        while (heard := await hear(visitor)) != (TEXT, b"next"):
            pongs.append(heard)
        assert pongs[-1:] == [(10, b"999")]
        assert len(pongs) < 10


async def test_flood_of_small_messages_is_read_as_far_as_there_is_room() -> None:
    go = asyncio.Event()

    async def late(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await go.wait()
        for number in range(10_000):
            assert await stream.receive() == WebSocketFrame(TEXT, b"%d" % number)
        await stream.send(await stream.receive())

    async with running(late) as run:
        visitor = await accepted(run)
        connection = conversation(run)
        flood = b"".join(frame(Opcode.TEXT, b"%d" % number) for number in range(10_000))
        connection.data_received(flood + frame(Opcode.CLOSE, b"\x03\xe8"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(connection._inbox) <= 2 * FRAMES_AT_ONCE
        go.set()
        assert await hear(visitor) == (CLOSE, b"\x03\xe8")
        assert await visitor.rest() == b""
