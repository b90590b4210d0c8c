"""Applications in a client's process: when they start, when they end, and that visitors reach them."""

from __future__ import annotations

import socket
from typing import Any

import anyio
import msgspec
import pytest
from support.app_kit import World, ask, group, until
from support.shop import Reluctant, Shop

from tunnel.app.client import Client
from tunnel.domain.configuration import ClientSettings, Secret, UpstreamSettings
from tunnel.domain.errors import ConfigurationError, LinkError

pytestmark = pytest.mark.anyio


def to(*targets: str) -> UpstreamSettings:
    return UpstreamSettings(targets=targets)


def client(
    world: World, applications: Any, *, allow_targets: tuple[str, ...] = ("127.0.0.0/8",), **upstreams: Any
) -> Client:
    settings = ClientSettings(
        group="web",
        servers=("memory://edge",),
        client_id="one",
        token=Secret("a token"),
        upstreams=upstreams,
        allow_targets=allow_targets,
    )
    return Client(settings, container=world.client_container(), applications=applications)


def two_upstreams() -> Any:
    return {"web": group(upstreams={"app": to("http://127.0.0.1:1"), "other": to("http://127.0.0.1:1")})}


async def test_visitor_is_answered_by_an_application_and_no_socket_is_opened(world, monkeypatch):
    opened: list[Any] = []
    connect, bind = socket.socket.connect, socket.socket.bind
    monkeypatch.setattr(socket.socket, "connect", lambda *each: (opened.append(each), connect(*each)))
    monkeypatch.setattr(socket.socket, "bind", lambda *each: (opened.append(each), bind(*each)))
    monkeypatch.setattr(socket.socket, "listen", lambda *each: opened.append(each))
    shop = Shop()
    async with world.server() as server, client(world, {"shop": shop}, app=to("app:shop")) as one:
        await one.ready()
        answer = await ask(server)
    assert (answer.status, answer.body) == (200, b"begun shop")
    assert shop.log == ["startup", "request", "shutdown"]
    assert opened == []


async def test_application_that_many_targets_name_starts_once(world):
    shop = Shop()
    names = {"shop": shop, "same": shop}
    upstreams = {"app": to("app:shop", "app:same"), "other": to("app:shop")}
    async with world.server(groups=two_upstreams()) as server, client(world, names, **upstreams) as one:
        await one.ready()
        for _ in range(3):
            assert (await ask(server)).status == 200
    assert shop.log == ["startup", "request", "request", "request", "shutdown"]


async def test_client_whose_application_does_not_start_does_not_either(world):
    well, ill = Shop(), Shop(failure="no database")
    async with world.server() as server:
        with pytest.raises(ConfigurationError) as caught:
            async with client(world, {"well": well, "ill": ill}, app=to("app:well", "app:ill")):
                pytest.fail("it is not there")
        assert str(caught.value) == "upstreams.app.targets[1]: ill failed to start: no database"
        assert well.log == ["startup", "shutdown"]
        assert server.addresses["transport.memory"] == "edge"


async def test_pushed_application_needs_to_be_allowed_literally(world):
    shop = Shop()
    groups = {"web": group(upstreams={"app": to("app:shop")})}
    async with world.server(groups=groups) as server:
        # The client's own upstream of another name permits nothing.
        async with client(world, {"shop": shop}, other=to("app:shop")) as refusing:
            with anyio.move_on_after(2):
                await refusing.ready()
            assert (await ask(server)).status == 503
        async with client(world, {"shop": shop}, allow_targets=("app:shop",)) as allowing:
            await allowing.ready()
            assert (await ask(server)).body == b"begun shop"
    assert shop.log == ["startup", "shutdown", "startup", "request", "shutdown"]


async def test_replaced_application_ends_after_its_last_conversation(world):
    old, new = Shop("old"), Shop("new")
    old.gate = anyio.Event()
    answers: list[bytes] = []

    async def visit() -> None:
        answers.append((await ask(server)).body)

    async with (
        world.server() as server,
        client(world, {"old": old, "new": new}, app=to("app:old")) as one,
        anyio.create_task_group() as tasks,
    ):
        await one.ready()
        tasks.start_soon(visit)
        await until(lambda: "request" in old.log)
        await one.reload(msgspec.structs.replace(one.settings, upstreams={"app": to("app:new")}))
        assert (await ask(server)).body == b"begun new"
        assert old.log == ["startup", "request"]
        old.gate.set()
        await until(lambda: "shutdown" in old.log)
        assert answers == [b"begun old"]
        assert new.log == ["startup", "request"]


async def test_application_that_stays_is_not_started_again(world):
    shop, other = Shop(), Shop("other")
    names = {"shop": shop, "other": other}
    async with world.server(groups=two_upstreams()) as server, client(world, names, app=to("app:shop")) as one:
        await one.ready()
        upstreams = {"app": to("app:shop"), "other": to("app:other")}
        await one.reload(msgspec.structs.replace(one.settings, upstreams=upstreams))
        assert (await ask(server)).status == 200
        assert (shop.log, other.log) == (["startup", "request"], ["startup"])


