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
from support.fake_upstream import FakeTarget, Handler

from tunnel.app.client import Client
from tunnel.app.entry_target import EntryTarget
from tunnel.app.group_route import GroupRoute
from tunnel.app.server import Server
from tunnel.domain.configuration import ForwardRule, ForwardSettings, UpstreamSettings
from tunnel.domain.envelopes import Frame, Opening, SessionPayload, TcpOpen
from tunnel.domain.errors import SessionError
from tunnel.domain.rules.rule import Rule
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.testing.target.dialects import DIALECTS

__all__ = ["ActingUpstream", "Heard", "Line", "Pause", "Scene", "Stage", "Visitor"]

_PAUSE_S = 0.2
"""Between a visitor's first answer and the next one's coming."""


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


class ActingUpstream(FakeTarget):
    """Handles every conversation with ``handler``, and keeps what it is given."""

    def __init__(self, handler: Handler, *, protocols: frozenset[str] = frozenset(DIALECTS)) -> None:
        super().__init__(handler, protocols=protocols)
        self.heard: list[list[SessionPayload]] = []
        self.errors: list[str | None] = []
        self.running = 0

    async def take(self, stream: Stream) -> None:
        heard: list[SessionPayload] = [stream.head]
        number = len(self.heard)
        self.heard.append(heard)
        self.errors.append(None)
        self.running += 1
        try:
            await self.handler(_Listening(stream, heard))
        except SessionError as exc:
            self.errors[number] = exc.code.value
            raise
        except anyio.get_cancelled_exc_class():
            self.errors[number] = "cancelled"
            raise
        finally:
            self.running -= 1


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

    @property
    def ready(self) -> bool:
        """Whether visitors may come, as far as those know who are there."""
        published = self.server is None or any(
            tunnel.published for client in self.server.clients().clients for tunnel in client.tunnels
        )
        return published and (self.client is None or self.client._lines.current.ready)

    @property
    def refusal(self) -> str:
        """The code with which the client was turned away for good; empty when it was not."""
        refusal = None if self.client is None else self.client._lines.current.refusal
        return "" if refusal is None else refusal.code.value


class Scene(msgspec.Struct, frozen=True):
    """One conversation, or a few, or a tunnel without any.

    Args:
        about: For the file.
        visits: Opening and lines of each visitor; without any, only the first link is recorded.
        handler: The upstream's part.
        act: What else is done to the server or to the client.
        disturb: What befalls the link; only while recording, as a player does that by itself.
        disguise: Changes what the recorded client says.
        leaves: Whether the visitor leaves once it was given something.
        at_once: Whether each visitor comes when the one before was given something, instead of when it has gone.
        claims: Whether the client claims a host instead of joining a group.
        forward: Visitors come to the client, and these rules of the server decide; None: they come to the server.
        target: The upstream's address; ``handler`` answers there.
        rules: Of the group, beside the one that leads to the upstream.
        settings: Of the client, where it has others than usual.
        limits: Of both sides.
    """

    about: str
    visits: tuple[tuple[Opening, tuple[Line, ...]], ...]
    handler: Handler
    act: Callable[[Stage], Awaitable[None]] | None = None
    disturb: Callable[[Stage], Awaitable[None]] | None = None
    disguise: Callable[[Frame], Frame] | None = None
    leaves: bool = False
    at_once: bool = False
    claims: bool = False
    forward: tuple[ForwardRule, ...] | None = None
    target: str = "http://127.0.0.1:3000"
    rules: tuple[Rule, ...] = ()
    settings: dict[str, Any] = {}
    limits: dict[str, Any] = {}

    def server(self, world: World, upstream: ActingUpstream) -> Server:
        if self.claims:
            return granting(world, **self.limits)
        upstreams = {"app": UpstreamSettings(targets=(self.target,))}
        if self.forward is not None:
            container = world.server_container()
            self._answer(container, upstream)
            plain = world.server(groups={"web": group()}, container=container, **self.limits)
            forward = ForwardSettings(rules=self.forward, upstreams=upstreams)
            return Server(msgspec.structs.replace(plain.settings, forward=forward), container=container)
        web = group(upstreams=upstreams)
        web = msgspec.structs.replace(web, rules=(*self.rules, *web.rules))
        if self.target.startswith("tcp:"):
            # Listeners name the upstreams of TCP; rules do not.
            web = msgspec.structs.replace(web, rules=())
        return world.server(groups={"web": web}, **self.limits)

    def client(self, world: World, upstream: ActingUpstream) -> Client:
        if self.claims:
            return claiming(world, "app.laptop.test", client_id="one", upstream=upstream, **self.limits)  # type: ignore[arg-type]
        container = world.client_container()
        if self.forward is None:
            self._answer(container, upstream)
        return world.client(container=container, **self.settings, **self.limits)

    def _answer(self, container: Any, upstream: ActingUpstream) -> None:
        scheme = self.target.partition(":")[0]
        container.targets.providers[scheme].override(providers.Callable(lambda *_: upstream.another()))

    async def visit(self, stage: Stage) -> None:
        """The visitors' part."""
        async with anyio.create_task_group() as visits:
            for head, lines in self.visits:
                visitor = Visitor(head, lines)
                stage.visitors.append(visitor)
                if self.at_once:
                    visits.start_soon(self._visit, stage, visitor)
                    await until(lambda visitor=visitor: visitor.sent or visitor.error)
                    await anyio.sleep(_PAUSE_S)
                else:
                    await self._visit(stage, visitor)

    async def _visit(self, stage: Stage, visitor: Visitor) -> None:
        async with anyio.create_task_group() as tasks:
            if self.leaves:
                tasks.start_soon(self._leave, visitor, tasks.cancel_scope)
            try:
                await self._entered(stage, visitor.head).handle(visitor)
            except SessionError as exc:
                visitor.error = exc
            tasks.cancel_scope.cancel()

    def _entered(self, stage: Stage, head: Opening) -> ProxyTarget:
        """Where a conversation that begins with ``head`` comes in."""
        if self.forward is not None:
            client = stage.client
            assert client is not None
            return EntryTarget(client._route, group=lambda: "web", ledger=client.container.ledger())
        server = stage.server
        assert server is not None
        if isinstance(head, TcpOpen):
            return GroupRoute(server._target, "web", server.container.ledger())
        return server._target

    async def _leave(self, visitor: Visitor, scope: anyio.CancelScope) -> None:
        await until(lambda: visitor.sent)
        scope.cancel()
