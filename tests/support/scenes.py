"""What happens in recorded conversations: what visitors and upstreams say, and what befalls the tunnel meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import anyio
import anyio.lowlevel
import msgspec
from dependency_injector import providers
from support.app_kit import World, group, until
from support.claims_kit import claiming, granting

from tunnel.app.client import Client
from tunnel.app.group_route import GroupRoute
from tunnel.app.server import Server
from tunnel.domain.configuration import UpstreamSettings
from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    HttpRequest,
    HttpResponse,
    Opening,
    SessionPayload,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import KIB
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["SCENES", "ActingUpstream", "Heard", "Pause", "Scene", "Stage", "Visitor"]


class Heard(msgspec.Struct, frozen=True):
    """Go on once something has come, and ``data_bytes`` of content with it."""

    data_bytes: int = 0


class Pause(msgspec.Struct, frozen=True):
    """Go on ``delay_s`` seconds later."""

    delay_s: float


Line = SessionPayload | Heard | Pause


class Visitor(Stream):
    """Says its lines, and keeps what it is given."""

    def __init__(self, head: Opening, lines: tuple[Line, ...] = ()) -> None:
        self._head = head
        self._lines = list(lines)
        self.sent: list[SessionPayload] = []
        self.error: SessionError | None = None

    @property
    def head(self) -> Opening:
        return self._head

    @property
    def data_bytes(self) -> int:
        return sum(each.carried_bytes for each in self.sent)

    async def receive(self) -> SessionPayload:
        await anyio.lowlevel.checkpoint()
        while True:
            match self._lines[0] if self._lines else None:
                case None:
                    await anyio.sleep_forever()
                case Heard() as wanted:
                    await until(lambda wanted=wanted: self.sent and self.data_bytes >= wanted.data_bytes)
                    self._lines.pop(0)
                case Pause(delay_s):
                    await anyio.sleep(delay_s)
                    self._lines.pop(0)
                case payload:
                    self._lines.pop(0)
                    return payload

    async def send(self, payload: SessionPayload) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(payload)

    def reset(self, error: SessionError) -> None:
        self.error = self.error or error


Handler = Callable[[Stream], Awaitable[None]]


class ActingUpstream(UpstreamTarget):
    """Handles every conversation with ``handler``, and keeps what it is given."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.heard: list[list[SessionPayload]] = []
        self.errors: list[str | None] = []
        self.running = 0

    async def handle(self, stream: Stream) -> None:
        heard: list[SessionPayload] = [stream.head]
        number = len(self.heard)
        self.heard.append(heard)
        self.errors.append(None)
        self.running += 1
        try:
            await self._handler(_Listening(stream, heard))
        except SessionError as exc:
            self.errors[number] = exc.code.value
            raise
        except anyio.get_cancelled_exc_class():
            self.errors[number] = "cancelled"
            raise
        finally:
            self.running -= 1

    async def aclose(self) -> None:
        return None


class _Listening(Stream):
    def __init__(self, stream: Stream, heard: list[SessionPayload]) -> None:
        self._stream = stream
        self._heard = heard

    @property
    def head(self) -> Opening:
        return self._stream.head

    async def receive(self) -> SessionPayload:
        payload = await self._stream.receive()
        self._heard.append(payload)
        return payload

    async def send(self, payload: SessionPayload) -> None:
        await self._stream.send(payload)

    def reset(self, error: SessionError) -> None:
        self._stream.reset(error)


class Stage(msgspec.Struct):
    """Who is there: of server and client one may be played from a recording, and is None."""

    world: World
    server: Server | None
    client: Client | None
    upstream: ActingUpstream
    visitors: list[Visitor]


