"""TCP in the application: listeners, their groups and upstreams, and what a reload makes of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import socket
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import Recorder
from support.fake_upstream import FakeTarget
from support.ports import unused_port

from tunnel.app.client import Client
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.app.group_route import GroupRoute
from tunnel.app.server import Server
from tunnel.domain.balancing import HashKey
from tunnel.domain.configuration import ServerSettings, decode_client_settings, decode_server_settings
from tunnel.domain.envelopes import BodyChunk, GrpcFrame, TcpOpen
from tunnel.domain.errors import ErrorCode, ListenError, SessionError
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import Listening, SessionFailed

DEADLINE_S = 10.0
_names = (f"tcp-{number}" for number in itertools.count())

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def naming(name: str) -> AsyncIterator[int]:
    """An upstream that says its name, then gives back what comes; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(f"{name}\n".encode())
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


class World:
    """A server with clients of the groups ``web`` and ``other``, whose upstreams tell their names."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.telemetry = Recorder()
        self.server: Server
        self._name = next(_names)
        self._ports = ports

    def settings(self, *listeners: Mapping[str, object], **upstreams: int) -> ServerSettings:
        targets = {
            name: {"targets": [f"tcp://127.0.0.1:{port}"]} for name, port in {**self._ports, **upstreams}.items()
        }
        return decode_server_settings(
            {
                "transports": {"memory": {"name": self._name}},
                "ingress": {
                    "tcp": [{"listen": "127.0.0.1:0", "group": "web", "upstream": "a", **each} for each in listeners]
                },
                "auth": {"tokens": {"t": {"sha256": hashlib.sha256(b"t").hexdigest(), "groups": ["web", "other"]}}},
                "groups": {"web": {"upstreams": targets}, "other": {"upstreams": targets}},
                "limits": {"drain_s": 0},
            }
        )

    @contextlib.asynccontextmanager
    async def running(self, *listeners: Mapping[str, object]) -> AsyncIterator[World]:
        container = ServerContainer()
        container.telemetry.override(providers.Object(self.telemetry))
        async with asyncio.timeout(4 * DEADLINE_S), contextlib.AsyncExitStack() as stack:
            self.server = await stack.enter_async_context(Server(self.settings(*listeners), container=container))
            for group in ("web", "other"):
                told = {"group": group, "client_id": group, "token": "t", "servers": [f"memory://{self._name}"]}
                client = await stack.enter_async_context(Client(decode_client_settings(told)))
                await client.ready()
            yield self

    async def dial(self, name: str) -> tuple[str, Connection]:
        """A visitor of the listener; the name that its upstream says."""
        host, _, port = self.server.addresses[f"ingress.tcp-{name}"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        return (await reader.readline()).decode().strip(), (reader, writer)

    async def ask(self, name: str) -> str:
        said, (_, writer) = await self.dial(name)
        writer.close()
        return said


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with naming("a") as a, naming("b") as b:
        yield World({"a": a, "b": b})


async def test_every_listener_tells_its_real_port_and_leads_to_its_upstream(world: World) -> None:
    async with world.running({}, {"upstream": "b"}, {"name": "again", "group": "other"}):
        addresses = {n: a for n, a in world.server.addresses.items() if n.startswith("ingress")}
        told = {f"{each.kind}.{each.name}": each.address for each in world.telemetry.of(Listening)}
        assert addresses.keys() == {"ingress.tcp-a", "ingress.tcp-b", "ingress.tcp-again"}
        assert all(int(each.rpartition(":")[2]) > 0 for each in addresses.values())
        assert told.items() >= addresses.items()
        assert [await world.ask(name) for name in ("a", "b", "again")] == ["a", "b", "a"]


async def test_listeners_come_and_go_with_a_reload(world: World) -> None:
    async with world.running({}):
        address = world.server.addresses["ingress.tcp-a"]
        _, (reader, writer) = await world.dial("a")
        await world.server.reload(world.settings({}, {"upstream": "b"}))
        assert world.server.addresses["ingress.tcp-a"] == address
        assert await world.ask("b") == "b"
        writer.write(b"still there\n")
        assert await reader.readline() == b"still there\n"

        await world.server.reload(world.settings({"upstream": "b"}))
        assert "ingress.tcp-a" not in world.server.addresses
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address.rsplit(":", 1))


async def test_listener_that_stays_follows_and_disturbs_nobody(world: World) -> None:
    listen = f"127.0.0.1:{unused_port()}"
    async with world.running({"listen": listen}):
        said, (reader, writer) = await world.dial("a")
        assert said == "a"
        # Another upstream, and so another name, of another group: known by its address all the same.
        await world.server.reload(world.settings({"listen": listen, "upstream": "b", "group": "other"}))

        assert {n for n in world.server.addresses if n.startswith("ingress")} == {"ingress.tcp-b"}
        assert await world.ask("b") == "b"
        writer.write(b"undisturbed\n")
        assert await reader.readline() == b"undisturbed\n"
        writer.close()


async def test_address_that_cannot_be_had_changes_nothing(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        async with world.running({}):
            before = world.server.addresses
            with pytest.raises(ListenError):
                await world.server.reload(world.settings({"upstream": "b"}, {"listen": listen}))
            assert world.server.addresses == before
            assert await world.ask("a") == "a"


async def test_upstream_that_the_client_has_not_got_is_refused_and_nobody_else_is_left(world: World) -> None:
    async with world.running({}):
        settings = world.settings({})
        (listener,) = settings.ingress.tcp
        astray = msgspec.structs.replace(listener, upstream="nowhere", name="nowhere")
        ingress = msgspec.structs.replace(settings.ingress, tcp=(astray,))
        # What no configuration can say: the server's listener and the client's snapshot do not agree for a moment.
        msgspec.structs.force_setattr(settings, "ingress", ingress)
        await world.server.reload(settings)
        with pytest.raises(ConnectionResetError):
            await world.ask("nowhere")
        assert [each.code for each in world.telemetry.of(SessionFailed)] == ["no_client"]


async def test_group_that_is_gone_has_no_client(world: World) -> None:
    async with world.running({}):
        entrance = world.server._entrances._current["ingress.tcp-a"]
        nobody = GroupRoute(world.server._target, "gone", world.server._telemetry)
        entrance._route.follow(nobody)  # type: ignore[attr-defined]
        with pytest.raises(ConnectionResetError):
            await world.ask("a")
        assert [each.code for each in world.telemetry.of(SessionFailed)] == ["no_client"]


@pytest.mark.parametrize(("peer", "key"), [("10.0.0.7:1234", b"10.0.0.7"), ("[fd00::1]:1234", b"fd00::1"), ("", b"")])
def test_conversations_of_one_address_belong_together(peer: str, key: bytes) -> None:
    assert HashKey.parse("address").of(TcpOpen("a", peer=peer)) == key


@pytest.mark.parametrize("hash_on", ["header:x", "cookie:x"])
def test_tcp_has_neither_headers_nor_cookies(hash_on: str) -> None:
    assert HashKey.parse(hash_on).of(TcpOpen("a", peer="10.0.0.7:1")) == b""


def test_other_conversations_have_no_key_yet() -> None:
    assert HashKey.parse("address").of(GrpcFrame(1)) == b""


class Refusing:
    """Lets the visitor say something, and refuses the conversation then."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def answer(self, stream: Stream) -> None:
        payload = await stream.receive()
        assert isinstance(payload, BodyChunk)
        self.heard.append(payload.data)
        raise SessionError(ErrorCode.REFUSED, "not here")


async def test_client_that_refuses_costs_nothing_and_what_was_said_is_said_to_another(world: World) -> None:
    refusing = Refusing()
    container = ClientContainer()
    container.targets.providers["tcp"].override(
        providers.Factory(lambda *_: FakeTarget(refusing.answer, protocols=frozenset({"tcp"})))
    )
    async with world.running({}):
        told = {"group": "web", "client_id": "second", "token": "t", "servers": [f"memory://{world._name}"]}
        async with Client(decode_client_settings(told), container=container) as second:
            await second.ready()
            host, _, port = world.server.addresses["ingress.tcp-a"].rpartition(":")
            while not refusing.heard:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"said once\n")
                writer.write_eof()
                assert await reader.read() == b"a\nsaid once\n"
                writer.close()
    assert refusing.heard == [b"said once\n"]
