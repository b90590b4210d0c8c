"""Exposing an application from Python, on virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from support.app_kit import EDGE, OTHER_TOKEN, TOKEN, World, ask, until
from support.claims_kit import granting, says, server_settings

import tunnel
from tunnel.app.exposure import exposing_client, patience_s
from tunnel.domain.errors import ConfigurationError, ErrorCode, LinkEnd, LinkError, RegistrationRefused

pytestmark = pytest.mark.anyio

HOST = "demo.laptop.test"


async def greet(scope: Any, _receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["raw_path"])]})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_application_is_reached_by_the_host_that_is_granted(world: World) -> None:
    container = world.client_container()
    async with (
        granting(world) as server,
        tunnel.expose(greet, to=EDGE, token=TOKEN, host=HOST, container=container) as exposed,
    ):
        assert (exposed.host, exposed.path_prefix) == (HOST, "/")
        assert exposed.client.claim is not None
        # This server has no listener that could be told of.
        assert exposed.url == ""
        answer = await ask(server, "/a", host=HOST)
        assert (answer.status, answer.body) == (200, b"hello")
    async with granting(world) as server:
        assert (await ask(server, "/", host=HOST)).status == 404


async def test_port_is_exposed_below_a_prefix_of_a_host_that_the_server_chooses(world: World) -> None:
    container = world.client_container(says(b"mine"))
    async with (
        granting(world) as server,
        tunnel.expose(3000, to=[EDGE], token=TOKEN, path_prefix="/api", container=container) as exposed,
    ):
        assert exposed.host.endswith(".laptop.test")
        assert exposed.path_prefix == "/api"
        assert (await ask(server, "/api/x", host=exposed.host)).body == b"mine"
        assert (await ask(server, "/", host=exposed.host)).status == 404
        assert exposed.client.settings.upstreams["exposed"].targets == ("http://127.0.0.1:3000",)


async def test_host_stays_the_same_when_the_server_is_another(world: World) -> None:
    container = world.client_container(says(b"mine"))
    listening, enough, gone = anyio.Event(), anyio.Event(), anyio.Event()

    async def first() -> None:
        async with granting(world):
            listening.set()
            await enough.wait()
        gone.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await listening.wait()
        async with tunnel.expose(3000, to=EDGE, token=TOKEN, container=container) as exposed:
            host = exposed.host
            enough.set()
            await gone.wait()
            async with granting(world) as second:
                await until(lambda: second.clients().clients)
                assert exposed.host == host
                assert (await ask(second, "/", host=host)).body == b"mine"


async def test_leaving_lets_conversations_finish(world: World) -> None:
    begun, finish = anyio.Event(), anyio.Event()

    async def slow(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        begun.set()
        await finish.wait()
        await greet(scope, _receive, send)

    answers = []

    async def visit() -> None:
        answers.append(await ask(server, "/", host=HOST))

    async with granting(world) as server, anyio.create_task_group() as tasks:
        async with tunnel.expose(slow, to=EDGE, token=TOKEN, host=HOST, container=world.client_container()):
            tasks.start_soon(visit)
            await begun.wait()
            tasks.start_soon(_later, finish)
        assert [answer.body for answer in answers] == [b"hello"]


async def _later(event: anyio.Event) -> None:
    await anyio.sleep(1)
    event.set()


async def test_leaving_by_an_exception_waits_for_nobody(world: World) -> None:
    begun = anyio.Event()

    async def stuck(scope: Any, _receive: Any, _send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        begun.set()
        await anyio.sleep_forever()

    async with granting(world) as server, anyio.create_task_group() as tasks:
        try:
            async with tunnel.expose(stuck, to=EDGE, token=TOKEN, host=HOST, container=world.client_container()):
                tasks.start_soon(lambda: ask(server, "/", host=HOST))
                await begun.wait()
                left_at = anyio.current_time()
                raise KeyError("mine")
        except KeyError:
            assert anyio.current_time() - left_at < 5
        tasks.cancel_scope.cancel()


async def test_refused_claim_is_raised_as_it_is(world: World) -> None:
    async with granting(world):
        with pytest.raises(RegistrationRefused, match=r"forbidden: this credential may not claim the host"):
            async with tunnel.expose(3000, to=EDGE, token=TOKEN, host="other.test", container=world.client_container()):
                pytest.fail("entered")
        with pytest.raises(RegistrationRefused) as caught:
            async with tunnel.expose(3000, to=EDGE, token="wrong", container=world.client_container()):
                pytest.fail("entered")
    assert caught.value.code is ErrorCode.UNAUTHENTICATED


async def test_host_of_somebody_else_is_refused(world: World) -> None:
    container = world.client_container(says(b"mine"))
    async with granting(world), tunnel.expose(3000, to=EDGE, token=TOKEN, host=HOST, container=container):
        with pytest.raises(RegistrationRefused, match="is claimed by somebody else"):
            async with tunnel.expose(3001, to=EDGE, token=OTHER_TOKEN, host=HOST, container=world.client_container()):
                pytest.fail("entered")


async def test_claim_that_is_taken_back_ends_waiting(world: World) -> None:
    container = world.client_container(says(b"mine"))
    async with (
        granting(world) as server,
        tunnel.expose(3000, to=EDGE, token=TOKEN, host=HOST, container=container) as exposed,
    ):
        await server.reload(server_settings(laptop=()))
        with pytest.raises(RegistrationRefused), anyio.fail_after(60):
            await exposed.wait_closed()


async def test_server_that_is_not_there_is_told_with_the_reason_after_a_while(world: World) -> None:
    start = anyio.current_time()
    with pytest.raises(LinkError, match=rf"no server took this client within 2 s: {EDGE}: ") as caught:
        async with tunnel.expose(3000, to=EDGE, token=TOKEN, timeout_s=2, container=world.client_container()):
            pytest.fail("entered")
    assert caught.value.end is LinkEnd.UNREACHABLE
    assert anyio.current_time() - start == pytest.approx(2, abs=0.5)


async def test_by_default_every_server_has_its_chance(world: World) -> None:
    client = exposing_client(3000, to=[EDGE, "memory://b"], token=TOKEN, container=world.client_container())
    assert patience_s(client.settings) == 2 * client.settings.limits.connect_s + client.settings.limits.handshake_s


@pytest.mark.parametrize(
    ("arguments", "key_path"),
    [
        ({"app": "nonsense"}, "app"),
        ({"app": 0}, "app"),
        ({"app": True}, "app"),
        ({"app": None}, "app"),
        ({"app": "no_such_module:app"}, "app"),
        ({"app": "tcp://127.0.0.1:22"}, "app"),
        ({"to": []}, "to"),
        ({"to": "pigeon"}, "to[0]"),
        ({"to": "ws://edge.example.test"}, "to[0]"),
        ({"token": ""}, "token"),
        ({"host": "*.laptop.test"}, "host"),
        ({"path_prefix": "api"}, "path_prefix"),
        ({"host_header": "a b"}, "host_header"),
        ({"limits": {"drain_s": -1}}, "limits.drain_s"),
        ({"tls": {"ca": 1}}, "tls.ca"),
    ],
)
async def test_mistake_names_the_argument(world: World, arguments: dict[str, Any], key_path: str) -> None:
    given = {"app": 3000, "to": EDGE, "token": TOKEN, **arguments}
    with pytest.raises(ConfigurationError) as caught:
        exposing_client(given.pop("app"), container=world.client_container(), **given)
    assert caught.value.key_path == key_path


async def test_what_is_no_application_names_the_argument(world: World) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with tunnel.expose(object(), to=EDGE, token=TOKEN, container=world.client_container()):
            pytest.fail("entered")
    assert caught.value.key_path == "app"


async def test_token_is_that_of_the_environment_unless_one_is_given(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUNNEL_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="TUNNEL_TOKEN"):
        exposing_client(3000, to=EDGE, container=world.client_container())
    monkeypatch.setenv("TUNNEL_TOKEN", "from the environment")
    client = exposing_client(3000, to=EDGE, container=world.client_container())
    assert client.settings.token is not None
    assert client.settings.token.reveal() == "from the environment"