class Scene(msgspec.Struct, frozen=True):
    """One conversation, or a few.

    Args:
        about: For the file.
        visits: Opening and lines of each visitor, who come one after the other.
        handler: The upstream's part.
        act: What else is done to the server or to the client.
        disturb: What befalls the link; only while recording, as a player does that by itself.
        leaves: Whether the visitor leaves once it was given something.
        claims: Whether the client claims a host instead of joining a group.
        target: The upstream's address; ``handler`` answers there.
        limits: Of both sides.
    """

    about: str
    visits: tuple[tuple[Opening, tuple[Line, ...]], ...]
    handler: Handler
    act: Callable[[Stage], Awaitable[None]] | None = None
    disturb: Callable[[Stage], Awaitable[None]] | None = None
    leaves: bool = False
    claims: bool = False
    target: str = "http://127.0.0.1:3000"
    limits: dict[str, Any] = {}

    def server(self, world: World) -> Server:
        if self.claims:
            return granting(world, **self.limits)
        upstreams = {"app": UpstreamSettings(targets=(self.target,))}
        web = group(upstreams=upstreams)
        if self.target.startswith("tcp:"):
            # Listeners name the upstreams of TCP; rules do not.
            web = msgspec.structs.replace(web, rules=())
        return world.server(groups={"web": web}, **self.limits)

    def client(self, world: World, upstream: ActingUpstream) -> Client:
        if self.claims:
            return claiming(world, "app.laptop.test", client_id="one", upstream=upstream, **self.limits)  # type: ignore[arg-type]
        container = world.client_container()
        scheme = self.target.partition(":")[0]
        container.targets.providers[scheme].override(providers.Callable(lambda *_: upstream))
        return world.client(container=container, **self.limits)

    async def visit(self, stage: Stage) -> None:
        """The visitors' part: they come one after the other."""
        server = stage.server
        assert server is not None
        for head, lines in self.visits:
            visitor = Visitor(head, lines)
            stage.visitors.append(visitor)
            target = (
                GroupRoute(server._target, "web", server.container.ledger())
                if isinstance(head, TcpOpen)
                else server._target
            )
            async with anyio.create_task_group() as tasks:
                if self.leaves:
                    tasks.start_soon(self._leave, visitor, tasks.cancel_scope)
                try:
                    await target.handle(visitor)
                except SessionError as exc:
                    visitor.error = exc
                tasks.cancel_scope.cancel()

    async def _leave(self, visitor: Visitor, scope: anyio.CancelScope) -> None:
        await until(lambda: visitor.sent)
        scope.cancel()


# -- upstreams


async def _echo(stream: Stream) -> None:
    head = stream.head
    body, ended = (head.body, head.end) if isinstance(head, HttpRequest) else (b"", head.end)
    await stream.send(HttpResponse(200, (b"content-type", b"text/plain"), body, end=ended))
    while not ended:
        payload = await stream.receive()
        await stream.send(payload)
        ended = payload.end


async def _count(stream: Stream) -> None:
    """Read slowly, then tell how much it was: credit is returned on the way."""
    total, ended = 0, stream.head.end
    while not ended:
        payload = await stream.receive()
        total += payload.carried_bytes
        ended = payload.end
    await stream.send(HttpResponse(200, (), b"%d" % total, end=True))


async def _refuse_early(stream: Stream) -> None:
    await stream.receive()
    await stream.send(HttpResponse(413, (b"content-length", b"9"), b"too large", end=True))


async def _fail(stream: Stream) -> None:
    raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream cannot be reached", detail="refused")


async def _break_off(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"the beginning"))
    # The visitor has that before it is told.
    await anyio.sleep(1)
    raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream broke off")


async def _linger(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"one"))
    await anyio.sleep_forever()


async def _slow(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"one"))
    await anyio.sleep(2)
    await stream.send(BodyChunk(b"two", end=True))


async def _late(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"one"))
    await anyio.sleep(1)
    await stream.send(BodyChunk(b"two", end=True))


async def _unary(stream: Stream) -> None:
    await stream.send(GrpcFrame(GrpcFrameType.METADATA, metadata=(b"x-initial", b"1")))
    await stream.send(GrpcFrame(GrpcFrameType.DATA, data=b"an answer"))
    await stream.send(GrpcFrame(GrpcFrameType.TRAILER, metadata=(b"x-trailing-bin", b"\x00\xff"), status=0))


async def _chat(stream: Stream) -> None:
    await stream.send(GrpcFrame(GrpcFrameType.METADATA))
    payload = None
    while payload is None or not payload.end:
        payload = await stream.receive()
        if isinstance(payload, GrpcFrame) and payload.type == GrpcFrameType.DATA:
            await stream.send(payload)
    await stream.send(GrpcFrame(GrpcFrameType.TRAILER, status=5, message="nothing more"))


