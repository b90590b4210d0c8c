"""Applications in a server's process: when they start, when they end, and that clients' entries reach them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import FakeStream, FakeUpstream, World, group, until
from support.door import Door
from support.shop import Shop

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    EntrySettings,
    ForwardRule,
    ForwardSettings,
    HttpEntrySettings,
    UpstreamSettings,
)
from tunnel.domain.envelopes import HttpRequest, WebSocketFrame, WebSocketOpcode
from tunnel.domain.errors import ConfigurationError, ErrorCode, LinkError, SessionError
from tunnel.domain.websocket_close import close_frame

pytestmark = pytest.mark.anyio

ENTRY = "127.0.0.1:9080"
FOR_WEB = (ForwardRule(groups=("web",), upstream="shop"),)


def forward(*targets: str) -> ForwardSettings:
    return ForwardSettings(rules=FOR_WEB, upstreams={"shop": UpstreamSettings(targets=targets)})


class Stage:
    """Servers with applications, and clients with an entry, of which tests hand in the conversations."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._doors: dict[str, Door] = {}

    def server(self, applications: Mapping[str, object], *targets: str, **settings: Any) -> Server:
        container = self.world.server_container()
        plain = self.world.server(container=container, **settings)
        followed = msgspec.structs.replace(plain.settings, forward=forward(*targets))
        return Server(followed, container=container, applications=applications)

    def client(self) -> Client:
        container = self.world.client_container(FakeUpstream())
        container.ingresses.providers["http"].override(providers.Callable(lambda each, *_: Door(each, self._doors)))
        plain = self.world.client(container=container)
        entry = EntrySettings(http=HttpEntrySettings(listen=ENTRY))
        return Client(msgspec.structs.replace(plain.settings, entry=entry), container=container)

    async def hand_in(self, stream: FakeStream) -> None:
        target = self._doors[ENTRY].target
        assert target is not None
        await target.handle(stream)

    async def ask(self, path: bytes = b"/") -> bytes:
        stream = FakeStream(HttpRequest("GET", path, host=b"shop.test", end=True))
        await self.hand_in(stream)
        assert stream.answer is not None
        assert stream.ended
        return stream.body


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world)


@asynccontextmanager
async def up(stage: Stage, applications: Mapping[str, object], *targets: str) -> AsyncIterator[Server]:
    async with stage.server(applications, *targets) as server, stage.client() as client:
        await client.ready()
        yield server


async def reload(server: Server, *targets: str) -> None:
    await server.reload(msgspec.structs.replace(server.settings, forward=forward(*targets)))


async def test_client_is_answered_by_an_application_of_the_server_and_no_socket_is_opened(stage, monkeypatch):
    opened: list[Any] = []
    connect, bind = socket.socket.connect, socket.socket.bind
    monkeypatch.setattr(socket.socket, "connect", lambda *each: (opened.append(each), connect(*each)))
    monkeypatch.setattr(socket.socket, "bind", lambda *each: (opened.append(each), bind(*each)))
    shop = Shop()
    async with up(stage, {"shop": shop}, "app:shop"):
        assert await stage.ask() == b"begun shop"
        assert shop.log == ["startup", "request"]
    assert shop.log == ["startup", "request", "shutdown"]
    assert opened == []


async def test_websocket_of_a_client_reaches_an_application_of_the_server(stage):
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket", "it has no lifespan"
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    frames = (WebSocketFrame(WebSocketOpcode.TEXT.value, b"hello"), close_frame(1000, "enough"))
    async with up(stage, {"echo": echo}, "app:echo"):
        stream = FakeStream(HttpRequest("GET", b"/", host=b"shop.test", protocol="websocket"), frames)
        await stage.hand_in(stream)
    assert stream.answer is not None
    assert stream.answer.status == 101
    assert stream.sent[1:] == [*frames]


async def test_application_of_wsgi_answers_a_client(stage, anyio_backend_name):
    if anyio_backend_name == "trio":
        pytest.skip("its virtual time runs away from threads")

    def site(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    async with up(stage, {"site": site}, "app:site"):
        assert await stage.ask(b"/a") == b"/a"


async def test_application_that_many_targets_name_starts_once(stage):
    shop = Shop()
    async with up(stage, {"shop": shop, "same": shop}, "app:shop", "app:same"):
        for _ in range(3):
            await stage.ask()
    assert shop.log == ["startup", "request", "request", "request", "shutdown"]


async def test_no_client_gets_in_before_the_application_has_started(stage):
    shop = Shop()
    shop.gate = anyio.Event()
    ready: list[bool] = []

    class Slow(Shop):
        async def live(self, receive: Any, send: Any) -> None:
            await shop.gate.wait()
            await super().live(receive, send)

    async def attend() -> None:
        await client.ready()
        ready.append(True)

    async def serve() -> None:
        async with stage.server({"slow": Slow()}, "app:slow"):
            await ended.wait()

    ended = anyio.Event()
    async with stage.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        tasks.start_soon(attend)
        await anyio.sleep(10)
        assert ready == []
        shop.gate.set()
        await until(lambda: ready)
        ended.set()


async def test_server_whose_application_does_not_start_does_not_either(stage):
    well, ill = Shop(), Shop(failure="no database")
    with pytest.raises(ConfigurationError) as caught:
        async with stage.server({"well": well, "ill": ill}, "app:well", "app:ill"):
            pytest.fail("it is not there")
    assert str(caught.value) == "forward.upstreams.shop.targets[1]: ill failed to start: no database"
    assert well.log == ["startup", "shutdown"]
    async with stage.server({"well": well}, "app:well") as server:
        assert server.addresses == {"transport.memory": "edge"}


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("app:shup", 'unknown application "shup"; expected "shop"; did you mean "shop"?'),
        ("asgi:no_such_module:app", 'there is no module "no_such_module"'),
    ],
)
async def test_application_that_cannot_be_had_is_an_error_of_the_key(stage, target, why):
    with pytest.raises(ConfigurationError) as caught:
        async with stage.server({"shop": Shop()}, target):
            pytest.fail("it is not there")
    assert str(caught.value).startswith(f"forward.upstreams.shop.targets[0]: {why.rstrip('?')}")


