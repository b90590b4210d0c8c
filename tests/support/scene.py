"""What a recorded conversation is made of: visitors and upstreams with their lines, and the two ends between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

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
from tunnel.domain.envelopes import Opening, SessionPayload, TcpOpen
from tunnel.domain.errors import SessionError
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["ActingUpstream", "Heard", "Line", "Pause", "Scene", "Stage", "Visitor"]


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