async def _websocket(stream: Stream) -> None:
    await stream.send(HttpResponse(101, (b"sec-websocket-protocol", b"chat")))
    payload = None
    while payload is None or not payload.end:
        payload = await stream.receive()
        with suppress(SendingStopped):
            await stream.send(payload)


async def _half_closing(stream: Stream) -> None:
    """Send all when the other end has ended, as a program behind ``nc -N`` does."""
    taken, ended = b"", False
    while not ended:
        payload = await stream.receive()
        assert isinstance(payload, BodyChunk)
        taken += payload.data
        ended = payload.end
    await stream.send(BodyChunk(taken.upper()))
    await stream.send(BodyChunk(end=True))


# -- what befalls the tunnel


async def _cut(stage: Stage) -> None:
    """Stall the link once the first answer is there, and cut it when more was sent."""
    await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
    for pair in stage.world.network.pairs():
        pair.stall()
    await anyio.sleep(2)
    stage.world.network.sever()


async def _server_leaves(stage: Stage) -> None:
    if stage.server is not None:
        await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
        await stage.server.aclose(drain_s=10)


async def _client_leaves(stage: Stage) -> None:
    if stage.client is not None:
        await until(lambda: stage.upstream.heard)
        await anyio.sleep(0.5)
        await stage.client.aclose(drain_s=10)


async def _push(stage: Stage) -> None:
    """One configuration that the client takes, and one that it may not."""
    if stage.server is not None:
        await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
        for target in ("http://127.0.0.1:3001", "http://192.0.2.9:80"):
            upstreams = {"app": UpstreamSettings(targets=(target,))}
            settings = msgspec.structs.replace(stage.server.settings, groups={"web": group(upstreams=upstreams)})
            await stage.server.reload(settings)
            await anyio.sleep(0.5)


# -- openings

_HOST: Final = (b"host", b"app.test")
_GET: Final = HttpRequest(
    "GET", b"/a%2Fb", b"q=1", host=b"app.test", headers=(*_HOST, b"x-twice", b"1", b"x-twice", b"\xff"), end=True
)
_POST: Final = HttpRequest("POST", b"/upload", host=b"app.test", headers=_HOST)
_EXPECTING: Final = HttpRequest(
    "PUT", b"/file", host=b"app.test", headers=(*_HOST, b"expect", b"100-continue", b"content-length", b"4")
)
_SOCKET: Final = HttpRequest(
    "GET",
    b"/socket",
    host=b"app.test",
    headers=(*_HOST, b"sec-websocket-protocol", b"chat"),
    protocol="websocket",
)
_CALL: Final = GrpcFrame(
    GrpcFrameType.METADATA, "shop.v1.Orders", "Watch", metadata=(b"x-tag", b"1", b"grpc-timeout", b"5S")
)
_ENDS: Final = GrpcFrame(GrpcFrameType.CLOSE)
_SMALL: Final = {"session_window_bytes": 8 * KIB, "session_window_max_bytes": 8 * KIB}

