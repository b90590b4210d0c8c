"""TLS on real sockets: who gets in, who is refused and why, and certificates that are replaced under conversations.

Server and client run in this process by files, as the command line has it, so that what they tell can be looked at.
"""

import asyncio
import contextlib
import hashlib
import logging
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from dependency_injector import providers
from e2e_processes import Process, address_of
from e2e_topologies import INGRESS_LINE, TOKEN, ready_line
from support.app_kit import Recorder
from support.certificates import Authority

from tunnel.adapters.token_auth import TokenAuthenticator
from tunnel.app.client import Client
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.app.server import Server
from tunnel.app.settings import client_source, load_client_settings, load_server_settings, server_source
from tunnel.domain.configuration import AuthSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.identity import PeerInfo, Principal
from tunnel.ports.telemetry import CertificateOutOfDate, ConnectFailed, LinkLost

pytestmark = pytest.mark.anyio

TRANSPORTS = {"grpc": "grpcs", "websocket": "wss"}
DEADLINE_S = 20.0


LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


class World:
    """Files of a server and a client in one directory, and what runs by them."""

    def __init__(self, directory: Path, transport: str) -> None:
        self.directory = directory
        self.transport = transport
        self.authority = Authority(directory)
        self.peers: list[PeerInfo] = []
        self.told = Recorder()
        self.heard = Recorder()
        self.upstream = 0
        self.authority.issue("server", "127.0.0.1", "localhost")

    def server_file(self, *, tls: str | None = "", ingress_tls: bool = False) -> Path:
        """Write the server's; ``tls`` are further keys of the table, None leaves it out."""
        pair = 'certificate = "server.pem", key = "server.key"'
        transport_tls = "" if tls is None else f"tls = {{ {pair} {tls} }}"
        path = self.directory / "server.toml"
        path.write_text(f"""
[transports.{self.transport}]
listen = "127.0.0.1:0"
{transport_tls}
[ingress.http]
listen = "127.0.0.1:0"
{f"tls = {{ {pair} }}" if ingress_tls else ""}
[auth.tokens.e2e]
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
groups = ["web"]
[[rules]]
group = "web"
[groups.web]
wait_for_client_s = 5
[[groups.web.rules]]
upstream = "app"
[groups.web.upstreams.app]
targets = ["http://127.0.0.1:{self.upstream}"]
""")
        return path

    def client_file(self, address: str, *, tls: str = 'ca = "ca.pem"', scheme: str | None = None) -> Path:
        path = self.directory / "client.toml"
        path.write_text(f"""
client_id = "laptop"
group = "web"
token = "{TOKEN}"
servers = ["{scheme or TRANSPORTS[self.transport]}://{address}"]
tls = {{ {tls} }}
[limits]
connect_s = 3
""")
        return path

    @contextlib.asynccontextmanager
    async def server(self, **options: Any) -> AsyncIterator[Server]:
        container = ServerContainer()
        container.telemetry.override(providers.Object(self.told))
        container.authenticator.override(providers.Callable(self._authenticator))
        async with Server(load_server_settings(self.server_file(**options)), container=container) as server:
            yield server

    def client(self, server: Server | str, **options: Any) -> Client:
        container = ClientContainer()
        container.telemetry.override(providers.Object(self.heard))
        address = server if isinstance(server, str) else server.addresses[f"transport.{self.transport}"]
        return Client(load_client_settings(self.client_file(address, **options)), container=container)

    def _authenticator(self, settings: AuthSettings) -> TokenAuthenticator:
        peers = self.peers

        class Noting(TokenAuthenticator):
            async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
                peers.append(peer)
                return await super().authenticate(credential, peer)

        return Noting(settings.tokens)

    async def refusal(self, server: Server | str, **options: Any) -> str:
        """Why a client gives up this address for now."""
        async with self.client(server, **options):
            await until(lambda: self.heard.of(ConnectFailed))
        return self.heard.of(ConnectFailed)[0].reason


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)


