"""Watching what a client serves."""

from __future__ import annotations

import pytest

from tunnel.adapters.clock import AnyioClock
from tunnel.app.served_target import ServedSession, ServedTarget
from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    HttpRequest,
    HttpResponse,
    Opening,
    SessionPayload,
    TcpOpen,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import ProxyTarget, Stream

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", path=b"/a", query=b"secret", host=b"demo.test", body=b"12", end=True)
CALL = GrpcFrame(GrpcFrameType.METADATA, service="demo.Demo", method="Say")


class FakeStream(Stream):
    def __init__(self, head: Opening) -> None:
        self._head = head
        self.error: SessionError | None = None
        self.sent: list[SessionPayload] = []

    @property
    def head(self) -> Opening:
        return self._head

    async def receive(self) -> SessionPayload:
        return BodyChunk(b"345", end=True)

    async def send(self, payload: SessionPayload) -> None:
        self.sent.append(payload)

    def reset(self, error: SessionError) -> None:
        self.error = error


class Scripted(ProxyTarget):
    """Sends what it is given, then fails if told to."""

    def __init__(self, *payloads: SessionPayload, error: BaseException | None = None) -> None:
        self._payloads = payloads
        self._error = error

    async def handle(self, stream: Stream) -> None:
        await stream.receive()
        for payload in self._payloads:
            await stream.send(payload)
        if self._error is not None:
            raise self._error


class Concluding(Scripted):
    """Hands over all that it is given at once."""

    async def handle(self, stream: Stream) -> None:
        await stream.receive()
        await stream.conclude(*self._payloads)


async def served(head: Opening, target: Scripted) -> ServedSession:
    """What is told of a conversation, which passes unchanged."""
    told: list[ServedSession] = []
    begun: list[int] = []
    stream = FakeStream(head)
    watched = ServedTarget(target, clock=AnyioClock(), on_begin=lambda: begun.append(len(told)), on_end=told.append)
    if target._error is None:
        await watched.handle(stream)
    else:
        with pytest.raises(type(target._error)):
            await watched.handle(stream)
    assert stream.sent == list(target._payloads)
    assert begun == [0]
    (session,) = told
    return session


@pytest.mark.parametrize(
    ("head", "payloads", "expected"),
    [
        (
            GET,
            (HttpResponse(201, (), b"ab"), BodyChunk(b"cde", end=True)),
            ServedSession(
                protocol="http",
                method="GET",
                host="demo.test",
                path="/a",
                outcome="ok",
                status=201,
                duration_s=0,
                received_bytes=5,
                sent_bytes=5,
            ),
        ),
        (
            CALL,
            (GrpcFrame(GrpcFrameType.DATA, data=b"xyz"), GrpcFrame(GrpcFrameType.TRAILER, status=5)),
            ServedSession(
                protocol="grpc",
                method="POST",
                path="/demo.Demo/Say",
                outcome="ok",
                status=5,
                duration_s=0,
                received_bytes=3,
                sent_bytes=3,
            ),
        ),
        (
            HttpRequest("GET", path=b"/ws", protocol="websocket"),
            (HttpResponse(101), WebSocketFrame(WebSocketOpcode.CLOSE, (1001).to_bytes(2, "big"))),
            ServedSession(
                protocol="websocket",
                method="GET",
                path="/ws",
                outcome="ok",
                status=1001,
                duration_s=0,
                received_bytes=3,
            ),
        ),
        (TcpOpen("ssh"), (), ServedSession(protocol="tcp", outcome="ok", duration_s=0, received_bytes=3)),
    ],
)
async def test_each_protocol_is_told_as_it_went(
    head: Opening, payloads: tuple[SessionPayload, ...], expected: ServedSession
) -> None:
    assert await served(head, Scripted(*payloads)) == expected


@pytest.mark.parametrize(
    ("head", "error", "outcome", "status"),
    [
        (GET, SessionError(ErrorCode.UPSTREAM_UNREACHABLE), "upstream_unreachable", 502),
        (GET, ValueError("a mistake"), "internal", 500),
        (CALL, SessionError(ErrorCode.UPSTREAM_TIMEOUT), "upstream_timeout", 4),
        (TcpOpen("ssh"), SessionError(ErrorCode.UPSTREAM_UNREACHABLE), "upstream_unreachable", 0),
        (GET, KeyboardInterrupt(), "cancelled", 0),
    ],
)
async def test_failure_before_an_answer_is_told_as_the_visitor_sees_it(
    head: Opening, error: BaseException, outcome: str, status: int
) -> None:
    session = await served(head, Scripted(error=error))
    assert (session.outcome, session.status) == (outcome, status)


async def test_failure_after_the_answer_began_keeps_its_status() -> None:
    target = Scripted(HttpResponse(200), error=SessionError(ErrorCode.UPSTREAM_UNREACHABLE))
    session = await served(GET, target)
    assert (session.outcome, session.status) == ("upstream_unreachable", 200)


async def test_what_is_handed_over_at_once_is_told_as_if_it_was_not() -> None:
    payloads = (GrpcFrame(GrpcFrameType.DATA, data=b"xyz"), GrpcFrame(GrpcFrameType.TRAILER, status=5))
    session = await served(CALL, Concluding(*payloads))
    assert (session.outcome, session.status, session.sent_bytes) == ("ok", 5, 3)


async def test_text_of_visitors_is_cut() -> None:
    session = await served(HttpRequest("GET", path=b"/" + b"x" * 5000, host=b"h" * 5000), Scripted())
    assert len(session.path) == len(session.host) == 1024
