"""Server, client and gRPC application in this process, over one transport, and callers both direct and through it.

Everything runs on an event loop in a thread of its own; a test says what to do there with ``within``. Which upstream
answers is decided by the service of a call:

    test.v1.*            the application
    small.v1.*           the application, through an upstream whose messages are 1 MiB at most
    impatient.v1.*       the application, with a first-byte timeout of 0.2 s
    severed.v1.*         the application, through a relay that can reset its connections
    refused.v1.*         nobody listens
    silent.v1.*          takes connections and says nothing; connect timeout 0.2 s
    unresolved.v1.*      a name that does not resolve
    forbidden.v1.*       a name whose address the client may not dial
    requests.v1.*        a web server, which answers no calls
    socket.v1.*          another, at a socket file
    failing.v1.*         a target in the client's process: the method says with which code it fails
    astray.v1.*          the group has no rule for it
    late.v1.*            a group without a client
    crowd.v1.*           another, for which one call may wait
    frail.v1.*           a group for clients that a test starts and loses
    anything else        there is no rule for it
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc.aio
import msgspec
from dependency_injector import providers
from fidelity_settings import SCHEMES
from support.call_app import CallApp
from support.fake_upstream import FakeTarget
from support.held import held

import tunnel
from tunnel.adapters.clock import AnyioClock
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.domain.configuration import decode_client_settings, decode_server_settings
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream
from tunnel.testing.relay import Relay

SECRET = "10.1.2.3:4567 /etc/secret"
SMALL_BYTES = 1 << 20
LARGE_BYTES = 4 << 20
"""Largest message of the ingress."""

HOST = "calls.example.test"
"""What the ingress says its calls are for."""

_DEADLINE_S = 30
_TOKEN = "call-token"
_SERVICES = (
    "small",
    "impatient",
    "severed",
    "refused",
    "silent",
    "unresolved",
    "forbidden",
    "requests",
    "socket",
    "failing",
)

_names = (f"calls-{number}" for number in itertools.count())

T = TypeVar("T")


async def fail(stream: Stream) -> None:
    """The method ``CODE`` fails with that code, ``CODE_begun`` after the first message of an answer."""
    assert isinstance(stream.head, GrpcFrame)
    code, begun, _ = stream.head.method.partition("__")
    if begun:
        await stream.send(GrpcFrame(GrpcFrameType.METADATA, metadata=(b"a", b"1")))
        await stream.send(GrpcFrame(GrpcFrameType.DATA, data=b"begun"))
    raise SessionError(ErrorCode(code), "it failed", detail=SECRET)


class CallWire:
    """One server with its client over ``transport``; shared by all tests, which leave nothing behind."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.app: CallApp
        self.relay: Relay
        self.direct: grpc.aio.Channel
        """To the application itself."""
        self.tunnelled: grpc.aio.Channel
        """To the ingress."""
        self._name = next(_names)
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"calls-{transport}", daemon=True)
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        self._silent = socket.socket()
        self._silent.bind(("127.0.0.1", 0))
        self._silent.listen(16)
        self.server: tunnel.Server

    def __enter__(self) -> CallWire:
        self._thread.start()
        self._ready.result(_DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_DEADLINE_S)
        self._refusing.close()
        self._silent.close()

    @property
    def ports(self) -> tuple[int, ...]:
        """Of upstreams, which no caller is to learn."""
        return (self.app.port, self.relay.port, self._refusing.getsockname()[1], self._silent.getsockname()[1])

    @contextmanager
    def scene(self) -> Iterator[CallWire]:
        """One test: afterwards no call is under way, and no task is left of it."""
        try:
            yield self
        finally:
            self.within(self._calm())
            self.app.calls.clear()

    def within(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` where everything runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE_S)

    def both(self, work: Callable[[grpc.aio.Channel], Coroutine[Any, Any, T]]) -> tuple[T, T]:
        """What ``work`` returns done directly, and done through the tunnel."""
        return self.within(work(self.direct)), self.within(work(self.tunnelled))

    @contextmanager
    def naming(self, request_id: str) -> Iterator[None]:
        """Calls are named so meanwhile, and not at all else."""
        before = self.server.settings
        ingress = msgspec.structs.replace(before.ingress.grpc, request_id=request_id)
        after = msgspec.structs.replace(before, ingress=msgspec.structs.replace(before.ingress, grpc=ingress))
        self.within(self.server.reload(after))
        try:
            yield
        finally:
            self.within(self.server.reload(before))

    @contextmanager
    def frail_client(self) -> Iterator[Callable[[], None]]:
        """A client of the group ``frail``; what it yields loses it without a word."""
        leaving = asyncio.Event()
        ready: Future[None] = Future()

        async def run() -> None:
            async with self._client("frail") as client:
                await client.ready()
                ready.set_result(None)
                await leaving.wait()

        running = asyncio.run_coroutine_threadsafe(run(), self._loop)
        ready.result(_DEADLINE_S)

        def lose() -> None:
            self._loop.call_soon_threadsafe(leaving.set)
            running.result(_DEADLINE_S)

        try:
            yield lose
        finally:
            lose()

    # -- inside

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as failure:
            if not self._ready.done():
                self._ready.set_exception(failure)
            raise

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        self.app = CallApp()
        await self.app.start()
        self.relay = Relay("127.0.0.1", self.app.port)
        await self.relay.start()
        container = ServerContainer()
        container.clock.override(providers.Singleton(AnyioClock))
        try:
            async with tunnel.Server(self._server_settings(), container=container) as self.server:
                options = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
                async with (
                    self._client("web") as client,
                    grpc.aio.insecure_channel(f"127.0.0.1:{self.app.port}", options=options) as self.direct,
                    grpc.aio.insecure_channel(self.server.addresses["ingress.grpc"], options=options) as self.tunnelled,
                ):
                    await client.ready()
                    self._ready.set_result(None)
                    await self._stopping.wait()
        finally:
            await self.relay.aclose()
            await self.app.stop()

    def _server_settings(self) -> Any:
        where = {"name": self._name} if self.transport == "memory" else {"listen": "127.0.0.1:0"}
        targets = {
            "app": f"grpc://127.0.0.1:{self.app.port}",
            "small": f"grpc://127.0.0.1:{self.app.port}",
            "impatient": f"grpc://127.0.0.1:{self.app.port}",
            "severed": f"grpc://127.0.0.1:{self.relay.port}",
            "refused": f"grpc://127.0.0.1:{self._refusing.getsockname()[1]}",
            "silent": f"grpc://127.0.0.1:{self._silent.getsockname()[1]}",
            "unresolved": "grpc://upstream.invalid:80",
            "forbidden": "grpc://localhost:9",
            "requests": f"http://127.0.0.1:{self.app.port}",
            "socket": "unix:/socket",
            "failing": "grpcs://127.0.0.1:10",
        }
        more: dict[str, dict[str, object]] = {
            "small": {"max_message_bytes": SMALL_BYTES},
            "impatient": {"first_byte_timeout_s": 0.2},
            "silent": {"connect_timeout_s": 0.2},
        }
        quiet = {"ejection": {"after_failures": 0}}
        upstreams = {each: {"targets": [url], **quiet, **more.get(each, {})} for each, url in targets.items()}
        prefixes = {"app": "test", **{each: each for each in _SERVICES}}
        rules = [
            {"path_regex": rf"/{prefix}\.[^/]*/.*", "protocol": "grpc", "upstream": each}
            for each, prefix in prefixes.items()
        ]
        groups = {**dict.fromkeys(("test", *_SERVICES, "astray"), "web"), "late": "late", "crowd": "crowd"}
        groups["frail"] = "frail"
        return decode_server_settings(
            {
                "transports": {self.transport: where},
                "ingress": {
                    "grpc": {
                        "listen": "127.0.0.1:0",
                        "host": HOST,
                        "max_message_bytes": LARGE_BYTES,
                        "request_id": "off",
                    }
                },
                "auth": {
                    "tokens": {"t": {"sha256": hashlib.sha256(_TOKEN.encode()).hexdigest(), "groups": ["web", "frail"]}}
                },
                "limits": {"heartbeat_s": 300},
                "rules": [
                    *({"path_regex": rf"/{each}\.[^/]*/.*", "group": group} for each, group in groups.items()),
                    {"service": "grpc.health.v1.Health", "group": "web"},
                    {"service": "grpc.reflection.v1alpha.ServerReflection", "group": "web"},
                    {"service": "routed.v1.Service", "method": "One", "group": "web"},
                    {"host": HOST, "path_prefix": "/hosted.v1.Service", "group": "web"},
                    {"host": "other.example.test", "path_prefix": "/elsewhere.v1.Service", "group": "web"},
                ],
                "groups": {
                    "web": {
                        **quiet,
                        "rules": [
                            *rules,
                            {"service": "grpc.health.v1.Health", "upstream": "app"},
                            {"service": "grpc.reflection.v1alpha.ServerReflection", "upstream": "app"},
                            {"service": "routed.v1.Service", "method": "One", "upstream": "app"},
                            {"host": HOST, "path_prefix": "/hosted.v1.Service", "upstream": "app"},
                        ],
                        "upstreams": upstreams,
                    },
                    "late": {},
                    "crowd": {"wait_for_client_s": 60, "max_waiting": 1},
                    "frail": {
                        **quiet,
                        "wait_for_client_s": 10,
                        "rules": [{"path_prefix": "/", "upstream": "app"}],
                        "upstreams": {"app": upstreams["app"]},
                    },
                },
            }
        )

    def _client(self, group: str) -> tunnel.Client:
        container = ClientContainer()
        container.clock.override(providers.Singleton(AnyioClock))
        failing = FakeTarget(fail, protocols=frozenset({"grpc"}))
        container.targets.providers["grpcs"].override(providers.Callable(lambda *_: failing.another()))
        address = self._name if self.transport == "memory" else self.server.addresses[f"transport.{self.transport}"]
        allowed = [
            *(f"127.0.0.1:{port}" for port in self.ports),
            "10.0.0.0/8:9",
            "127.0.0.1:10",
            "*.invalid",
            "unix:/socket",
        ]
        settings = decode_client_settings(
            {
                "client_id": group,
                "group": group,
                "token": _TOKEN,
                "servers": [f"{SCHEMES[self.transport]}://{address}"],
                "allow_targets": allowed,
                "limits": {"heartbeat_s": 300},
            }
        )
        return tunnel.Client(settings, container=container)

    async def _calm(self) -> None:
        """Return when nothing of any call is left: no session, no task, no handler in the application."""
        async with asyncio.timeout(10):
            while True:
                busy = any(client.in_flight for client in self.server.clients().clients)
                running = [each for each in self.app.calls if not each.ended.is_set()]
                left = [
                    each.get_name()
                    for each in asyncio.all_tasks()
                    if each.get_name().startswith(("tunnel grpc call", "tunnel grpc upstream call"))
                ]
                if not busy and not running and not left and not await held(self.server):
                    return
                await asyncio.sleep(0.005)