@pytest.fixture
async def world(tmp_path: Path, transport: str) -> AsyncIterator[World]:
    world = World(tmp_path, transport)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers with the head it got; to /slow piecewise, a piece for each byte of the body."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST /slow"):
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while (line := await reader.readline()) not in (b"0\r\n", b""):
                        piece = await reader.readexactly(int(line, 16) + 2)
                        writer.write(b"%x\r\n%b" % (len(piece) - 2, piece))
                    await reader.readline()
                    writer.write(b"0\r\n\r\n")
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))
        writer.close()

    upstream = await asyncio.start_server(answer, "127.0.0.1", 0)
    world.upstream = upstream.sockets[0].getsockname()[1]
    yield world
    upstream.close()


async def head_seen(server: Server, **options: Any) -> str:
    """The head that the application behind the tunnel saw of a request."""
    scheme = "https" if options else "http"
    async with httpx.AsyncClient(trust_env=False, **options) as visitor:
        response = await visitor.get(f"{scheme}://{server.addresses['ingress.http']}/small", timeout=DEADLINE_S)
    assert response.status_code == 200
    return response.text.lower()


async def test_requests_travel_and_the_servers_certificate_alone_names_nobody(world: World) -> None:
    async with world.server() as server, world.client(server) as client:
        await client.ready()
        assert "get /small" in await head_seen(server)

    assert (world.peers[0].transport, world.peers[0].certificate) == (TRANSPORTS[world.transport], None)


async def test_verified_certificate_of_a_client_is_known_to_the_authenticator(world: World) -> None:
    world.authority.client("laptop")
    tls = 'ca = "ca.pem", certificate = "laptop.pem", key = "laptop.key"'
    async with world.server(tls=', client_ca = "ca.pem"') as server, world.client(server, tls=tls) as client:
        await client.ready()

    certificate = world.peers[0].certificate
    assert certificate is not None
    assert (certificate.common_name, certificate.dns_names) == ("laptop", ("laptop.test",))
    der = ssl.PEM_cert_to_DER_cert((world.directory / "laptop.pem").read_text())
    assert certificate.fingerprint == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("scenario", ["none", "other"])
async def test_client_without_a_valid_certificate_is_refused_in_the_handshake(world: World, scenario: str) -> None:
    Authority(world.directory, "other").client("stranger")
    tls = 'ca = "ca.pem"' + (', certificate = "stranger.pem", key = "stranger.key"' if scenario == "other" else "")
    async with world.server(tls=', client_ca = "ca.pem"') as server:
        reason = await world.refusal(server, tls=tls)

    assert world.peers == []
    assert reason.removeprefix("gRPC UNAVAILABLE: ").startswith(
        "the server closed the connection; perhaps it asks for "
    )


async def test_client_with_an_expired_certificate_is_refused_and_was_warned(world: World) -> None:
    world.authority.issue("laptop", "laptop.test", from_day=-3, to_day=-2)
    tls = 'ca = "ca.pem", certificate = "laptop.pem", key = "laptop.key"'
    async with world.server(tls=', client_ca = "ca.pem"') as server:
        await world.refusal(server, tls=tls)

    assert world.peers == []
    assert [each.where for each in world.heard.of(CertificateOutOfDate)] == ["tls.certificate"]


async def test_client_says_what_is_wrong_with_the_servers_certificate(world: World) -> None:
    Authority(world.directory, "other")
    async with world.server() as server:
        reason = await world.refusal(server, tls='ca = "other.pem"')
    assert reason.removeprefix("gRPC UNAVAILABLE: ").startswith(
        "the server's certificate was not issued by a trusted authority"
    )


@pytest.mark.parametrize(
    ("hosts", "days", "said"),
    [
        (["edge.test"], (-1, 1), "the server's certificate is for another (name|address)"),
        (["127.0.0.1"], (-3, -2), "the server's certificate has expired"),
        (["127.0.0.1"], (2, 3), "the server's certificate is not valid yet"),
    ],
)
async def test_client_refuses_a_certificate_that_does_not_fit(
    world: World, hosts: list[str], days: tuple[int, int], said: str
) -> None:
    world.authority.issue("server", *hosts, from_day=days[0], to_day=days[1])
    async with world.server() as server:
        reason = await world.refusal(server)

    assert re.fullmatch(f"(gRPC UNAVAILABLE: )?{said}", reason)
    assert bool(world.told.of(CertificateOutOfDate)) == (days != (-1, 1))
    assert TOKEN not in reason