async def test_server_that_is_cancelled_while_an_application_starts_leaves_nothing(stage):
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(1) as scope:
        async with stage.server({"slow": slow}, "app:slow"):
            pytest.fail("it is not there")
    assert scope.cancelled_caught


async def test_server_that_cannot_listen_starts_no_application(stage):
    shop, other = Shop(), Shop("other")
    async with stage.server({"shop": shop}, "app:shop"):
        with pytest.raises(Exception, match="edge"):
            async with stage.server({"other": other}, "app:other"):
                pytest.fail("it is not there")
    assert (shop.log, other.log) == (["startup", "shutdown"], [])


async def test_application_that_only_groups_name_is_for_their_clients_to_run(stage):
    shop = Shop()
    upstreams = {"app": UpstreamSettings(targets=("app:shop", "asgi:no_such_module:app"))}
    async with stage.server({"shop": shop}, "http://10.0.0.7", groups={"web": group(upstreams=upstreams)}):
        pass
    assert shop.log == []


async def test_reload_starts_what_appears_and_ends_what_goes_after_its_last_conversation(stage):
    old, new = Shop("old"), Shop("new")
    old.gate = anyio.Event()
    answers: list[bytes] = []

    async def visit() -> None:
        answers.append(await stage.ask())

    async with up(stage, {"old": old, "new": new}, "app:old") as server, anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        await until(lambda: "request" in old.log)
        await reload(server, "app:new")
        assert await stage.ask() == b"begun new"
        assert old.log == ["startup", "request"]
        old.gate.set()
        await until(lambda: "shutdown" in old.log)
        assert answers == [b"begun old"]
        assert new.log == ["startup", "request"]
    assert new.log == ["startup", "request", "shutdown"]


async def test_application_that_stays_is_not_started_again(stage):
    shop, other = Shop(), Shop("other")
    async with up(stage, {"shop": shop, "other": other}, "app:shop") as server:
        await reload(server, "app:shop", "app:other")
        await reload(server, "app:shop")
        await until(lambda: "shutdown" in other.log)
        assert await stage.ask() == b"begun shop"
        assert (shop.log, other.log) == (["startup", "request"], ["startup", "shutdown"])


async def test_reload_whose_application_does_not_start_changes_nothing(stage):
    shop, well, ill = Shop(), Shop("well"), Shop(failure="no database")
    async with up(stage, {"shop": shop, "well": well, "ill": ill}, "app:shop") as server:
        with pytest.raises(ConfigurationError, match=r"^forward\.upstreams\.shop\.targets\[1\]: ill failed to start"):
            await reload(server, "app:well", "app:ill")
        assert (server.version, well.log) == (1, ["startup", "shutdown"])
        assert await stage.ask() == b"begun shop"


async def test_reload_that_is_refused_ends_what_it_has_started(stage):
    shop, new = Shop(), Shop("new")
    async with up(stage, {"shop": shop, "new": new}, "app:shop") as server:
        server.container.targets.providers["http"].override(providers.Callable(_broken))
        with pytest.raises(ConfigurationError, match="no such certificate"):
            await reload(server, "app:new", "http://10.0.0.7")
        await until(lambda: new.log == ["startup", "shutdown"])
        assert await stage.ask() == b"begun shop"
        await server.aclose(drain_s=0)
        with pytest.raises(LinkError):
            await reload(server, "app:new")
    assert shop.log == ["startup", "request", "shutdown"]


def _broken(*_: object) -> None:
    raise ConfigurationError("no such certificate")


async def test_conversations_end_within_a_drain_and_the_application_after_them(stage):
    shop = Shop()
    shop.gate = anyio.Event()
    answers: list[bytes] = []

    async def visit() -> None:
        answers.append(await stage.ask())

    async with anyio.create_task_group() as tasks, stage.client() as client:
        async with stage.server({"shop": shop}, "app:shop") as server:
            await client.ready()
            tasks.start_soon(visit)
            await until(lambda: "request" in shop.log)
            async with anyio.create_task_group() as closing:
                closing.start_soon(lambda: server.aclose(drain_s=60))
                await anyio.sleep(1)
                shop.gate.set()
            assert shop.log == ["startup", "request"]
        assert answers == [b"begun shop"]
        assert shop.log == ["startup", "request", "shutdown"]


async def test_leaving_cuts_conversations_off_and_the_application_ends_after_them(stage):
    class Noting(Shop):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                self.log.append(f"{scope['type']} over")

    shop = Noting()
    shop.gate = anyio.Event()
    failures: list[ErrorCode] = []

    async def visit() -> None:
        with pytest.raises(SessionError) as caught:
            await stage.ask()
        failures.append(caught.value.code)

    async with anyio.create_task_group() as tasks, stage.client() as client:
        async with stage.server({"shop": shop}, "app:shop"):
            await client.ready()
            tasks.start_soon(visit)
            await until(lambda: "request" in shop.log)
        assert shop.log == ["startup", "request", "http over", "shutdown", "lifespan over"]
        await until(lambda: failures)
    assert failures == [ErrorCode.PEER_LOST]