SCENES: Final[dict[str, Scene]] = {
    "http-get": Scene("A request without a body, and its answer in one envelope.", ((_GET, ()),), _echo),
    "http-upload-trailers": Scene(
        "An upload in pieces with trailers, each echoed.",
        ((_POST, (BodyChunk(b"one"), Heard(3), BodyChunk(b"two"), Heard(6), Trailers((b"x-sum", b"6")))),),
        _echo,
    ),
    "http-early-response": Scene(
        "The upstream answers before the upload is over, and wants no more of it: stop_sending.",
        ((_POST, (BodyChunk(b"a"), Heard(9), BodyChunk(b"b"), Pause(1), BodyChunk(b"c", end=True))),),
        _refuse_early,
    ),
    "http-expect-continue": Scene(
        "A visitor that waits for 100 Continue; the body goes out when the upstream reads.",
        ((_EXPECTING, (BodyChunk(b"body", end=True),)),),
        _count,
    ),
    "http-credit": Scene(
        "An upload of many windows: each side waits for window_update.",
        ((_POST, (*(BodyChunk(bytes([65 + number]) * 1000) for number in range(20)), BodyChunk(end=True))),),
        _count,
        limits=_SMALL,
    ),
    "http-pieces": Scene(
        "A body larger than the window, said at once and echoed: split into pieces of a quarter of a window.",
        ((_POST, (BodyChunk(b"x" * 20_000, end=True),)),),
        _echo,
        limits=_SMALL,
    ),
    "http-error": Scene("The upstream cannot be reached: error before any answer.", ((_GET, ()),), _fail),
    "http-broken-off": Scene("The upstream fails in the middle of its answer.", ((_GET, ()),), _break_off),
    "http-visitor-leaves": Scene("The visitor leaves: its session is reset.", ((_GET, ()),), _linger, leaves=True),
    "grpc-unary-whole": Scene(
        "A unary call whose caller says all in one envelope.",
        ((GrpcFrame(GrpcFrameType.WHOLE, "shop.v1.Orders", "Get", metadata=(b"x-tag", b"1"), data=b"a question"), ()),),
        _unary,
        target="grpc://127.0.0.1:50051",
    ),
    "grpc-streamed": Scene(
        "A call with messages both ways, one of them in two frames, and a status that is not OK.",
        (
            (
                _CALL,
                (
                    GrpcFrame(GrpcFrameType.DATA, data=b"one"),
                    Heard(3),
                    GrpcFrame(GrpcFrameType.DATA, data=b"tw", more=True),
                    GrpcFrame(GrpcFrameType.DATA, data=b"o"),
                    Heard(6),
                    _ENDS,
                ),
            ),
        ),
        _chat,
        target="grpc://127.0.0.1:50051",
    ),
    "websocket": Scene(
        "Text, a fragmented binary message, and a close with code and reason.",
        (
            (
                _SOCKET,
                (
                    WebSocketFrame(WebSocketOpcode.TEXT, b"hello"),
                    Heard(5),
                    WebSocketFrame(WebSocketOpcode.BINARY, b"\x00\x01", fin=False),
                    WebSocketFrame(WebSocketOpcode.CONTINUATION, b"\x02"),
                    Heard(8),
                    WebSocketFrame(WebSocketOpcode.CLOSE, b"\x03\xe8bye"),
                ),
            ),
        ),
        _websocket,
    ),
    "tcp-half-close": Scene(
        "The visitor ends its direction; the upstream answers after that, and ends its own.",
        ((TcpOpen("app", peer="192.0.2.1"), (BodyChunk(b"shout "), BodyChunk(b"this", end=True))),),
        _half_closing,
        target="tcp://127.0.0.1:22",
    ),
    "claim": Scene(
        "A client that claims a host instead of joining a group.",
        ((msgspec.structs.replace(_GET, host=b"app.laptop.test", headers=(b"host", b"app.laptop.test")), ()),),
        _echo,
        claims=True,
    ),
    "config-push": Scene(
        "While a request is under way, a configuration that the client applies, and one that it rejects.",
        ((_POST, (BodyChunk(b"one"), Heard(3), Pause(4), BodyChunk(b"two", end=True))),),
        _echo,
        act=_push,
    ),
    "resume": Scene(
        "The link is lost under a conversation; another resumes the tunnel, and both ends send again what was lost.",
        ((_POST, (BodyChunk(b"one"), Heard(3), Pause(1), BodyChunk(b"two"), Heard(6), BodyChunk(b"!", end=True))),),
        _echo,
        disturb=_cut,
    ),
    "resume-answer": Scene(
        "The link is lost under an answer: what the client has said is sent again.",
        ((_GET, ()),),
        _late,
        disturb=_cut,
    ),
    "server-goes-away": Scene(
        "The server drains: go_away, and the conversation under way finishes.",
        ((_GET, ()),),
        _slow,
        act=_server_leaves,
    ),
    "client-goes-away": Scene(
        "The client drains: go_away, and the conversation under way finishes.",
        ((_GET, ()),),
        _slow,
        act=_client_leaves,
    ),
}