async def test_server_name_is_verified_in_place_of_the_host(world: World) -> None:
    world.authority.issue("server", "edge.test")
    async with (
        world.server() as server,
        world.client(server, tls='ca = "ca.pem", server_name = "edge.test"') as client,
    ):
        await client.ready()


async def test_plain_text_client_gets_nowhere_at_a_tls_listener(world: World) -> None:
    scheme = {"grpc": "grpc", "websocket": "ws"}[world.transport]
    async with world.server() as server:
        await world.refusal(server, scheme=scheme)
    assert world.peers == []


async def test_tls_client_finds_out_that_the_listener_speaks_plain_text(world: World) -> None:
    async with world.server(tls=None) as server:
        reason = await world.refusal(server)
    assert "TLS" in reason


async def test_unusable_address_is_passed_over_for_the_next(world: World) -> None:
    async with world.server() as server:
        address = server.addresses[f"transport.{world.transport}"]
        path = world.client_file(address)
        scheme = TRANSPORTS[world.transport]
        # The certificate is not for 127.0.0.2, where nobody listens either.
        path.write_text(path.read_text().replace("servers = [", f'servers = ["{scheme}://127.0.0.2:1", '))
        async with Client(load_client_settings(path)) as client:
            await client.ready()


async def conversation(server: Server, step: asyncio.Event) -> bytes:
    """Says one thing before ``step`` and one after, and returns what was said back."""

    async def words() -> AsyncIterator[bytes]:
        yield b"before,"
        await step.wait()
        yield b"after"

    async with httpx.AsyncClient(trust_env=False) as visitor:
        url = f"http://{server.addresses['ingress.http']}/slow"
        response = await visitor.post(url, content=words(), timeout=DEADLINE_S)
    return response.content


async def test_certificates_are_replaced_under_open_conversations(world: World) -> None:
    tls = 'ca = "ca.pem", certificate = "laptop.pem", key = "laptop.key"'
    world.authority.client("laptop")
    step = asyncio.Event()
    async with world.server(tls=', client_ca = "ca.pem"') as server, world.client(server, tls=tls) as client:
        await client.ready()
        talking = asyncio.create_task(conversation(server, step))
        await until(lambda: server.clients().clients[0].in_flight)
        first = world.peers[0].certificate

        # Another authority altogether: nothing of before is valid any more.
        world.authority = Authority(world.directory)
        world.authority.issue("server", "127.0.0.1")
        world.authority.client("laptop")
        await server.reload(server_source(world.directory / "server.toml").load())
        await client.reload(client_source(world.directory / "client.toml").load())
        step.set()
        assert await talking == b"before,after"
        assert len(world.peers) == 1  # on the link of before
        assert world.heard.of(LinkLost) == []

        # The next handshake is by the new ones, on both sides.
        for tunnel in server._registry.tunnels():
            tunnel.close("", "cut by a test")
        await until(lambda: len(world.peers) == 2)
    assert first is not None
    assert world.peers[-1].certificate is not None
    assert world.peers[-1].certificate.fingerprint != first.fingerprint


async def test_broken_pair_changes_nothing(world: World) -> None:
    async with world.server() as server, world.client(server) as client:
        await client.ready()
        (world.directory / "server.key").write_bytes((world.directory / "server.pem").read_bytes())
        with pytest.raises(ConfigurationError) as caught:
            await server.reload(server.settings)
        assert caught.value.key_path == f"transports.{world.transport}.tls.key"
        async with world.client(server) as second:
            await second.ready()


