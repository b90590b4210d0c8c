"""TLS of the gRPC ingress and of the admin ports on real sockets: who gets in, who does not, and other certificates."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest
from e2e_topologies import TOKEN
from support.call_app import CallApp
from support.certificates import Authority

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.app.settings import client_source, load_client_settings, load_server_settings, server_source

pytestmark = pytest.mark.anyio

DEADLINE_S = 20.0
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ASKING = ', client_ca = "ca.pem"'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """Files of a server and a client, and an application that both lead to."""

    def __init__(self, directory: Path, app: CallApp) -> None:
        self.directory = directory
        self.app = app
        self.replace_certificates()

    def replace_certificates(self) -> None:
        """By those of another authority: nothing of before is valid any more."""
        self.authority = Authority(self.directory)
        self.authority.issue("server", "127.0.0.1")
        self.authority.client("visitor")

    def server_file(self, *, client_ca: str = "") -> Path:
        tls = f'tls = {{ certificate = "server.pem", key = "server.key"{client_ca} }}'
        path = self.directory / "server.toml"
        path.write_text(f"""
[transports.memory]
name = "{self.directory.name}"
[ingress.grpc]
listen = "127.0.0.1:0"
{tls}
[admin]
listen = "127.0.0.1:0"
token_sha256 = "{DIGEST}"
{tls}
[auth.tokens.e2e]
sha256 = "{DIGEST}"
groups = ["web"]
[[rules]]
group = "web"
[[groups.web.rules]]
upstream = "calls"
[groups.web.upstreams.calls]
targets = ["grpc://127.0.0.1:{self.app.port}"]
""")
        return path

    def client_file(self) -> Path:
        path = self.directory / "client.toml"
        path.write_text(f"""
group = "web"
token = "{TOKEN}"
servers = ["memory://{self.directory.name}"]
[admin]
listen = "127.0.0.1:0"
tls = {{ certificate = "server.pem", key = "server.key" }}
""")
        return path

    @contextlib.asynccontextmanager
    async def running(self, *, client_ca: str = "") -> AsyncIterator[tuple[Server, Client]]:
        settings = load_server_settings(self.server_file(client_ca=client_ca))
        async with Server(settings) as server, Client(load_client_settings(self.client_file())) as client:
            await client.ready()
            yield server, client

    def channel(self, server: Server, *, named: bool = False) -> grpc.aio.Channel:
        """Of a visitor that trusts the authority of now; with a certificate if ``named``."""
        read = lambda name: (self.directory / name).read_bytes()  # noqa: E731
        credentials = grpc.ssl_channel_credentials(
            read("ca.pem"), read("visitor.key") if named else None, read("visitor.pem") if named else None
        )
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        return grpc.aio.secure_channel(server.addresses["ingress.grpc"], credentials, options)

    def context(self, *, named: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.file)
        if named:
            context.load_cert_chain(self.directory / "visitor.pem", self.directory / "visitor.key")
        return context


async def say(channel: grpc.aio.Channel, *words: bytes) -> list[bytes]:
    """What an application that repeats everything says to ``words``."""
    call = channel.stream_stream("/test.S/Echo")(iter(words), timeout=DEADLINE_S)
    return [message async for message in call]


async def status(address: str, context: ssl.SSLContext, path: str = "/api/status") -> int:
    async with httpx.AsyncClient(trust_env=False, verify=context) as operator:
        return (await operator.get(f"https://{address}{path}", headers=BEARER, timeout=DEADLINE_S)).status_code


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    app = CallApp()
    await app.start()
    yield World(tmp_path, app)
    await app.stop()


async def refused(channel: grpc.aio.Channel) -> str:
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(channel, b"in")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    return str(caught.value.details())


async def test_calls_travel_in_tls_and_not_to_whom_the_caller_does_not_trust(world: World) -> None:
    async with world.running() as (server, _):
        async with world.channel(server) as channel:
            assert await say(channel, b"one", b"two") == [b"one", b"two"]
        Authority(world.directory)
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(world.channel(server))
        async with grpc.aio.insecure_channel(server.addresses["ingress.grpc"]) as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await say(plain, b"in clear")
    assert len(world.app.calls) == 1


async def test_caller_without_a_certificate_is_refused_where_one_is_asked_for(world: World) -> None:
    async with world.running(client_ca=ASKING) as (server, _):
        await refused(world.channel(server))
        async with world.channel(server, named=True) as channel:
            assert await say(channel, b"in") == [b"in"]
    assert len(world.app.calls) == 1


async def test_certificate_of_the_grpc_ingress_is_replaced_under_an_open_call(world: World) -> None:
    step = asyncio.Event()

    async def words() -> AsyncIterator[bytes]:
        yield b"before"
        await step.wait()
        yield b"after"

    async with world.running() as (server, _), world.channel(server) as channel:
        call = channel.stream_stream("/test.S/Echo")(words(), timeout=DEADLINE_S)
        answers = aiter(call)
        assert await anext(answers) == b"before"
        old = world.channel(server)
        world.replace_certificates()
        await server.reload(server_source(world.directory / "server.toml").load())
        step.set()
        assert await anext(answers) == b"after"
        async with world.channel(server) as new:
            assert await say(new, b"new") == [b"new"]
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(old)


async def test_admin_ports_speak_https_and_nothing_else(world: World) -> None:
    async with world.running() as (server, client):
        for address in (server.addresses["admin"], client.addresses["admin"]):
            assert await status(address, world.context()) == 200
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await status(address, ssl.create_default_context())
            async with httpx.AsyncClient(trust_env=False) as plain:
                with pytest.raises(httpx.RemoteProtocolError):
                    await plain.get(f"http://{address}/healthz", timeout=DEADLINE_S)


async def test_operator_without_a_certificate_is_refused_where_one_is_asked_for(world: World) -> None:
    async with world.running(client_ca=ASKING) as (server, _):
        # With TLS 1.3 the refusal comes after the client's handshake is done.
        with pytest.raises((httpx.ReadError, httpx.ConnectError)):
            await status(server.addresses["admin"], world.context(), "/healthz")
        assert await status(server.addresses["admin"], world.context(named=True)) == 200


async def test_certificates_of_admin_ports_are_replaced_under_open_connections(world: World) -> None:
    async with world.running() as (server, client):
        old = world.context()
        addresses = (server.addresses["admin"], client.addresses["admin"])
        async with httpx.AsyncClient(trust_env=False, verify=old, headers=BEARER) as operator:
            for address in addresses:
                assert (await operator.get(f"https://{address}/api/status")).status_code == 200
            world.replace_certificates()
            await server.reload(server_source(world.directory / "server.toml").load())
            await client.reload(client_source(world.directory / "client.toml").load())
            for address in addresses:
                assert (await operator.get(f"https://{address}/api/status")).status_code == 200  # as before
        for address in addresses:
            assert await status(address, world.context()) == 200
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await status(address, old)
