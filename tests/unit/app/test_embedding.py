"""Parts of one's own in a server and a client, as docs/howto/embed-the-server.md has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import providers
from support.app_kit import EDGE, FakeUpstream, Recorder, World, ask

import tunnel
from tunnel.adapters.clock import AnyioClock
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.adapters.memory.transport import MemoryTransport
from tunnel.app.container import ClientContainer
from tunnel.domain.configuration import Secret

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[3] / "docs/howto/embed-the-server.md"


def shown(name: str) -> Any:
    """What the page's block that defines ``name`` makes of it."""
    blocks = re.findall(r"```python[^\n]*\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = (each for each in blocks if f"class {name}" in each)
    names: dict[str, Any] = {}
    exec(block, names)
    return names[name]


async def test_an_authenticator_of_ones_own_decides_who_comes_in() -> None:
    world = World()
    container = world.server_container()
    container.authenticator.override(providers.Factory(shown("MyAuthenticator")))

    async with world.server(container=container) as server:
        async with world.client(token="open sesame") as client:
            await client.ready()
            assert [each.principal for each in server.clients().clients] == ["ali"]
        async with world.client(token="open, please") as client:
            with pytest.raises(tunnel.RegistrationRefused, match="nobody knows this credential"):
                await client.ready()


async def test_telemetry_and_a_clock_of_ones_own_are_used() -> None:
    class Shifted(AnyioClock):
        asked = 0

        def now(self) -> float:
            self.asked += 1
            return super().now() + 1_000_000

    world = World()
    telemetry, clock = Recorder(), Shifted()
    container = world.server_container(telemetry)
    container.clock.override(providers.Object(clock))

    async with world.server(container=container) as server, world.client() as client:
        await client.ready()
        assert (await ask(server)).status == 200

    assert clock.asked
    assert telemetry.events


async def test_a_transport_of_ones_own_is_dialled_by_its_scheme() -> None:
    class Noting(MemoryTransport):
        dialled: list[str] = []  # noqa: RUF012

        async def connect(self, url: str, *, timeout_s: float) -> Any:
            self.dialled.append(url)
            return await super().connect(EDGE, timeout_s=timeout_s)

    world = World()
    upstream = FakeUpstream()
    container = world.client_container(upstream)
    network: MemoryNetwork = world.network
    container.transports.providers["ws"].override(providers.Factory(Noting, network))

    async with world.server(), world.client(container=container, servers=("ws://127.0.0.1:1",)) as client:
        await client.ready()

    assert Noting.dialled == ["ws://127.0.0.1:1"]


async def test_a_target_of_ones_own_answers() -> None:
    world = World()
    mine = FakeUpstream()
    container = world.client_container()
    container.targets.providers["http"].override(providers.Callable(lambda *_: mine))

    async with world.server() as server, world.client(container=container) as client:
        await client.ready()
        assert (await ask(server)).status == 200

    assert mine.closed == 1


def test_a_maker_of_transports_hears_of_proxies_only_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    given: list[dict[str, Any]] = []
    container = ClientContainer()
    container.transports.providers["wss"].override(providers.Callable(lambda *_, **named: given.append(named)))

    def made(servers: tuple[str, ...], proxy: str | None) -> None:
        settings = tunnel.ClientSettings(
            group="web", token=Secret("t"), servers=servers, proxy=None if proxy is None else Secret(proxy)
        )
        tunnel.Client(settings, container=container)

    made(("wss://edge.test",), None)
    made(("wss://127.0.0.1",), "http://proxy.test:1")
    assert [each.get("proxies") for each in given] == [None, None]
    made(("wss://edge.test", "wss://127.0.0.1"), "http://proxy.test:1")
    assert list(given[-1]["proxies"]) == ["wss://edge.test"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (tunnel.Server, "expected ServerSettings, as load_server_settings returns, got str"),
        (tunnel.Client, "expected ClientSettings, as load_client_settings returns, got str"),
    ],
)
def test_path_in_the_place_of_settings_says_what_reads_it(make: Callable[[Any], object], expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        make("server.toml")


def test_single_url_in_the_place_of_several_is_one_mistake() -> None:
    with pytest.raises(tunnel.ConfigurationError) as caught:
        tunnel.ClientSettings(group="web", servers="grpc://127.0.0.1:1", token="t")  # type: ignore[arg-type]

    assert str(caught.value) == 'servers: expected a sequence of URLs, got "grpc://127.0.0.1:1"'
