"""WebSocket conversations with a web server that a test plays, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path

import pytest
from test_upstream_tls import certificate, speaking_tls  # noqa: F401 - a fixture
from upstream_kit import DEADLINE_S, LOOPS, FakeStream, Visit, failure, handling, pair, raw_server, reached, upstream_of
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from tunnel.adapters.http.upstream_websocket_hop import UpstreamHop
from tunnel.domain.configuration import UpstreamTlsSettings
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, WebSocketFrame
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", LOOPS)]

TEXT, BINARY, CONTINUATION, CLOSE = 1, 2, 0, 8


def opening(*headers: bytes) -> HttpRequest:
    return HttpRequest("GET", b"/chat", host=b"a.test", headers=(b"host", b"a.test", *headers), protocol="websocket")


def frame(opcode: Opcode, payload: bytes = b"") -> bytes:
    return Frame(opcode, payload).serialize(mask=False)


def acceptance(head: bytes, *fields: bytes) -> bytes:
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
    assert key is not None
    token = accept_key(key[1].decode()).encode()
    return b"\r\n".join(
        [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade",
         b"Sec-WebSocket-Accept: " + token, *fields, b"", b""]
    )  # fmt: skip


async def accept(visit: Visit, *fields: bytes, then: bytes = b"") -> bytes:
    head = await visit.request()
    await visit.say(acceptance(head, *fields) + then)
    return head


def messages(stream: FakeStream) -> list[tuple[int, bytes]]:
    return [(each.opcode, each.payload) for each in stream.sent if isinstance(each, WebSocketFrame)]


async def test_what_comes_with_the_acceptance_is_part_of_the_conversation() -> None:
    async with pair() as (upstream, server):
        stream = FakeStream(opening())
        async with handling(upstream, stream):
            visit = await server.visit()
            await accept(visit, b"X-One: 1", then=frame(Opcode.TEXT, b"at once") + frame(Opcode.CLOSE, b"\x03\xe8"))
        assert stream.response == HttpResponse(101, (b"X-One", b"1"))
        assert messages(stream) == [(TEXT, b"at once"), (CLOSE, b"\x03\xe8")]
        assert await visit.reader.readexactly(2) == b"\x88\x82"


async def test_what_comes_while_the_visitor_is_told_waits_outside() -> None:
    async with pair() as (upstream, server):
        stream = FakeStream(opening())
        stream.gate.clear()
        async with handling(upstream, stream):
            visit = await server.visit()
            await accept(visit)
            await stream.until(lambda: stream.waiting is not None)
            await visit.say(frame(Opcode.TEXT, b"meanwhile"), frame(Opcode.CLOSE))
            stream.gate.set()
        assert messages(stream) == [(TEXT, b"meanwhile"), (CLOSE, b"")]


async def test_host_and_fields_are_written_as_those_of_requests_are() -> None:
    async with pair(host_header="b.test") as (upstream, server):
        stream = FakeStream(opening(b"connection", b"x-hop", b"x-hop", b"1", b"x-kept", b"2", b"upgrade", b"h2c"))
        async with handling(upstream, stream):
            visit = await server.visit()
            head = await accept(visit, then=frame(Opcode.CLOSE))
        assert head.startswith(b"GET /chat HTTP/1.1\r\nhost: b.test\r\nx-kept: 2\r\nUpgrade: websocket\r\n")
        assert b"x-hop" not in head
        assert b"h2c" not in head


@pytest.mark.parametrize(
    "head",
    [opening(b"x", b"a\r\nb"), opening(b"x y", b"a"), opening(b"x"), opening(b"host", b"b.test")],
)
async def test_head_that_cannot_be_one_request_is_not_sent(head: HttpRequest) -> None:
    async with pair() as (upstream, server):
        with pytest.raises(SessionError):
            await upstream.handle(FakeStream(head))
        assert server.count == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_answer_that_is_none_is_upstream_unreachable_and_closes(answer: bytes) -> None:
    async with pair() as (upstream, server):

        async def serve() -> None:
            visit = await server.visit()
            await visit.answer(answer)
            if not answer:
                visit.reset()
            await visit.gone()

        error = await failure(upstream, FakeStream(opening()), serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        await reached(lambda: upstream.open_connections == 0)


async def test_target_that_is_not_permitted_is_not_dialled() -> None:
    async with pair(permits=lambda host, port, address: False) as (upstream, server):
        with pytest.raises(SessionError) as raised:
            await upstream.handle(FakeStream(opening()))
        assert raised.value.code is ErrorCode.FORBIDDEN
        assert server.count == 0


async def test_handshake_that_is_not_answered_in_time_is_upstream_timeout() -> None:
    async with pair(first_byte_timeout_s=0.02) as (upstream, server):

        async def serve() -> None:
            await (await server.visit()).gone()

        assert (await failure(upstream, FakeStream(opening()), serve)).code is ErrorCode.UPSTREAM_TIMEOUT


@pytest.mark.parametrize(
    "payload", [BodyChunk(b"x"), WebSocketFrame(CONTINUATION, b"x"), WebSocketFrame(9), WebSocketFrame(CLOSE, b"\x03")]
)
async def test_what_a_peer_may_not_send_fails_the_conversation_and_closes(payload: object) -> None:
    async with pair() as (upstream, server):
        stream = FakeStream(opening(), [payload])  # type: ignore[list-item]

        async def serve() -> None:
            visit = await server.visit()
            await accept(visit)
            await visit.gone()

        assert (await failure(upstream, stream, serve)).code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("told", [0, 1])
async def test_visitor_that_wants_no_more_ends_the_conversation(told: int) -> None:
    async with pair() as (upstream, server):
        stream = FakeStream(opening())
        stream.refuse_from = (told, SendingStopped(""))
        async with handling(upstream, stream):
            visit = await server.visit()
            await accept(visit, then=frame(Opcode.TEXT, b"unwanted"))
            assert await visit.gone() == b""


async def test_closing_the_upstream_closes_its_conversations() -> None:
    async with pair() as (upstream, server):
        stream = FakeStream(opening())
        async with handling(upstream, stream) as task:
            visit = await server.visit()
            await accept(visit)
            await stream.until(lambda: bool(stream.sent))
            await reached(lambda: upstream.open_connections == 1)
            await upstream.aclose()
            assert upstream.open_connections == 0
            await task
        assert messages(stream) == [(CLOSE, (1014).to_bytes(2, "big") + b"the upstream was lost")]


async def test_reader_that_stalls_has_the_web_server_stalled() -> None:
    async with pair() as (upstream, server):
        stream = FakeStream(opening())
        async with handling(upstream, stream) as task:
            visit = await server.visit()
            await accept(visit)
            await stream.until(lambda: bool(stream.sent))
            stream.gate.clear()
            data = frame(Opcode.BINARY, bytes(1 << 16))
            await reached(lambda: any(isinstance(each, UpstreamHop) for each in upstream._websockets._open))
            (hop,) = upstream._websockets._open
            assert isinstance(hop, UpstreamHop)
            said = 0
            while not hop._reading_paused:
                visit.writer.write(data)
                said += 1
                await asyncio.sleep(0)
                assert said < 1000, "it is read though nobody takes it"
            stream.gate.set()
            await stream.until(lambda: [payload for _, payload in messages(stream)] == [bytes(1 << 16)] * said)
            task.cancel()


async def test_closing_the_upstream_while_the_visitor_is_told_of_the_acceptance_fails_the_conversation() -> None:
    async with asyncio.timeout(DEADLINE_S), pair() as (upstream, server):
        stream = FakeStream(opening())
        stream.gate.clear()

        async def serve() -> None:
            visit = await server.visit()
            await accept(visit)
            await stream.until(lambda: stream.waiting is not None)
            await upstream.aclose()
            stream.gate.set()

        assert (await failure(upstream, stream, serve)).code is ErrorCode.UPSTREAM_UNREACHABLE


async def test_much_that_comes_with_the_acceptance_stalls_the_web_server_and_outlives_it() -> None:
    async with asyncio.timeout(DEADLINE_S), pair() as (upstream, server):
        stream = FakeStream(opening())
        stream.gate.clear()
        async with handling(upstream, stream):
            visit = await server.visit()
            await accept(visit, then=frame(Opcode.TEXT, b"x") * 1000 + frame(Opcode.CLOSE))
            await stream.until(lambda: stream.waiting is not None)
            stream.gate.set()
            stream.gate.clear()
            await stream.until(lambda: isinstance(stream.waiting, WebSocketFrame))
            (hop,) = upstream._websockets._open
            assert isinstance(hop, UpstreamHop)
            for _ in range(5):
                await asyncio.sleep(0)
            reads = hop._transport.is_reading()
            hop.abort()
            await reached(lambda: hop.lost)
            stream.gate.set()
        assert not reads
        assert messages(stream) == [(TEXT, b"x")] * 1000 + [(CLOSE, b"")]


async def test_wss_and_socket_files_carry_conversations(
    certificate: tuple[Path, Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    context, _ = speaking_tls(certificate)
    assert isinstance(context, ssl.SSLContext)
    trusting = UpstreamTlsSettings(ca=certificate[0].read_text())
    async with raw_server(ssl=context) as server:
        port = server.target.rpartition(":")[2]
        async with upstream_of(f"https://localhost:{port}", tls=trusting) as upstream:
            stream = FakeStream(opening(), [WebSocketFrame(TEXT, b"said")])
            async with handling(upstream, stream):
                visit = await server.visit()
                await accept(visit, then=frame(Opcode.TEXT, b"heard"))
                assert len(await visit.reader.readexactly(10)) == 10
                await visit.say(frame(Opcode.CLOSE))
            assert messages(stream) == [(TEXT, b"heard"), (CLOSE, b"")]

    arrived: asyncio.Queue[Visit] = asyncio.Queue()
    listening = await asyncio.start_unix_server(
        lambda reader, writer: arrived.put_nowait(Visit(reader, writer)), str(tmp_path / "s")
    )
    async with listening, upstream_of(f"unix:{tmp_path / 's'}") as upstream:
        stream = FakeStream(opening())
        async with handling(upstream, stream):
            visit = await arrived.get()
            await accept(visit, then=frame(Opcode.TEXT, b"heard") + frame(Opcode.CLOSE))
        assert messages(stream) == [(TEXT, b"heard"), (CLOSE, b"")]
        visit.writer.close()
