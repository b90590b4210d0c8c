"""WebSocket conversations of the ASGI ingress, on any event loop."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from ingress_kit import DEADLINE_S, Target

from tunnel.adapters.http.ingress_asgi import AsgiIngress
from tunnel.adapters.http.ingress_types import IngressSettings, Message
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, WebSocketFrame
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


TEXT, BINARY, CONTINUATION, CLOSE = 1, 2, 0, 8
REFUSALS = {"websocket.http.response": {}}


class Server:
    """An ASGI server with one WebSocket."""

    def __init__(self, **scope: Any) -> None:
        self.sent: list[Message] = []
        self._feed, self._events = anyio.create_memory_object_stream[Message](math.inf)
        self.give("connect")
        self.scope = {
            "type": "websocket",
            "http_version": "1.1",
            "scheme": "ws",
            "path": "/a",
            "raw_path": b"/a",
            "query_string": b"b=1",
            "headers": [
                (b"host", b"a.test"),
                (b"upgrade", b"websocket"),
                (b"connection", b"Upgrade"),
                (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
                (b"sec-websocket-version", b"13"),
                (b"sec-websocket-protocol", b"one, two"),
                (b"cookie", b"a=1"),
            ],
            "client": ("192.0.2.1", 1),
            "extensions": REFUSALS,
            **scope,
        }

    def __enter__(self) -> None:
        """Its channels are closed afterwards."""

    def __exit__(self, *_: object) -> None:
        self._feed.close()
        self._events.close()

    def give(self, kind: str, **values: Any) -> None:
        self._feed.send_nowait({"type": f"websocket.{kind}", **values})

    async def receive(self) -> Message:
        return await self._events.receive()

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def visit(server: Server, script: Callable[[Stream], Awaitable[None]] | Target, **settings: Any) -> Target:
    target = script if isinstance(script, Target) else Target(script)
    with anyio.fail_after(DEADLINE_S), server:
        await AsgiIngress(target, settings=IngressSettings(**settings))(server.scope, server.receive, server.send)
    return target


ACCEPT = HttpResponse(101, (b"X-One", b"1", b"Sec-WebSocket-Protocol", b"two", b"Set-Cookie", b"b=2"))


async def echo(stream: Stream) -> None:
    await stream.send(ACCEPT)
    while True:
        frame = await stream.receive()
        await stream.send(frame)
        if frame.end:
            return


async def test_head_and_acceptance_are_those_of_the_two_ends() -> None:
    server = Server()
    server.give("disconnect", code=1000, reason="")
    target = await visit(server, echo)

    assert target.head == HttpRequest(
        "GET",
        b"/a",
        b"b=1",
        b"a.test",
        (b"host", b"a.test", b"sec-websocket-protocol", b"one, two", b"cookie", b"a=1", b"x-forwarded-for",
         b"192.0.2.1", b"x-forwarded-proto", b"http", b"x-forwarded-host", b"a.test"),
        protocol="websocket",
    )  # fmt: skip
    assert server.sent == [
        {"type": "websocket.accept", "subprotocol": "two", "headers": [(b"x-one", b"1"), (b"set-cookie", b"b=2")]}
    ]


async def test_messages_are_echoed() -> None:
    server = Server()
    server.give("receive", text="h\u00e9")
    server.give("receive", bytes=b"\xff", text=None)
    server.give("receive", text="")
    server.give("disconnect", code=4000, reason="bye")
    await visit(server, echo)

    assert server.sent[1:] == [
        {"type": "websocket.send", "text": "h\u00e9"},
        {"type": "websocket.send", "bytes": b"\xff"},
        {"type": "websocket.send", "text": ""},
    ]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ({"code": 4000, "reason": "bye"}, b"\x0f\xa0bye"),
        ({"code": 1005}, b""),
        ({"code": None, "reason": None}, b""),
        ({"code": 1001, "reason": ""}, b"\x03\xe9"),
    ],
)
async def test_close_of_the_visitor_is_told(event: dict[str, Any], payload: bytes) -> None:
    heard: list[Any] = []

    async def listen(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        heard.append(await stream.receive())
        await stream.send(WebSocketFrame(CLOSE))

    server = Server()
    server.give("disconnect", **event)
    await visit(server, listen)

    assert heard == [WebSocketFrame(CLOSE, payload)]


@pytest.mark.parametrize("code", [1006, 1015, 999])
async def test_visitor_that_is_lost_cancels_the_target(code: int) -> None:
    server = Server()
    server.give("disconnect", code=code)
    target = await visit(server, Target(echo))

    assert target.cancelled.is_set()


async def test_pieces_are_sent_as_one_message_and_close_with_its_code() -> None:
    async def speak(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await stream.send(WebSocketFrame(TEXT, b"h\xc3", fin=False))
        await stream.send(WebSocketFrame(CONTINUATION, b"\xa9"))
        await stream.send(WebSocketFrame(CLOSE, b"\x0f\xa0enough"))

    server = Server()
    await visit(server, speak)

    assert server.sent[1:] == [
        {"type": "websocket.send", "text": "h\u00e9"},
        {"type": "websocket.close", "code": 4000, "reason": "enough"},
    ]


async def test_close_without_a_code_is_1000() -> None:
    async def leave(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await stream.send(WebSocketFrame(CLOSE))

    server = Server()
    await visit(server, leave)

    assert server.sent[-1] == {"type": "websocket.close", "code": 1000, "reason": ""}


async def test_refusal_is_passed_on() -> None:
    async def refuse(stream: Stream) -> None:
        await stream.send(HttpResponse(403, (b"X-Reason", b"tea")))
        await stream.send(BodyChunk(b"no "))
        await stream.send(BodyChunk(b"tea", end=True))

    server = Server()
    await visit(server, refuse)

    assert server.sent == [
        {"type": "websocket.http.response.start", "status": 403, "headers": [(b"x-reason", b"tea")]},
        {"type": "websocket.http.response.body", "body": b"no ", "more_body": True},
        {"type": "websocket.http.response.body", "body": b"tea", "more_body": False},
    ]


async def test_refusal_is_a_close_where_the_server_cannot_say_more() -> None:
    async def refuse(stream: Stream) -> None:
        await stream.send(HttpResponse(403, (), b"no", end=True))

    server = Server(extensions={})
    await visit(server, refuse)

    assert server.sent == [{"type": "websocket.close"}]


async def test_failure_before_acceptance_is_a_problem_document() -> None:
    async def fail(stream: Stream) -> None:
        raise SessionError(ErrorCode.NO_CLIENT, "nobody", detail="secret")

    server = Server()
    await visit(server, fail)

    start, body = server.sent
    assert start["status"] == 503
    assert b'"no_client"' in body["body"]
    assert b"secret" not in body["body"]


@pytest.mark.parametrize("last", [WebSocketFrame(BINARY, b"x"), WebSocketFrame(TEXT, b"x", fin=False)])
async def test_failure_after_acceptance_is_a_close(last: WebSocketFrame) -> None:
    async def fail(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await stream.send(last)
        raise SessionError(ErrorCode.PEER_LOST, "the tunnel was lost", detail="secret")

    server = Server()
    await visit(server, fail)

    assert server.sent[-1] == {"type": "websocket.close", "code": 1014, "reason": "the tunnel was lost"}


@pytest.mark.parametrize("payload", [BodyChunk(b"x"), WebSocketFrame(CONTINUATION, b"x"), HttpResponse(101)])
async def test_what_does_not_belong_in_a_conversation_fails_it(payload: Any) -> None:
    async def confuse(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        await stream.send(payload)

    server = Server()
    await visit(server, confuse)

    assert server.sent[-1]["code"] == 1014


async def test_message_over_the_limit_is_1009_and_cancels_the_target() -> None:
    server = Server()
    server.give("receive", bytes=bytes(11))
    target = await visit(server, Target(echo), max_message_bytes=10)

    assert server.sent[-1] == {"type": "websocket.close", "code": 1009, "reason": "over 10 bytes"}
    assert target.cancelled.is_set()


async def test_wrong_head_is_refused_and_reaches_no_target() -> None:
    server = Server(path="/..", raw_path=b"/..", headers=[(b"host", b"a.test"), (b"host", b"b.test")])
    target = await visit(server, Target(echo))

    assert server.sent[0]["status"] == 400
    assert target.heads == []


async def test_reset_wakes_a_target_that_waits() -> None:
    async def give_up(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waits, stream)
            await anyio.wait_all_tasks_blocked()
            stream.reset(SessionError(ErrorCode.OVERLOADED, "enough"))

    async def waits(stream: Stream) -> None:
        with pytest.raises(SessionError):
            await stream.receive()

    server = Server()
    await visit(server, give_up)

    assert server.sent[-1] == {"type": "websocket.close", "code": 1013, "reason": "enough"}
