"""Requests with a body that ask for an upgrade which they do not get: the body is theirs, and no request."""

from __future__ import annotations

import asyncio
import json

import pytest
from ingress_kit import Target
from listener_kit import GET, echo, hello, running, within

from tunnel.adapters.http.ingress_upgrade import parser_within_body
from tunnel.domain.envelopes import HttpRequest
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

HEAD = b"POST / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
BODIES = {
    "length": b"Content-Length: %d\r\n\r\n%b" % (len(SMUGGLED), SMUGGLED),
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
}


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.mark.parametrize("protocol", [b"h2c", b"TLS/1.0", b"anything, else"])
@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize("piece_bytes", [1, 64, 10_000])
async def test_body_is_whole_and_the_next_request_is_the_next(protocol: bytes, framing: str, piece_bytes: int) -> None:
    target = Target(echo)
    said = (HEAD % protocol + BODIES[framing]) * 2 + GET
    async with running(target) as run:
        visitor = await run.visitor()
        for start in range(0, len(said), piece_bytes):
            visitor.say(said[start : start + piece_bytes])
            await asyncio.sleep(0)
        answers = [await visitor.response() for _ in range(3)]
    assert [(status, body) for status, _, body in answers] == [(200, SMUGGLED), (200, SMUGGLED), (200, b"")]
    assert not any(b"connection" in headers for _, headers, _ in answers)


async def test_trailers_of_such_a_body_are_its_own() -> None:
    async def script(stream: Stream) -> None:
        while not (part := await stream.receive()).end:
            pass
        trailers.append(part)
        await hello(stream)

    trailers: list[object] = []
    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(HEAD % b"h2c" + b"Transfer-Encoding: chunked\r\n\r\n")
        visitor.say(b"1\r\nx\r\n0\r\nX-Sum: 5\r\n\r\n")
        assert (await visitor.response())[0] == 200
    assert trailers[0].headers == (b"x-sum", b"5")  # type: ignore[attr-defined]


async def test_expected_body_is_asked_for() -> None:
    async with running(echo) as run:
        visitor = await run.visitor()
        visitor.say(HEAD % b"h2c" + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await visitor.head())[0] == 100
        visitor.say(b"abc")
        assert (await visitor.response())[2] == b"abc"


async def test_malformed_body_is_400() -> None:
    async with running(echo) as run:
        visitor = await run.visitor()
        visitor.say(HEAD % b"h2c" + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (400, b"close", "bad_request")


async def test_last_request_that_asks_for_one_is_the_last() -> None:
    target = Target(echo)
    async with running(target) as run:
        visitor = await run.visitor()
        last = HEAD.replace(b"Upgrade\r\n", b"Upgrade, close\r\n", 1) % b"h2c"
        visitor.say(last + b"Content-Length: 3\r\n\r\nabc" + GET)
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], body) == (200, b"close", b"abc")
        assert await visitor.rest() == b""


@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize("before", [0, 1], ids=["first", "behind another"])
async def test_what_follows_a_refused_upgrade_is_dropped(framing: str, before: int) -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET * before + HEAD % b"websocket" + BODIES[framing] + GET)
        for _ in range(before):
            assert (await visitor.response())[0] == 200
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"]) == (400, b"close")
        assert json.loads(body)["detail"] == "a WebSocket handshake is a GET"
        visitor.say(GET)
        assert await visitor.rest() == b""
        visitor.leave()
        await within(run.forgotten())


async def test_end_of_input_after_a_refused_upgrade_leaves_it_its_answer() -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(HEAD % b"websocket" + BODIES["length"])
        visitor.writer.write_eof()
        assert (await visitor.response())[0] == 400
        assert await visitor.rest() == b""


class Heard:
    """What a parser tells."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_message_begin(self) -> None:
        self.told.append("begin")

    def on_url(self, url: bytes) -> None:
        self.told.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.told.append((name, value))

    def on_headers_complete(self) -> None:
        self.told.append("head")

    def on_body(self, body: bytes) -> None:
        self.told.append(body)

    def on_message_complete(self) -> None:
        self.told.append("end")


@pytest.mark.parametrize(
    ("headers", "body"), [((b"content-length", b"3"), b"abc"), ((b"x", b"y"), b"3\r\nabc\r\n0\r\n\r\n")]
)
def test_parser_tells_nothing_of_the_head_it_was_told(headers: tuple[bytes, ...], body: bytes) -> None:
    heard = Heard()
    parser = parser_within_body(heard, HttpRequest("POST", b"/", headers=headers).headers)
    assert heard.told == []
    parser.feed_data(body + GET)
    assert heard.told == [b"abc", "end", "begin", b"/", (b"Host", b"a.test"), "head", "end"]
