"""The demo's visitor: what it takes for a response, and what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tunnel.app.cli.demo_visitor import Mismatch, Visitor, visiting

DEADLINE_S = 10
PROBLEM = b'{"code": "no_client", "detail": "nobody there"}'


def ask(answer: bytes, then: Callable[[Visitor], Awaitable[Any]]) -> tuple[bytes, Any]:
    """Send a request to a server that answers ``answer`` and hangs up; returns the request and what ``then`` does."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async def scenario() -> Any:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with asyncio.timeout(DEADLINE_S), server, visiting(f"{host}:{port}") as visitor:
            await visitor.send("GET", "/path?query", host="a.test")
            return await then(visitor)

    result = asyncio.run(scenario())
    return bytes(received), result


async def whole_body(visitor: Visitor) -> bytes:
    return await visitor.body(await visitor.head())


def test_request_is_as_told() -> None:
    request, _ = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", whole_body)
    assert request == b"GET /path?query HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n3\r\nody\r\n0\r\n\r\n"],
    ids=["length", "chunks"],
)
def test_body_is_read_whatever_its_framing(rest: bytes) -> None:
    assert ask(b"HTTP/1.1 200 OK\r\n" + rest, whole_body)[1] == b"body"


def test_repeated_headers_stay_apart() -> None:
    async def cookies(visitor: Visitor) -> list[str]:
        return (await visitor.head()).all("set-cookie")

    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2, 3\r\nContent-Length: 0\r\n\r\n"
    assert ask(answer, cookies)[1] == ["a=1", "b=2, 3"]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "expected a response, got the end of the connection after 0 bytes"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "expected a response of HTTP/1.1, got 'HTTP/1.0 200 OK'"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "expected status 200, got 503"),
        (
            b"HTTP/1.1 503 Busy\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(PROBLEM), PROBLEM),
            "expected status 200, got 503 no_client (nobody there)",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n", "expected Content-Length or chunks, got [] and []"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "expected Content-Length or chunks, got ['1'] and ['chunked']",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbod", "expected 5 bytes, got the end of the connection after 3"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "expected the size of a body, got b'x'"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n",
            "expected a chunk, got the end of the connection after 0 bytes",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbody\r\n",
            "expected the end of a chunk, got b'y\\r\\n'",
        ),
    ],
)
def test_anything_else_is_a_mismatch(answer: bytes, complaint: str) -> None:
    with pytest.raises(Mismatch) as caught:
        ask(answer, whole_body)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("body", [b"[1]", b"nonsense"])
def test_other_json_than_an_object_is_a_mismatch(body: bytes) -> None:
    async def json(visitor: Visitor) -> object:
        return await visitor.json(await visitor.head())

    with pytest.raises(Mismatch, match="expected a JSON object"):
        ask(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body), json)
