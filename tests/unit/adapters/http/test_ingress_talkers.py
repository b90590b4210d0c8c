"""Targets that only say, never waiting, to visitors that are gone: everybody else runs, and they are stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import anyio
import pytest
from ingress_kit import DEADLINE_S, Target
from ingress_kit import Visitor as AsgiVisitor
from listener_kit import GET, MOST_SAID, gone_after, running
from test_ingress_websocket import OPENING

from tunnel.adapters.http.ingress_asgi import AsgiIngress
from tunnel.domain.envelopes import BodyChunk, HttpResponse, SessionPayload, WebSocketFrame
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

TEXT = 1
BODY, MESSAGE = BodyChunk(b"x"), WebSocketFrame(TEXT, b"x")
SAYINGS = pytest.mark.parametrize(
    ("request_", "head", "saying"),
    [
        pytest.param(GET, HttpResponse(200, (b"content-type", b"text/plain")), BODY, id="chunks"),
        pytest.param(GET, HttpResponse(200), BodyChunk(bytes(32 * 1024)), id="large chunks"),
        pytest.param(GET.replace(b"1.1", b"1.0"), HttpResponse(200), BODY, id="until the end of the connection"),
        pytest.param(OPENING, HttpResponse(101), MESSAGE, id="messages"),
        pytest.param(OPENING, HttpResponse(403, (b"content-length", b"10000000")), BODY, id="a refusal"),
    ],
)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


class Talker:
    """Answers with ``head``, has its visitor leave, and goes on for ever."""

    def __init__(self, head: HttpResponse, saying: SessionPayload) -> None:
        self._head = head
        self._saying = saying
        self.said = 0
        self.leave: Callable[[], None] = lambda: None
        self.farewell: SessionPayload | None = None

    async def __call__(self, stream: Stream) -> None:
        await stream.send(self._head)
        self.leave()
        try:
            while self.said < MOST_SAID:
                await stream.send(self._saying)
                self.said += 1
        finally:
            if self.farewell is not None:
                for _ in range(3):
                    await stream.send(self.farewell)


@SAYINGS
async def test_visitor_of_a_listener_that_is_gone_stops_its_target(
    request_: bytes, head: HttpResponse, saying: SessionPayload
) -> None:
    talker = Talker(head, saying)
    target = Target(talker)
    async with running(target) as run:
        talker.leave = gone_after(run, request_)
        async with asyncio.timeout(DEADLINE_S):
            await target.cancelled.wait()
        await run.forgotten()
        assert talker.said < MOST_SAID


@SAYINGS
async def test_target_that_speaks_while_it_is_stopped_ends_all_the_same(
    request_: bytes, head: HttpResponse, saying: SessionPayload
) -> None:
    talker = Talker(head, saying)
    talker.farewell = saying
    target = Target(talker)
    async with running(target) as run:
        talker.leave = gone_after(run, request_)
        async with asyncio.timeout(DEADLINE_S):
            await target.entered.wait()
            while run.ingress._server is None or run.ingress._server.server_state.tasks:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert talker.said < MOST_SAID


async def test_target_that_speaks_on_after_the_last_word_does_not_hold_the_listener() -> None:
    async def speak_on(stream: Stream) -> None:
        await stream.send(HttpResponse(101))
        run.ingress.drain(0)
        while True:
            await stream.send(WebSocketFrame(TEXT, bytes(32 * 1024)))

    async with running(speak_on) as run:
        visitor = await run.visitor()
        visitor.say(OPENING)
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(OSError):
                while await visitor.reader.read(2**16):
                    pass
            await run.serving


class SilentServer(AsgiVisitor):
    """An ASGI server that takes everything without waiting for anything."""

    async def send(self, message: dict[str, object]) -> None:
        self.sent.append(message)


async def test_visitor_of_another_server_that_is_gone_stops_its_target() -> None:
    talker = Talker(HttpResponse(200), BODY)
    target = Target(talker)
    visitor = SilentServer()
    talker.leave = visitor.leave
    with anyio.fail_after(DEADLINE_S):
        await AsgiIngress(target)(visitor.scope, visitor.receive, visitor.send)
    visitor.close()
    assert target.cancelled.is_set()
    assert talker.said < MOST_SAID