# -- the ingress


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_https_visitors_are_served_and_their_scheme_is_passed_on(world: World) -> None:
    context = ssl.create_default_context(cafile=world.authority.file)
    async with world.server(ingress_tls=True) as server, world.client(server) as client:
        await client.ready()
        head = await head_seen(server, verify=context)
    assert "x-forwarded-proto: https" in head


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_large_bodies_pass_https_both_ways_at_once(world: World) -> None:
    pieces = [bytes([number]) * 65_536 for number in range(48)]

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    context = ssl.create_default_context(cafile=world.authority.file)
    async with world.server(ingress_tls=True) as server, world.client(server) as client:
        await client.ready()
        async with httpx.AsyncClient(trust_env=False, verify=context) as visitor:
            url = f"https://{server.addresses['ingress.http']}/slow"
            response = await visitor.post(url, content=body(), timeout=DEADLINE_S)
    assert response.content == b"".join(pieces)


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_curl_is_served_over_https(world: World) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    async with world.server(ingress_tls=True) as server, world.client(server) as client:
        await client.ready()
        url = f"https://{server.addresses['ingress.http']}/small"
        done = await anyio.run_process(
            [curl, "-sS", "--noproxy", "*", "--cacert", world.authority.file, "-w", "%{http_version}", url],
            stderr=subprocess.STDOUT,
        )
    assert done.stdout.decode().lower().startswith("get /small")
    assert done.stdout.endswith(b"1.1")


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_ingress_certificate_is_replaced_under_an_open_connection(world: World) -> None:
    async with world.server(ingress_tls=True) as server, world.client(server) as client:
        await client.ready()
        old = ssl.create_default_context(cafile=world.authority.file)
        async with httpx.AsyncClient(trust_env=False, verify=old) as visitor:
            url = f"https://{server.addresses['ingress.http']}/small"
            assert (await visitor.get(url)).status_code == 200
            world.authority = Authority(world.directory)
            world.authority.issue("server", "127.0.0.1")
            await server.reload(server.settings)
            assert (await visitor.get(url)).status_code == 200  # on the connection it has
        assert "get /small" in await head_seen(server, verify=ssl.create_default_context(cafile=world.authority.file))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await head_seen(server, verify=old)


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_garbage_on_tls_ports_says_nothing_above_debug(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with world.server(ingress_tls=True) as server:
        caplog.clear()
        for address in server.addresses.values():
            host, _, port = address.rpartition(":")
            for garbage in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\xff" + b"\0" * 255, b"\x80"):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(garbage)
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
        assert [each.getMessage() for each in caplog.records] == []


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_visitor_that_ends_tls_in_one_direction_ends_the_request(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cafile=world.authority.file)
    async with world.server(ingress_tls=True) as server, world.client(server) as client:
        await client.ready()
        host, _, port = server.addresses["ingress.http"].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(b"POST /slow HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await until(lambda: server.clients().clients[0].in_flight)
        writer.close()
        await until(lambda: not server.clients().clients[0].in_flight)
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


# -- processes


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_processes_follow_their_certificate_files(world: World) -> None:
    """As an operator has it: two commands, files replaced in place, nobody told."""
    with contextlib.ExitStack() as stack:

        def started(name: str, path: Path) -> Process:
            process = Process(name, "-m", "tunnel", name, "--config", str(path))
            stack.callback(process.kill)
            return process

        server = started("server", world.server_file())
        line = await anyio.to_thread.run_sync(server.wait_for, rf"kind=transport name={world.transport} address=(\S+)")
        ingress = address_of(server.wait_for(INGRESS_LINE))
        client = started("client", world.client_file(line[1]))
        await anyio.to_thread.run_sync(client.wait_for, ready_line("laptop"))
        async with httpx.AsyncClient(trust_env=False) as visitor:
            response = await visitor.get(f"http://{ingress[0]}:{ingress[1]}/small", timeout=DEADLINE_S)
        assert response.status_code == 200

        world.authority.issue("server", "127.0.0.1", "localhost")
        await anyio.to_thread.run_sync(server.wait_for, r"configuration_reloaded .*version=2")
        (world.directory / "server.key").write_text("nonsense")
        kept = await anyio.to_thread.run_sync(server.wait_for, r"configuration_kept .*version=2 (.*)")
        assert f"transports.{world.transport}.tls.key" in kept[1]
        assert "client_unpublished" not in server.output


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_check_tells_what_is_wrong_with_certificates(world: World) -> None:
    async def checked() -> tuple[int | None, str, str]:
        command = [sys.executable, "-m", "tunnel", "check", str(world.server_file())]
        done = await anyio.run_process(command, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    where = f"transports.{world.transport}.tls"
    world.authority.issue("server", "127.0.0.1", from_day=-3, to_day=-2)
    code, out, err = await checked()
    assert (code, out.strip()) == (0, f"{world.directory}/server.toml: ok (server)")
    assert f"{where}.certificate: warning: the certificate expired on " in err

    (world.directory / "server.key").unlink()
    code, _, err = await checked()
    assert code == 2
    assert f"{where}.key: {world.directory}/server.key cannot be read" in err
