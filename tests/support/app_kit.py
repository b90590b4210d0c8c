"""Servers, clients, visitors and upstreams for tests of the application layer, joined by memory and virtual time."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import msgspec
from dependency_injector import providers
from support.fake_upstream import FakeUpstream, Handler, echo

from tunnel.adapters.clock import AnyioClock
from tunnel.adapters.memory.link import MemoryLink
from tunnel.adapters.memory.listener import MemoryListener
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.app.client import Client
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    AuthSettings,
    ClientSettings,
    GroupSettings,
    LimitsSettings,
    MemoryTransportSettings,
    Secret,
    ServerSettings,
    TokenSettings,
    TransportsSettings,
    UpstreamSettings,
)
from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Frame,
    HttpRequest,
    HttpResponse,
    Payload,
    Register,
    SessionPayload,
)
from tunnel.domain.errors import SessionError
from tunnel.domain.mux.budget import Budget
from tunnel.domain.rules.rule import Rule
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import Event, Telemetry
from tunnel.ports.transport import Link, LinkService

__all__ = [
    "EDGE",
    "OTHER_TOKEN",
    "TOKEN",
    "Answer",
    "FakeStream",
    "FakeUpstream",
    "Recorder",
    "ScriptedServer",
    "World",
    "ask",
    "counted",
    "echo",
    "group",
    "register",
    "scope",
    "uncounted",
    "until",
]

TOKEN = "a token"
OTHER_TOKEN = "another token"
EDGE = "memory://edge"

E = TypeVar("E")
_KEPT_EVENTS = 2000
"""More than any test makes, and less than memory is to hold of events without end."""


class Recorder(Telemetry):
    """Keeps what it is told, as long as that can be kept.

    Args:
        wants_sessions: Whether it is to be told of each conversation.
    """

    def __init__(self, *, wants_sessions: bool = False) -> None:
        self.wants_sessions = wants_sessions
        self._events: deque[Event] = deque(maxlen=_KEPT_EVENTS)

    def record(self, event: Event) -> None:
        self._events.append(event)

    @property
    def events(self) -> list[Event]:
        """All there were."""
        assert len(self._events) < _KEPT_EVENTS, "more events than are kept"
        return list(self._events)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class FakeStream(Stream):
    """A visitor's conversation.

    Args:
        head: The opening.
        body: What follows it, to be received one by one; more comes by ``feed``.
        room: Envelopes taken before ``send`` waits for ``make_room``; None for no bound.
    """

    def __init__(self, head: HttpRequest, body: Iterable[SessionPayload] = (), *, room: int | None = None) -> None:
        self._head = head
        self._input = deque(body)
        self._more = anyio.Event()
        self._room = room
        self._roomier = anyio.Event()
        self.sent: list[SessionPayload] = []
        self.received = 0
        self.error: SessionError | None = None

    @property
    def head(self) -> HttpRequest:
        return self._head

    async def receive(self) -> SessionPayload:
        await anyio.lowlevel.checkpoint()
        while not self._input:
            await self._more.wait()
        self.received += 1
        return self._input.popleft()

    async def send(self, payload: SessionPayload) -> None:
        await anyio.lowlevel.checkpoint()
        while self._room is not None and self._room <= 0:
            await self._roomier.wait()
        if self._room is not None:
            self._room -= 1
        self.sent.append(payload)

    def reset(self, error: SessionError) -> None:
        self.error = self.error or error

    def feed(self, *payloads: SessionPayload) -> None:
        self._input += payloads
        self._more.set()
        self._more = anyio.Event()

    def make_room(self, room: int | None) -> None:
        self._room = room
        self._roomier.set()
        self._roomier = anyio.Event()

    @property
    def answer(self) -> HttpResponse | None:
        return next((each for each in self.sent if isinstance(each, HttpResponse)), None)

    @property
    def body(self) -> bytes:
        return b"".join(_data(each) for each in self.sent)

    @property
    def ended(self) -> bool:
        return any(each.end for each in self.sent)


def _data(payload: SessionPayload) -> bytes:
    match payload:
        case HttpResponse() | HttpRequest():
            return payload.body
        case BodyChunk():
            return payload.data
        case _:
            return b""


def group(**settings: Any) -> GroupSettings:
    """A group whose only rule leads to the upstream ``app``."""
    return msgspec.structs.replace(
        GroupSettings(
            rules=(Rule(path_prefix="/", upstream="app"),),
            upstreams={"app": UpstreamSettings(targets=("http://127.0.0.1:3000",))},
        ),
        **settings,
    )


def _hashed(token: str, *groups: str) -> TokenSettings:
    return TokenSettings(sha256=hashlib.sha256(token.encode()).hexdigest(), groups=groups)


class World:
    """One network, and the parts of every server and client that were made for it."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.random = random.Random(7)
        self._budgets: list[Budget] = []
        self._upstreams: list[FakeUpstream] = []

    def server_container(self, telemetry: Recorder | None = None) -> ServerContainer:
        container = ServerContainer()
        self._override(container, telemetry)
        return container

    def client_container(
        self, upstream: FakeUpstream | None = None, telemetry: Recorder | None = None
    ) -> ClientContainer:
        container = ClientContainer()
        self._override(container, telemetry)
        if upstream is not None:
            self._upstreams.append(upstream)
            container.targets.providers["http"].override(providers.Callable(lambda *_: upstream.another()))
        return container

    def _override(self, container: Any, telemetry: Recorder | None) -> None:
        container.clock.override(providers.Object(AnyioClock()))
        container.network.override(providers.Object(self.network))
        container.telemetry.override(providers.Object(telemetry if telemetry is not None else Recorder()))
        container.random.override(providers.Object(self.random))
        self._budgets.append(container.budget())

    def server(
        self,
        *,
        groups: Mapping[str, GroupSettings] | None = None,
        rules: tuple[Rule, ...] | None = None,
        telemetry: Recorder | None = None,
        container: ServerContainer | None = None,
        name: str = "edge",
        **limits: Any,
    ) -> Server:
        """A server at ``memory://NAME`` whose group ``web`` serves every request, unless told otherwise."""
        known = {"web": group(), "api": group()} if groups is None else groups
        settings = ServerSettings(
            transports=TransportsSettings(memory=MemoryTransportSettings(name=name)),
            auth=AuthSettings(tokens={"laptop": _hashed(TOKEN, *known), "phone": _hashed(OTHER_TOKEN, "web")}),
            rules=rules
            if rules is not None
            else (Rule(host="api.test", path_prefix="/", group="api"), Rule(path_prefix="/", group="web"))[
                0 if "api" in known else 1 :
            ],
            groups=known,
            limits=LimitsSettings(**limits),
        )
        return Server(settings, container=container or self.server_container(telemetry))

    def client(
        self,
        upstream: FakeUpstream | None = None,
        *,
        client_id: str = "one",
        token: str = TOKEN,
        group: str = "web",
        servers: tuple[str, ...] = (EDGE,),
        allow_targets: tuple[str, ...] = ("127.0.0.0/8",),
        telemetry: Recorder | None = None,
        container: ClientContainer | None = None,
        **limits: Any,
    ) -> Client:
        settings = ClientSettings(
            group=group,
            servers=servers,
            client_id=client_id,
            token=Secret(token),
            allow_targets=allow_targets,
            limits=LimitsSettings(**limits),
        )
        return Client(
            settings, container=container or self.client_container(upstream or FakeUpstream(), telemetry=telemetry)
        )

    @asynccontextmanager
    async def pair(self, upstream: FakeUpstream | Handler = echo, **limits: Any) -> Any:
        """A server and one client of it that is ready."""
        target = upstream if isinstance(upstream, FakeUpstream) else FakeUpstream(upstream)
        async with self.server(**limits) as server, self.client(target, **limits) as client:
            await client.ready()
            yield server

    def check_nothing_left(self) -> None:
        """No link, no promised credit, no conversation and no open connection is left."""
        assert self.network.pairs() == []
        assert [0] * len(self._budgets) == [each.reserved_bytes for each in self._budgets]
        assert [0] * len(self._upstreams) == [each.running for each in self._upstreams]


