"""Bodies whose rest is counted instead of parsed, because they are long and of known length."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from listener_kit import GET, Visitor, hello, running, within

from tunnel.adapters.http.ingress_parser import left_to_count
from tunnel.adapters.http.ingress_protocol import IngressProtocol
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

BODY = bytes(range(256)) * 800
HEAD = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n" % len(BODY)
POST = HEAD + b"\r\n" + BODY
UPGRADE = HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + BODY


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


async def digest(stream: Stream) -> None:
    """Answer with what says which bytes the body has."""
    assert isinstance(stream.head, HttpRequest)
    body, end = hashlib.sha256(stream.head.body), stream.head.end
    while not end:
        part = await stream.receive()
        if isinstance(part, BodyChunk):
            body.update(part.data)
        end = part.end
    await stream.send(HttpResponse(200, (), body.hexdigest().encode(), end=True))


def digest_of(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize("request_", [POST, UPGRADE], ids=["plain", "upgrade"])
@pytest.mark.parametrize("piece_bytes", [1021, 65_536, 204_700, len(POST), len(POST) + 40, 2**20])
async def test_body_is_whole_and_the_next_request_is_the_next(request_: bytes, piece_bytes: int) -> None:
    said = request_ + POST + GET + request_ + GET
    async with running(digest) as run:
        visitor = await run.visitor()
        answering = asyncio.create_task(_answers(visitor, 5))
        while run.connections() == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        connection = run.connection()
        for start in range(0, len(said), piece_bytes):
            # As the event loop would, and cut where we want it.
            await _reading(connection)
            connection.data_received(said[start : start + piece_bytes])
        answers = await answering
    assert answers == [digest_of(BODY)] * 2 + [digest_of(b""), digest_of(BODY), digest_of(b"")]


async def _answers(visitor: Visitor, count: int) -> list[bytes]:
    return [(await visitor.response())[2] for _ in range(count)]


async def _reading(connection: IngressProtocol) -> None:
    await asyncio.sleep(0)
    while connection.flow.read_paused:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_body_that_ends_early_is_400() -> None:
    async with running(digest) as run:
        visitor = await run.visitor()
        visitor.say(POST[:-1])
        visitor.writer.write_eof()
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (400, b"close", "bad_request")
        assert await visitor.rest() == b""


async def test_body_that_nobody_reads_is_dropped_to_its_end() -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(POST[:-1])
        status, headers, _ = await visitor.response()
        assert (status, headers[b"connection"]) == (200, b"close")
        visitor.say(POST[-1:])
        assert await visitor.rest() == b""
        await within(run.forgotten())


async def test_body_in_chunks_is_parsed() -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(BODY), BODY) for _ in range(2))
    async with running(digest) as run:
        visitor = await run.visitor()
        visitor.say(
            b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n" + GET
        )
        assert (await visitor.response())[2] == digest_of(BODY * 2)
        assert (await visitor.response())[2] == digest_of(b"")


@pytest.mark.parametrize(
    ("headers", "arrived_bytes", "left_bytes"),
    [
        ((b"content-length", b"65536"), 0, 65536),
        ((b"content-length", b"65536"), 1, 0),
        ((b"a", b"b", b"content-length", b"100000"), 20_000, 80_000),
        ((b"transfer-encoding", b"chunked"), 10, 0),
    ],
)
def test_what_is_counted_is_long_and_of_known_length(
    headers: tuple[bytes, ...], arrived_bytes: int, left_bytes: int
) -> None:
    assert left_to_count(headers, arrived_bytes) == left_bytes
