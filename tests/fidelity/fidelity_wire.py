"""Server and client in this process, over one transport, with raw sockets for visitors and upstreams.

Both run on an event loop in a thread of its own, whose clock tests can put forward. So a test is a plain script of what
either end says and hears, and waits for no timeout. ``fidelity_settings`` tells which hosts there are.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from dependency_injector import providers
from fidelity_entry import Entry
from fidelity_process import Process
from fidelity_settings import Ports, client_settings, server_settings
from fidelity_sockets import DEADLINE_S, RawSocket, RawUpstream
from support.fake_upstream import FakeTarget
from support.held import held

import tunnel
from tunnel.adapters.clock import AnyioClock
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

SECRET = "10.1.2.3:4567 /etc/secret"
"""Detail of every failure of ``failing.test``, for operators only."""

_ROUNDS = 5
"""Of the event loop: timers are looked at once a round, and what they start takes some."""

_names = (f"fidelity-{number}" for number in itertools.count())

T = TypeVar("T")


async def fail(stream: Stream) -> None:
    """``/CODE`` fails with that code, ``/CODE/begun`` after the first bytes of a response, or after acceptance."""
    assert isinstance(stream.head, HttpRequest)
    _, code, *begun = stream.head.path.decode().split("/")
    if begun and stream.head.protocol == "websocket":
        await stream.send(HttpResponse(101))
    elif begun:
        await stream.send(HttpResponse(200, (b"content-type", b"text/plain")))
        await stream.send(BodyChunk(b"begun", False))
    raise SessionError(ErrorCode(code), "it failed", detail=SECRET)


class _Loop(asyncio.SelectorEventLoop):
    """Its clock can be put forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class Wire:
    """One server with its client over ``transport``; shared by all tests, which leave nothing behind."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.app = RawUpstream()
        self.kept = RawUpstream()
        self.stalled = RawUpstream(receive_bytes=4096)
        self.plain = RawUpstream()
        self.narrow = RawUpstream(receive_bytes=4096)
        self._full = RawUpstream(backlog=0)
        # A backlog of 0 takes one connection.
        self._filling = socket.create_connection(("127.0.0.1", self._full.port))
        # Bound and not listening: nobody else can come to listen there.
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        ports = (self.app.port, self.kept.port, self.stalled.port, self._full.port)
        self.ports = Ports(*ports, self._refusing.getsockname()[1], self.plain.port, self.narrow.port)
        self.process = Process(self.within)
        self._name = next(_names)
        self._opened: list[RawSocket] = []
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._run, name=f"wire-{transport}", daemon=True)
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._server: tunnel.Server

    # -- lifetime

    def __enter__(self) -> Wire:
        self._thread.start()
        assert self._ready.wait(2 * DEADLINE_S), "neither ready nor failed"
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(2 * DEADLINE_S)
        for each in (self.app, self.kept, self.stalled, self.plain, self.narrow, self._full):
            each.socket.close()
        self._filling.close()
        self._refusing.close()
        self._check()

    @contextmanager
    def scene(self) -> Iterator[Wire]:
        """One test: afterwards its connections are closed, and no conversation is under way any more."""
        try:
            yield self
        finally:
            opened, self._opened = self._opened, []
            for each in opened:
                each.reset()
            self.process.discard()
            self.within(self._calm())
            for listening in (self.app, self.kept, self.stalled, self.plain, self.narrow):
                listening.discard()

    # -- the two ends

    def visitor(self, *, source: str = "127.0.0.1") -> RawSocket:
        """A connection to the ingress, from the address ``source``."""
        return self._connected("ingress.http", source=source)

    def caller(self, upstream: str = "plain", *, receive_bytes: int | None = None) -> RawSocket:
        """A connection to the TCP listener for ``upstream``.

        Args:
            upstream: Its name.
            receive_bytes: What the system buffers of what the caller has not read; None: as much as it likes.
        """
        return self._connected(f"ingress.tcp-{upstream}", receive_bytes=receive_bytes)

    def called(self, at: RawUpstream | None = None) -> RawSocket:
        """The next connection that ``at`` gets, whether or not anything is said; None: the upstream ``plain``."""
        return self._keep((at or self.plain).accept_silent())

    def call(self, upstream: str = "plain") -> tuple[RawSocket, RawSocket]:
        """A caller, and the connection that ``upstream`` got of it: ``plain`` or ``narrow``."""
        caller = self.caller(upstream)
        return caller, self.called(self.narrow if upstream == "narrow" else self.plain)

    def visit(self, data: bytes, *, source: str = "127.0.0.1") -> RawSocket:
        """A visitor who begins by saying ``data``."""
        visitor = self.visitor(source=source)
        visitor.say(data)
        return visitor

    def upstream(self, at: RawUpstream | None = None) -> RawSocket:
        """The next connection that ``at`` gets; None: the upstream of ``app.test``."""
        return self._keep((at or self.app).accept())

    def check_untouched(self) -> None:
        """The upstream of ``app.test`` has got nothing: what is asked now is the first that it gets."""
        visitor = self.visit(b"GET /untouched HTTP/1.1\r\nHost: app.test\r\n\r\n")
        upstream = self.upstream()
        assert upstream.head().startswith(b"GET /untouched ")
        upstream.say(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert visitor.head() == b"HTTP/1.1 204 No Content\r\n\r\n"

    # -- what is between them

    def pass_time(self, seconds: float) -> None:
        """Have the server and the client find that so much time has passed, and do what is due."""

        self.within(self._skip(seconds))

    def within(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` where the server and the client run."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * DEADLINE_S)

    def finishes(self, task: asyncio.Task[None]) -> bool:
        """Whether ``task`` is over before long."""

        async def wait() -> bool:
            done, _ = await asyncio.wait({task}, timeout=0.2)
            return bool(done)

        return self.within(wait())

    @contextmanager
    def reloaded(self, **ingress: object) -> Iterator[None]:
        """Other settings of the ingress, for a while."""
        before = self._server.settings
        other = server_settings(self.transport, self.ports, name=self._name, ingress=ingress)
        self.within(self._server.reload(other))
        try:
            yield
        finally:
            self.within(self._server.reload(before))

    def refuses(self, address: tuple[str, int]) -> None:
        """Return once nobody listens at ``address`` any more, which listeners that drain tell nobody."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(address).close()
            except ConnectionRefusedError:
                return
        raise AssertionError(f"somebody listens at {address}")

    @contextmanager
    def frail_client(self) -> Iterator[None]:
        """A client of the group ``frail``, which is lost at the end: it closes without finishing anything."""
        leaving = asyncio.Event()
        ready: Future[None] = Future()

        async def run() -> None:
            async with self._client("frail") as client:
                await client.ready()
                ready.set_result(None)
                await leaving.wait()

        running = asyncio.run_coroutine_threadsafe(run(), self._loop)
        ready.result(DEADLINE_S)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(leaving.set)
            running.result(DEADLINE_S)

    @contextmanager
    def entry(self) -> Iterator[Entry]:
        """A client with an entry, which has no server yet; through the tunnel it leads to the upstream ``kept``."""
        entry = Entry(
            self.transport,
            name=next(_names),
            through=self.kept.port,
            allowed=self.app.port,
            process=self.process,
            pass_time=self._skip,
        )
        self.within(entry.__aenter__())
        try:
            yield entry
        finally:
            self.within(entry.__aexit__())

    def enter(self, entry: Entry, data: bytes) -> RawSocket:
        """A visitor of ``entry`` who begins by saying ``data``."""
        visitor = self._connected_to(entry.address)
        visitor.say(data)
        return visitor

    # -- inside

    async def _skip(self, seconds: float) -> None:
        self._loop.ahead_s += seconds
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)

    def _connected(self, entrance: str, *, source: str = "127.0.0.1", receive_bytes: int | None = None) -> RawSocket:
        address = self._server.addresses[entrance]
        return self._connected_to(address, source=source, receive_bytes=receive_bytes)

    def _connected_to(self, address: str, *, source: str = "127.0.0.1", receive_bytes: int | None = None) -> RawSocket:
        host, _, port = address.rpartition(":")
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connecting = self._keep(RawSocket(sock))
        sock.bind((source, 0))
        sock.connect((host, int(port)))
        return connecting

    def _keep(self, each: RawSocket) -> RawSocket:
        self._opened.append(each)
        return each

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - raised where the tests are
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        container = ServerContainer()
        container.clock.override(providers.Singleton(AnyioClock))
        settings = server_settings(self.transport, self.ports, name=self._name, ingress={})
        async with tunnel.Server(settings, container=container) as self._server, self._client("web") as client:
            await client.ready()
            self._ready.set()
            await self._stopping.wait()

    def _client(self, group: str) -> tunnel.Client:
        container = ClientContainer()
        container.clock.override(providers.Singleton(AnyioClock))
        container.targets.providers["unix"].override(providers.Factory(lambda *_: FakeTarget(fail)))
        address = self._server.addresses[f"transport.{self.transport}"]
        settings = client_settings(self.transport, address, group=group, ports=self.ports)
        applications = {"process": self.process} if group == "web" else {}
        return tunnel.Client(settings, container=container, applications=applications)

    def check_nothing_is_held(self) -> None:
        """By its own figures, the server comes to hold nothing of any conversation, though sockets may be open."""
        self.within(self._calm())

    async def _calm(self) -> None:
        """Return when the server holds nothing of any conversation, which it tells nobody."""
        while await held(self._server) or any(client.in_flight for client in self._server.clients().clients):  # noqa: ASYNC110
            await asyncio.sleep(0)