class ScriptedServer(LinkService):
    """What a server says is up to the test: ``script`` is run with each link."""

    def __init__(
        self, network: MemoryNetwork, script: Callable[[Link], Awaitable[None]], *, name: str = "edge"
    ) -> None:
        self._listener = MemoryListener(name, network)
        self._script = script
        self.links = 0

    async def proxy(self, link: Link) -> None:
        self.links += 1
        await self._script(link)

    async def register(self, request: Any, peer: Any) -> Any:
        raise NotImplementedError

    async def config_sync(self, request: Any, peer: Any) -> Any:
        raise NotImplementedError

    @asynccontextmanager
    async def running(self) -> Any:
        async with anyio.create_task_group() as tasks:
            started = anyio.Event()
            tasks.start_soon(self._listener.serve, self, started.set)
            await started.wait()
            yield self
            self._listener.stop()


class Answer:
    """What a visitor of the ASGI ingress got."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.complete = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


def scope(path: str = "/", *, method: str = "GET", host: str = "app.test", headers: Any = ()) -> dict[str, Any]:
    """An ASGI scope."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode()), *headers],
        "client": ("192.0.2.1", 1234),
        "server": ("127.0.0.1", 80),
    }


async def ask(
    server: Server, path: str = "/", body: bytes = b"", *, host: str = "app.test", headers: Any = ()
) -> Answer:
    """Make a request of the server's ASGI ingress and wait for all of the answer."""
    answer = Answer()
    messages = deque([{"type": "http.request", "body": body, "more_body": False}])
    if body:
        headers = (*headers, (b"content-length", str(len(body)).encode()))

    async def receive() -> Any:
        if messages:
            return messages.popleft()
        await anyio.sleep_forever()
        return None

    async def send(message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = list(message["headers"])
        else:
            answer.chunks.append(message.get("body", b""))
            answer.complete = not message.get("more_body", False)

    await server.ingress(scope(path, method="POST" if body else "GET", host=host, headers=headers), receive, send)
    return answer


async def until(condition: Callable[[], object], *, within_s: float = 60.0) -> None:
    """Wait for ``condition``, looking every millisecond of virtual time at first, then less and less often."""
    start = anyio.current_time()
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.001 + (anyio.current_time() - start) / 20)


def uncounted(payload: Payload) -> Frame:
    """A frame of the handshake."""
    return Frame((Envelope(0, KIND_OF[type(payload)], payload),))


def counted(seq: int, session_id: int, payload: Payload) -> Frame:
    """A frame of one session."""
    return Frame((Envelope(session_id, KIND_OF[type(payload)], payload),), 0, seq)


async def register(world: World, **fields: Any) -> MemoryLink:
    """Dial the server by hand, and say register."""
    link = world.network.dial("edge")
    request = Register(versions=(1,), client_id="raw", group_id="web", instance_id=bytes(16), credential=TOKEN)
    await link.send(uncounted(msgspec.structs.replace(request, **fields)))
    return link