async def test_reload_whose_application_does_not_start_changes_nothing(world):
    shop, ill = Shop(), Shop(failure="no database")
    async with world.server() as server, client(world, {"shop": shop, "ill": ill}, app=to("app:shop")) as one:
        await one.ready()
        with pytest.raises(ConfigurationError, match=r"^upstreams\.app\.targets\[0\]: ill failed to start"):
            await one.reload(msgspec.structs.replace(one.settings, upstreams={"app": to("app:ill")}))
        assert (await ask(server)).body == b"begun shop"
        assert one.version == 1


async def test_conversations_end_within_a_drain_and_the_application_after_them(world):
    shop = Shop()
    shop.gate = anyio.Event()
    answers: list[bytes] = []

    async def visit() -> None:
        answers.append((await ask(server)).body)

    async with world.server() as server, anyio.create_task_group() as tasks:
        async with client(world, {"shop": shop}, app=to("app:shop")) as one:
            await one.ready()
            tasks.start_soon(visit)
            await until(lambda: "request" in shop.log)
            async with anyio.create_task_group() as closing:
                closing.start_soon(lambda: one.aclose(drain_s=60))
                await anyio.sleep(1)
                shop.gate.set()
        assert answers == [b"begun shop"]
        assert shop.log == ["startup", "request", "shutdown"]


async def test_client_that_is_cancelled_while_an_application_starts_leaves_nothing(world):
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(1) as scope:
        async with client(world, {"slow": slow}, app=to("app:slow")):
            pytest.fail("it is not there")
    assert scope.cancelled_caught


async def test_application_is_there_again_after_the_server_was_lost(world):
    shop = Shop()
    async with client(world, {"shop": shop}, app=to("app:shop")) as one:
        for _ in range(2):
            async with world.server() as server:
                await one.ready()
                await until(lambda: bool(one.addresses == {}))
                answer = await ask_until(server)
                assert answer == b"begun shop"
    assert shop.log == ["startup", "request", "request", "shutdown"]


async def ask_until(server: Any) -> bytes:
    while True:
        answer = await ask(server)
        if answer.status == 200:
            return answer.body
        await anyio.sleep(0.1)


async def test_unknown_name_is_an_error_of_the_key(world):
    with pytest.raises(ConfigurationError, match=r'upstreams\.app\.targets\[0\]: unknown application "shop"'):
        async with client(world, {}, app=to("app:shop")):
            pytest.fail("it is not there")


async def test_exceptions_of_an_application_do_not_eject_its_client(world):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/fail":
            raise ValueError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})

    async with world.server() as server, client(world, {"app": app}, app=to("app:app")) as one:
        await one.ready()
        for _ in range(20):
            assert (await ask(server, "/fail")).status == 500
        assert (await ask(server)).body == b"well"


async def test_statuses_that_are_listed_eject_one_of_two_applications(world):
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    upstream = msgspec.structs.replace(
        to("app:shop", "app:failing"),
        balance="round_robin",
        ejection=msgspec.structs.replace(UpstreamSettings(targets=()).ejection, statuses=(500,)),
    )
    async with world.server() as server, client(world, {"shop": Shop(), "failing": failing}, app=upstream) as one:
        await one.ready()
        statuses = [(await ask(server)).status for _ in range(40)]
    assert 500 in statuses
    assert set(statuses[-10:]) == {200}


async def test_reload_after_closing_is_refused_and_starts_nothing_for_good(world):
    shop = Shop()
    async with world.server(), client(world, {"shop": shop}, app=to("app:shop")) as one:
        await one.ready()
        await one.aclose(drain_s=0)
        with pytest.raises(LinkError):
            await one.reload(one.settings)
    assert shop.log == ["startup", "shutdown"]


async def test_application_that_is_wanted_again_starts_after_it_has_ended(world):
    shop, other = Reluctant(), Shop("other")
    async with world.server() as server, client(world, {"shop": shop, "other": other}, app=to("app:shop")) as one:
        await one.ready()
        before = one.settings
        await one.reload(msgspec.structs.replace(before, upstreams={"app": to("app:other")}))
        await anyio.sleep(1)
        assert shop.log == ["startup"]  # and is ending
        await one.reload(before)
        assert shop.log == ["startup", "shutdown", "startup"]
        assert (await ask(server)).body == b"begun shop"


async def test_leaving_waits_for_an_application_that_is_ending(world):
    shop = Reluctant()
    async with world.server(), client(world, {"shop": shop, "other": Shop()}, app=to("app:shop")) as one:
        await one.ready()
        await one.reload(msgspec.structs.replace(one.settings, upstreams={"app": to("app:other")}))
        await anyio.sleep(1)
    assert shop.log == ["startup", "shutdown"]
