"""The HTTP upstream against web servers that say exact bytes, on both event loops."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct

import pytest
from upstream_kit import (
    LOOPS,
    OK,
    FakeStream,
    ask,
    failure,
    first_exchange,
    handling,
    later,
    lost,
    pair,
    raw_server,
    reached,
    request,
    said,
    upstream_of,
)

from tunnel.adapters.http import upstream_dialer
from tunnel.adapters.http.upstream import HttpUpstream
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, TcpOpen, Trailers, WebSocketFrame
from tunnel.domain.errors import ConfigurationError, ErrorCode, SendingStopped, SessionError
from tunnel.sockets.resolver import Resolved

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


# -- responses ---------------------------------------------------------------------------------------------------


async def test_small_whole_response_is_one_envelope():
    async with pair() as (upstream, server):
        stream = await ask(upstream, lambda: said(server, OK))
    assert stream.sent == [HttpResponse(200, (b"Content-Length", b"2"), b"ok", True)]


async def test_repeated_fields_keep_order_and_case_and_hop_by_hop_fields_go():
    answer = (
        b"HTTP/1.1 404 Gone fishing\r\nSet-Cookie: a\r\nX-hop: 1\r\nConnection: x-HOP\r\nset-cookie: b\r\n"
        b"Keep-Alive: timeout=5\r\nSet-Cookie: a\r\nContent-Length: 0\r\n\r\n"
    )
    async with pair() as (upstream, server):
        stream = await ask(upstream, lambda: said(server, answer))
    headers = (b"Set-Cookie", b"a", b"set-cookie", b"b", b"Set-Cookie", b"a", b"Content-Length", b"0")
    assert stream.sent == [HttpResponse(404, headers, b"", True)]


async def test_stream_is_forwarded_as_it_arrives_without_buffering():
    async with pair() as (upstream, server):
        stream = FakeStream(request())
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.answer(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            await stream.until(lambda: len(stream.sent) == 1)
            assert not stream.response.end
            for number in (b"1", b"2", b"3"):
                await visit.say(b"1\r\n" + number + b"\r\n")
                await stream.until(lambda number=number: stream.sent[-1] == BodyChunk(number))
            await visit.say(b"0\r\n\r\n")
        assert stream.sent[-1] == BodyChunk(b"", True)
        assert upstream.idle_connections == 1


async def test_last_chunk_known_complete_carries_the_end():
    async with pair() as (upstream, server):
        stream = FakeStream(request())
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            await stream.until(lambda: len(stream.sent) == 2)
            await visit.say(b"cd")
    assert stream.sent[1:] == [BodyChunk(b"ab"), BodyChunk(b"cd", True)]


async def test_trailers_are_kept_apart_from_headers():
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\nx: 2\r\n\r\n"
    async with pair() as (upstream, server):
        stream = await ask(upstream, lambda: said(server, answer))
        assert upstream.idle_connections == 1
    assert stream.sent == [
        HttpResponse(200, (b"Trailer", b"X")),
        BodyChunk(b"ok"),
        Trailers((b"X", b"1", b"x", b"2")),
    ]


async def test_large_whole_response_follows_its_head_in_chunks():
    body = bytes(range(256)) * 1024
    async with pair() as (upstream, server):
        stream = await ask(upstream, lambda: said(server, b"HTTP/1.1 200 OK\r\nContent-Length: 262144\r\n\r\n" + body))
    assert stream.sent[0] == HttpResponse(200, (b"Content-Length", b"262144"))
    assert stream.body == body
    assert [each.end for each in stream.sent].count(True) == 1


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        ("HEAD", b"200 OK\r\nContent-Length: 9", HttpResponse(200, (b"Content-Length", b"9"), b"", True)),
        ("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", HttpResponse(200, (), b"", True)),
        ("GET", b"204 No\r\nContent-Length: 0", HttpResponse(204, (), b"", True)),
        ("GET", b"304 Not\r\nContent-Length: 9", HttpResponse(304, (b"Content-Length", b"9"), b"", True)),
    ],
)
async def test_bodyless_response_ends_at_once_and_the_connection_serves_on(method, answer, expected):
    async with pair() as (upstream, server):
        stream = FakeStream(request(method))
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 " + answer + b"\r\n\r\n")
        assert stream.sent == [expected]
        again = await ask(upstream, lambda: visit.answer(OK))
        assert again.body == b"ok"
        assert server.count == 1


async def test_informational_responses_are_dropped():
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK
    async with pair() as (upstream, server):
        stream = await ask(upstream, lambda: said(server, answer))
    assert stream.sent == [HttpResponse(200, (b"Content-Length", b"2"), b"ok", True)]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 12_000,
    ],
)
async def test_what_is_no_response_is_upstream_unreachable(answer):
    async with pair() as (upstream, server):
        error = await failure(upstream, FakeStream(request()), lambda: said(server, answer))
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert upstream.idle_connections == 0


async def test_body_that_ends_with_the_connection_is_whole():
    async def serve(server):
        visit = await server.visit()
        await visit.answer(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        await visit.half_close()

    async with pair() as (upstream, server):
        stream = await ask(upstream, lambda: serve(server))
        assert upstream.idle_connections == 0
    assert stream.body == b"all of it"
    assert stream.ended


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ],
)
async def test_body_cut_short_is_sent_on_and_then_fails(answer):
    async with pair() as (upstream, server):
        stream = FakeStream(request())

        async def serve():
            visit = await server.visit()
            await visit.answer(answer)
            await visit.half_close()

        error = await failure(upstream, stream, serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert server.target not in error.message
        assert server.target in error.detail
    assert stream.body == b"part"
    assert not stream.ended


async def test_reset_in_a_body_that_ends_with_the_connection_is_a_cut():
    async with pair() as (upstream, server):
        stream = FakeStream(request())

        async def serve():
            visit = await server.visit()
            await visit.answer(b"HTTP/1.0 200 OK\r\n\r\npart")
            await stream.until(lambda: stream.body == b"part")
            linger_off(visit)
            visit.reset()

        error = await failure(upstream, stream, serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert not stream.ended


# -- backpressure ------------------------------------------------------------------------------------------------


async def test_slow_visitor_slows_the_web_server_down():
    total = 32 * 1024 * 1024
    piece = b"z" * 65536
    written = 0

    async def serve(visit):
        nonlocal written
        await visit.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while written < total:
            await visit.say(piece)
            written += len(piece)

    async with pair() as (upstream, server):
        stream = FakeStream(request())
        stream.gate.clear()
        async with handling(upstream, stream):
            visit = await server.visit()
            serving = asyncio.create_task(serve(visit))
            await stream.until(lambda: stream.waiting is not None)
            before = -1
            while before != written:  # until the web server is stuck
                before = written
                for _ in range(200):
                    await asyncio.sleep(0)
            connection = next(iter(upstream._pool._open))
            assert connection._response.size_bytes <= 128 * 1024 + 256 * 1024
            assert written < total
            stream.gate.set()
            await serving
        assert len(stream.body) == total
        assert stream.ended
        assert upstream.idle_connections == 1


async def test_slow_web_server_slows_the_upload_down():
    chunks = 256
    chunk = b"u" * 65536
    async with pair() as (upstream, server):
        head = request("PUT", b"/", b"Content-Length", b"%d" % (chunks * len(chunk)), end=False)
        stream = FakeStream(head, [BodyChunk(chunk, number == chunks - 1) for number in range(chunks)])
        async with handling(upstream, stream):
            visit = await server.visit()
            visit.writer.transport.pause_reading()
            await stream.until(lambda: stream.unread < chunks)
            before = -1
            while before != stream.unread:
                before = stream.unread
                for _ in range(200):
                    await asyncio.sleep(0)
            assert stream.unread > 0
            visit.writer.transport.resume_reading()
            await visit.request()
            assert await visit.reader.readexactly(chunks * len(chunk)) == chunk * chunks
            await visit.say(OK)
        assert upstream.idle_connections == 1


# -- uploads -----------------------------------------------------------------------------------------------------


async def test_whole_request_is_written_with_its_body():
    async with pair() as (upstream, server):
        stream = FakeStream(request("POST", b"/p", b"Connection", b"close", b"Expect", b"100-continue", body=b"abc"))
        async with handling(upstream, stream):
            visit = await server.visit()
            assert await visit.request() == b"POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n"
            assert await visit.reader.readexactly(3) == b"abc"
            await visit.say(OK)


async def test_streamed_body_is_chunked_with_trailers():
    async with pair() as (upstream, server):
        stream = FakeStream(request("POST", end=False, body=b"ab"))
        async with handling(upstream, stream):
            visit = await server.visit()
            assert (await visit.request()).endswith(b"Transfer-Encoding: chunked\r\n\r\n")
            assert await visit.reader.readexactly(7) == b"2\r\nab\r\n"
            stream.push(BodyChunk(b"cde"))
            assert await visit.reader.readexactly(8) == b"3\r\ncde\r\n"
            stream.push(BodyChunk(b""))
            stream.push(Trailers((b"X-Sum", b"1")))
            assert await visit.reader.readexactly(15) == b"0\r\nX-Sum: 1\r\n\r\n"
            await visit.say(OK)
        assert stream.body == b"ok"
        assert upstream.idle_connections == 1


@pytest.mark.parametrize("last", [BodyChunk(b"cd", True), BodyChunk(b"", True)])
async def test_streamed_body_ends_with_the_last_chunk(last):
    async with pair() as (upstream, server):
        stream = FakeStream(request("POST", end=False), [last])
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.request()
            body = b"2\r\ncd\r\n0\r\n\r\n" if last.data else b"0\r\n\r\n"
            assert await visit.reader.readexactly(len(body)) == body
            await visit.say(OK)


async def test_announced_length_is_kept_and_trailers_then_left_out():
    async with pair() as (upstream, server):
        head = request("PUT", b"/", b"content-length", b"5", end=False, body=b"ab")
        stream = FakeStream(head, [BodyChunk(b"cde"), Trailers((b"A", b"b"))])
        async with handling(upstream, stream):
            visit = await server.visit()
            assert (await visit.request()).endswith(b"\r\ncontent-length: 5\r\n\r\n")
            assert await visit.reader.readexactly(5) == b"abcde"
            await visit.say(OK)
        assert upstream.idle_connections == 1


@pytest.mark.parametrize("last", [BodyChunk(b"cdef", True), BodyChunk(b"cd", True), Trailers()])
async def test_body_longer_or_shorter_than_announced_is_a_protocol_error(last):
    async with pair() as (upstream, server):
        stream = FakeStream(request("PUT", b"/", b"Content-Length", b"5", end=False, body=b"ab"), [last])

        async def serve():
            visit = await server.visit()
            await visit.gone()

        error = await failure(upstream, stream, serve)
        assert error.code is ErrorCode.PROTOCOL_ERROR


async def test_something_else_than_body_is_a_protocol_error():
    async with pair() as (upstream, server):
        stream = FakeStream(request("PUT", end=False), [WebSocketFrame(1, b"x")])
        error = await failure(upstream, stream, lambda: lost(server))
        assert error.code is ErrorCode.PROTOCOL_ERROR


async def test_reset_of_the_conversation_closes_the_connection():
    reset = SessionError(ErrorCode.PEER_LOST, "gone")
    async with pair() as (upstream, server):
        stream = FakeStream(request("PUT", end=False), [BodyChunk(b"x"), reset])
        assert await failure(upstream, stream, lambda: lost(server)) is reset


async def test_foreign_failure_of_the_conversation_is_not_lost():
    async with pair() as (upstream, _):
        with pytest.raises(ZeroDivisionError):
            await upstream.handle(FakeStream(request("PUT", end=False), [ZeroDivisionError()]))


async def test_early_response_is_forwarded_and_stops_the_upload():
    async with pair() as (upstream, server):
        stream = FakeStream(request("POST", end=False), [BodyChunk(b"x")])
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        assert stream.sent == [HttpResponse(413, (b"Content-Length", b"0"), b"", True)]
        assert upstream.idle_connections == 0
        await visit.gone()


async def test_both_directions_run_at_the_same_time():
    async with pair() as (upstream, server):
        stream = FakeStream(request("POST", end=False))
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for word in (b"a", b"b", b"c"):
                stream.push(BodyChunk(word))
                echo = await visit.reader.readexactly(6)
                await visit.say(echo)
                await stream.until(lambda word=word: stream.sent[-1] == BodyChunk(word))
            stream.push(BodyChunk(b"", True))
            assert await visit.reader.readexactly(5) == b"0\r\n\r\n"
            await visit.say(b"0\r\n\r\n")
        assert stream.body == b"abc"


async def test_answer_of_a_web_server_that_stopped_listening_is_not_lost():
    async with pair() as (upstream, server):
        answer = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
        for _ in range(20):
            stream = FakeStream(request("POST", end=False), [BodyChunk(b"x" * 65536)] * 400)
            async with handling(upstream, stream):
                visit = await server.visit()
                await visit.request()
                visit.writer.transport.pause_reading()
                visit.writer.write(answer)
                visit.reset()  # with input unread, so that the operating system sends a reset
            assert stream.body == b"big"


async def test_answer_not_yet_read_when_writing_fails_is_not_lost():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with upstream_of(f"http://127.0.0.1:{listener.getsockname()[1]}") as upstream:
            stream = FakeStream(request("POST", end=False))
            async with handling(upstream, stream):
                peer, _ = await loop.sock_accept(listener)
                await loop.sock_recv(peer, 65536)
                connection = next(iter(upstream._pool._open))
                peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
                connection.write_all((b"1\r\nx\r\n",))  # fails before the loop has looked for input
            assert stream.body == b"big"
            assert stream.ended


# -- the pool ----------------------------------------------------------------------------------------------------


async def test_connection_is_reused_the_last_used_first():
    async with pair() as (upstream, server):
        first, second = FakeStream(request()), FakeStream(request())
        async with handling(upstream, first), handling(upstream, second):
            one, two = await server.visit(), await server.visit()
            await one.request()
            await two.request()
            await two.say(OK)
            await asyncio.wait([asyncio.create_task(reached(lambda: upstream.idle_connections == 1))])
            await one.say(OK)
        assert upstream.idle_connections == 2
        await ask(upstream, lambda: one.answer(OK))
        assert server.count == 2


async def test_connection_idle_for_too_long_is_closed_without_being_asked_for():
    async with pair(keepalive_s=0.01) as (upstream, server):
        visit = await first_exchange(upstream, server)
        assert await visit.gone() == b""
        await reached(lambda: upstream.open_connections == 0)


async def test_keepalive_zero_keeps_no_connection():
    async with pair(keepalive_s=0) as (upstream, server):
        visit = await first_exchange(upstream, server)
        assert upstream.idle_connections == 0
        await visit.gone()


async def test_idle_connections_are_bounded_and_the_oldest_goes():
    async with pair(max_idle=1) as (upstream, server):
        first, second = FakeStream(request()), FakeStream(request())
        async with handling(upstream, first), handling(upstream, second):
            one, two = await server.visit(), await server.visit()
            await one.answer(OK)
            await reached(lambda: upstream.idle_connections == 1)
            await two.answer(OK)
        await one.gone()
        assert upstream.idle_connections == 1
        await ask(upstream, lambda: two.answer(OK))


@pytest.mark.parametrize("surprise", [b"HTTP/1.1 408 Timeout\r\n\r\n", b"\r\n", None])
async def test_idle_connection_that_says_something_or_ends_is_not_reused(surprise):
    async with pair(keepalive_s=60) as (upstream, server):
        visit = await first_exchange(upstream, server)
        if surprise is None:
            await visit.half_close()
        else:
            await visit.say(surprise)
        await visit.gone()
        await reached(lambda: upstream.open_connections == 0)
        await ask(upstream, lambda: said(server, OK))
        assert server.count == 2


async def test_answer_that_comes_before_the_request_is_no_answer():
    async with pair(keepalive_s=60) as (upstream, server):
        visit = await first_exchange(upstream, server)
        await visit.say(OK)
        await reached(lambda: upstream.open_connections == 0)
        again = await ask(upstream, lambda: said(server, OK.replace(b"ok", b"42")))
        assert again.body == b"42"
        assert server.count == 2


async def test_bytes_after_a_response_spoil_the_connection():
    async with pair() as (upstream, server):
        visit = await first_exchange(upstream, server, OK + OK)
        await visit.gone()
        again = await ask(upstream, lambda: said(server, OK.replace(b"ok", b"42")))
        assert again.body == b"42"
        assert server.count == 2


async def test_connection_close_is_honoured():
    async with pair() as (upstream, server):
        await first_exchange(upstream, server, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        assert upstream.idle_connections == 0


# -- stale connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
async def test_idempotent_request_on_a_stale_connection_is_repeated_once(method):
    async with pair() as (upstream, server):
        old = await first_exchange(upstream, server)
        stream = FakeStream(request(method))
        async with handling(upstream, stream):
            await old.request()
            old.reset()
            fresh = await server.visit()
            await fresh.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert stream.response.status == 200
        assert server.count == 2


async def test_streamed_request_of_which_nothing_was_taken_is_repeated():
    async with pair() as (upstream, server):
        old = await first_exchange(upstream, server)
        stream = FakeStream(request("PUT", end=False, body=b"ab"))
        async with handling(upstream, stream):
            first = await old.request() + await old.reader.readexactly(7)
            old.reset()
            fresh = await server.visit()
            assert await fresh.request() + await fresh.reader.readexactly(7) == first
            stream.push(BodyChunk(b"c", True))
            assert await fresh.reader.readexactly(11) == b"1\r\nc\r\n0\r\n\r\n"
            await fresh.say(OK)
        assert stream.body == b"ok"
        assert server.count == 2


async def test_streamed_request_of_which_something_was_taken_is_not_repeated():
    async with pair() as (upstream, server):
        old = await first_exchange(upstream, server)
        stream = FakeStream(request("PUT", end=False), [BodyChunk(b"ab")])

        async def serve():
            await old.request()
            await old.reader.readexactly(7)
            old.reset()

        error = await failure(upstream, stream, serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert server.count == 1


async def test_repeated_request_is_not_repeated_again():
    async with pair() as (upstream, server):
        old = await first_exchange(upstream, server)

        async def serve():
            await old.request()
            old.reset()
            fresh = await server.visit()
            await fresh.request()
            fresh.reset()

        error = await failure(upstream, FakeStream(request()), serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert server.count == 2


@pytest.mark.parametrize(
    "head",
    [
        request("POST"),
        request("PATCH", body=b"x"),
        request("POST", b"/", b"Content-Length", b"2", end=False, body=b"x"),
    ],
)
async def test_request_that_cannot_be_repeated_fails(head):
    async with pair() as (upstream, server):
        old = await first_exchange(upstream, server)

        async def serve():
            await old.request()
            old.reset()

        error = await failure(upstream, FakeStream(head), serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert server.count == 1


async def test_request_that_cannot_be_repeated_is_not_given_to_a_connection_already_closed():
    async with pair() as (upstream, server):
        old = await first_exchange(upstream, server)
        connection = next(iter(upstream._pool._open))
        old.writer.transport.abort()
        await reached(lambda: not (connection.quiet and connection.usable))
        await ask(upstream, lambda: said(server, OK), request("POST"))
        assert server.count == 2


async def test_no_repetition_once_a_byte_was_answered():
    async with pair() as (upstream, server):
        old = await first_exchange(upstream, server)

        async def serve():
            await old.answer(b"HTTP/1.1 2")
            await old.half_close()

        error = await failure(upstream, FakeStream(request()), serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert server.count == 1


async def test_fresh_connection_closed_without_an_answer_fails():
    async with pair() as (upstream, server):

        async def serve():
            visit = await server.visit()
            await visit.request()
            visit.reset()

        error = await failure(upstream, FakeStream(request()), serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert server.count == 1


# -- connecting --------------------------------------------------------------------------------------------------


async def test_refused_connection_is_upstream_unreachable():
    async with raw_server() as server:
        target = server.target
    async with upstream_of(target) as upstream:
        with pytest.raises(SessionError) as raised:
            await upstream.handle(FakeStream(request()))
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert "127.0.0.1" not in raised.value.message
    assert target in raised.value.detail
    assert isinstance(raised.value.__cause__, OSError)


async def test_name_that_does_not_resolve_is_upstream_unreachable(monkeypatch):
    async with upstream_of("http://no.such.name.invalid") as upstream:
        with pytest.raises(SessionError) as raised:
            await upstream.handle(FakeStream(request()))
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE


async def test_each_resolved_address_needs_permission_before_it_is_dialled():
    asked = []

    def permits(host, port, address):
        asked.append((host, port, address))
        return False

    async with raw_server() as server:
        port = int(server.target.rpartition(":")[2])
        async with upstream_of(f"http://localhost:{port}", permits=permits) as upstream:
            with pytest.raises(SessionError) as raised:
                await upstream.handle(FakeStream(request()))
        assert raised.value.code is ErrorCode.FORBIDDEN
        assert "127.0.0.1" not in raised.value.message
        assert ("localhost", port, "127.0.0.1") in asked
        assert server.count == 0


async def test_address_that_refuses_gives_way_to_the_next(monkeypatch):
    async with raw_server() as server:
        port = int(server.target.rpartition(":")[2])
        async with upstream_of(f"http://many.test:{port}") as upstream:
            asked = resolve(monkeypatch, ["127.0.0.2", "127.0.0.1"], port)
            stream = await ask(upstream, lambda: said(server, OK))
    assert asked == ["many.test"]
    assert stream.body == b"ok"


async def test_address_without_permission_is_passed_over(monkeypatch):
    async with raw_server() as server:
        port = int(server.target.rpartition(":")[2])
        settings = {"permits": lambda host, port, address: address == "127.0.0.1"}
        async with upstream_of(f"http://many.test:{port}", **settings) as upstream:
            resolve(monkeypatch, ["10.255.255.1", "127.0.0.1"], port)
            stream = await ask(upstream, lambda: said(server, OK))
    assert stream.body == b"ok"


async def test_connecting_too_long_is_upstream_timeout(monkeypatch):
    async def never(*args, **kwargs):
        await asyncio.Event().wait()

    monkeypatch.setattr(upstream_dialer, "resolve", never)
    async with upstream_of("http://slow.test", connect_timeout_s=0.01) as upstream:
        with pytest.raises(SessionError) as raised:
            await upstream.handle(FakeStream(request()))
    assert raised.value.code is ErrorCode.UPSTREAM_TIMEOUT


async def test_no_first_byte_in_time_is_upstream_timeout():
    async with pair(first_byte_timeout_s=0.02) as (upstream, server):
        error = await failure(upstream, FakeStream(request()), lambda: lost(server))
        assert error.code is ErrorCode.UPSTREAM_TIMEOUT
        assert server.count == 1


async def test_timeout_on_an_old_connection_is_not_mistaken_for_a_stale_one():
    async with pair(first_byte_timeout_s=0.02) as (upstream, server):
        old = await first_exchange(upstream, server)
        error = await failure(upstream, FakeStream(request()), old.gone)
        assert error.code is ErrorCode.UPSTREAM_TIMEOUT
        assert server.count == 1


async def test_first_byte_timeout_does_not_limit_the_body_or_the_upload():
    async with pair(first_byte_timeout_s=0.02) as (upstream, server):
        stream = FakeStream(request("POST", end=False))
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.request()
            await later(0.04)
            stream.push(BodyChunk(b"", True))
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
            await stream.until(lambda: len(stream.sent) == 1)
            await later(0.04)
            await visit.say(b"x")
        assert stream.body == b"x"


async def test_socket_file():
    async with raw_server() as server:
        path = f"/tmp/tunnel-test-{id(server)}.sock"  # short: such paths are limited to about 100 bytes
        listener = await asyncio.start_unix_server(server.connected, path)
        try:
            async with upstream_of(f"unix:{path}", permits=lambda *asked: False) as upstream:
                stream = await ask(upstream, lambda: said(server, OK))
            assert stream.body == b"ok"
        finally:
            listener.close()  # its connections are the other server's to close


@pytest.mark.parametrize(
    ("host_header", "expected"), [(None, b"a.test"), ("b.test:81", b"b.test:81"), ("target", b"127.0.0.1:%d")]
)
async def test_host_header(host_header, expected):
    async with pair(host_header=host_header) as (upstream, server):
        heads = []

        async def serve():
            visit = await server.visit()
            heads.append(await visit.answer(OK))

        await ask(upstream, serve)
        if b"%d" in expected:
            expected %= int(server.target.rpartition(":")[2])
        assert heads == [b"GET / HTTP/1.1\r\nHost: " + expected + b"\r\n\r\n"]


@pytest.mark.parametrize("host_header", ["", "a b", "a\r\nb", "b\u00fccher"])
def test_malformed_host_header_is_a_configuration_error(host_header):
    with pytest.raises(ConfigurationError):
        HttpUpstream(target="http://a.test", permits=lambda *asked: True, host_header=host_header)


@pytest.mark.parametrize("head", [TcpOpen("x"), HttpRequest("GET", headers=(b"Host", b"a"), protocol="tcp")])
async def test_other_protocols_are_refused(head):
    async with pair() as (upstream, server):
        with pytest.raises(SessionError):
            await upstream.handle(FakeStream(head))
        assert server.count == 0


# -- the end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [True, False])
async def test_visitor_that_leaves_closes_the_connection_at_once(end):
    async with pair() as (upstream, server):
        stream = FakeStream(request("POST", end=end))
        async with handling(upstream, stream) as task:
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
            await stream.until(lambda: stream.body == b"part")
            task.cancel()
            await visit.gone()
        await reached(lambda: upstream.open_connections == 0)
        assert len(asyncio.all_tasks()) <= 2


async def test_visitor_that_leaves_after_the_exchange_leaves_the_connection_to_others():
    async with pair() as (upstream, server):
        stream = FakeStream(request())
        stream.gate.clear()
        async with handling(upstream, stream) as task:
            visit = await server.visit()
            await visit.answer(OK)
            await stream.until(lambda: stream.waiting is not None)
            task.cancel()
        assert upstream.idle_connections == 1
        await ask(upstream, lambda: visit.answer(OK))


async def test_what_a_visitor_that_left_had_not_taken_is_not_given_to_the_next():
    # With trailers the head goes first, though all has come.
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\nX-Checksum: 1\r\n\r\n"
    async with pair() as (upstream, server):
        stream = FakeStream(request())
        stream.gate.clear()
        async with handling(upstream, stream) as task:
            visit = await server.visit()
            await visit.answer(answer)
            await stream.until(lambda: stream.waiting is not None)
            task.cancel()
        assert upstream.idle_connections == 1
        other = await ask(upstream, lambda: visit.answer(OK))
        assert other.sent == [HttpResponse(200, (b"Content-Length", b"2"), b"ok", True)]


async def test_connection_serves_another_while_the_end_of_its_last_response_waits():
    async with pair() as (upstream, server):
        slow = FakeStream(request())
        slow.gate.clear()
        async with handling(upstream, slow) as task:
            visit = await server.visit()
            await visit.answer(OK)
            await slow.until(lambda: slow.waiting is not None)
            other = FakeStream(request())
            async with handling(upstream, other):
                await visit.request()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await visit.say(OK)
            assert other.body == b"ok"
        assert server.count == 1


async def all_accepted(server):
    """Wait until each connection made so far has come and gone: what is accepted while a server closes is lost."""
    _, last = await asyncio.open_connection(*server.target.removeprefix("http://").split(":"))
    while (visit := await server.visit()).writer.get_extra_info("peername") != last.get_extra_info("sockname"):
        await visit.gone()
    last.close()


async def test_visitor_that_leaves_while_connecting_leaves_nothing():
    async with pair() as (upstream, server):
        task = asyncio.create_task(upstream.handle(FakeStream(request())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await reached(lambda: upstream.open_connections == 0)
        await all_accepted(server)
        gc.collect()


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("by", ["cancelling", "closing"])
async def test_dialling_that_is_interrupted_at_any_moment_leaves_nothing(steps, by):
    async with pair() as (upstream, server):
        task = asyncio.create_task(upstream.handle(FakeStream(request())))
        for _ in range(steps):
            await asyncio.sleep(0)
        if by == "closing":
            await upstream.aclose()
        else:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await reached(lambda: upstream.open_connections == 0)
        await all_accepted(server)


async def test_other_end_wanting_no_more_closes_the_connection():
    async with pair() as (upstream, server):
        stream = FakeStream(request())
        stream.refuse_from = (1, SendingStopped("cancelled"))
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
            await visit.gone()
        assert upstream.idle_connections == 0


async def test_conversation_reset_while_sending_closes_the_connection():
    reset = SessionError(ErrorCode.CANCELLED)
    async with pair() as (upstream, server):
        stream = FakeStream(request())
        stream.refuse_from = (1, reset)

        async def serve():
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
            await visit.gone()

        assert await failure(upstream, stream, serve) is reset


async def test_aclose_closes_idle_and_busy_connections_and_refuses_more():
    async with pair() as (upstream, server):
        busy, done = FakeStream(request()), FakeStream(request())
        task = asyncio.create_task(upstream.handle(busy))
        one = await server.visit()
        await ask(upstream, lambda: said(server, OK), done.head)
        assert (upstream.open_connections, upstream.idle_connections) == (2, 1)
        await upstream.aclose()
        assert upstream.open_connections == 0
        await one.gone()
        with pytest.raises(SessionError) as raised:
            await task
        assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE
        with pytest.raises(SessionError) as raised:
            await upstream.handle(FakeStream(request()))
        assert raised.value.code is ErrorCode.REFUSED
        await upstream.aclose()


async def test_silent_upstream_is_asked_for_a_sign_of_life():
    async with pair() as (upstream, server):
        task = asyncio.create_task(upstream.handle(FakeStream(request())))
        await server.visit()
        await reached(lambda: upstream.open_connections == 1)
        [connection] = upstream._pool._open
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_aclose_ends_connecting():
    async with pair() as (upstream, server):
        task = asyncio.create_task(upstream.handle(FakeStream(request())))
        await asyncio.sleep(0)
        await upstream.aclose()
        with pytest.raises(SessionError) as raised:
            await task
        assert raised.value.code is ErrorCode.REFUSED
        await all_accepted(server)


async def test_many_exchanges_at_once_are_not_mixed_up():
    async def serve(server):
        while True:
            asyncio.get_running_loop().create_task(echo(await server.visit()))

    async def echo(visit):
        while True:
            try:
                path = (await visit.request()).split(b" ")[1]
            except asyncio.IncompleteReadError:
                return
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async def visitor(upstream, name):
        for number in range(20):
            stream = FakeStream(request("GET", b"/%d/%d" % (name, number)))
            await upstream.handle(stream)
            assert stream.body == b"/%d/%d" % (name, number)

    async with pair() as (upstream, server):
        serving = asyncio.create_task(serve(server))
        await asyncio.gather(*(visitor(upstream, name) for name in range(20)))
        assert server.count <= 20
        serving.cancel()
        await upstream.aclose()


# -- shorthand ---------------------------------------------------------------------------------------------------


def linger_off(visit):
    visit.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resolve(monkeypatch, addresses, port):
    """Make every name resolve to ``addresses``; returns the names asked for."""
    asked = []

    async def resolved(host, port):
        asked.append(host)
        return [Resolved(socket.AF_INET, (address, port)) for address in addresses]

    monkeypatch.setattr(upstream_dialer, "resolve", resolved)
    return asked
