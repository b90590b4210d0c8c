"""Clients that reach their server through a proxy, over each transport, with and without TLS."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.certificates import Authority
from support.connect_proxy import ConnectProxy, Manner, socks_proxy

import tunnel
from tunnel.adapters.grpc.transport import GrpcTransport
from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.app.redaction import redacted
from tunnel.domain.configuration import (
    AuthSettings,
    ClientTlsSettings,
    GroupSettings,
    GrpcTransportSettings,
    Secret,
    TokenSettings,
    TransportsSettings,
    WebSocketTransportSettings,
)
from tunnel.domain.configuration.proxies import Proxy, parse_proxy
from tunnel.domain.errors import LinkEnd, LinkError

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-tests"
NAME = "edge.example.test"
"""Nobody but the proxy of these tests finds it."""

SCHEMES = ["grpc", "grpcs", "ws", "wss"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def server_of(scheme: str, authority: Authority) -> AsyncIterator[str]:
    """A server; yields where it listens."""
    tls = authority.listener("server", NAME) if scheme in ("grpcs", "wss") else None
    kind = "grpc" if scheme.startswith("grpc") else "websocket"
    transports = (
        TransportsSettings(grpc=GrpcTransportSettings(listen="127.0.0.1:0", tls=tls))
        if kind == "grpc"
        else TransportsSettings(websocket=WebSocketTransportSettings(listen="127.0.0.1:0", tls=tls))
    )
    settings = tunnel.ServerSettings(
        transports=transports,
        auth=AuthSettings(
            tokens={"laptop": TokenSettings(sha256=hashlib.sha256(TOKEN.encode()).hexdigest(), groups=("web",))}
        ),
        groups={"web": GroupSettings()},
    )
    async with tunnel.Server(settings) as server:
        yield server.addresses[f"transport.{kind}"]


def client_of(scheme: str, authority: Authority, proxy: str | None) -> tunnel.Client:
    return tunnel.Client(
        tunnel.ClientSettings(
            group="web",
            token=Secret(TOKEN),
            servers=(f"{scheme}://{NAME}:7000",),
            tls=ClientTlsSettings(ca=authority.file),
            insecure=True,
            proxy=None if proxy is None else Secret(proxy),
        )
    )


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_client_is_ready_through_a_proxy_that_asks_for_a_password(scheme: str, authority: Authority) -> None:
    async with (
        server_of(scheme, authority) as address,
        ConnectProxy(address, credentials="me:p@ss:word").running() as proxy,
        client_of(scheme, authority, f"http://me:p%40ss%3Aword@127.0.0.1:{proxy.port}") as client,
    ):
        async with asyncio.timeout(10):
            await client.ready()
        assert proxy.asked == [f"CONNECT {NAME}:7000 HTTP/1.1".encode()]


@pytest.mark.parametrize("scheme", ["grpc", "wss"])
async def test_the_environment_names_the_proxy(
    scheme: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with server_of(scheme, authority) as address, ConnectProxy(address).running() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with client_of(scheme, authority, None) as client, asyncio.timeout(10):
            await client.ready()
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("scheme", ["grpc", "ws"])
async def test_a_tunnel_outlives_its_proxied_link(scheme: str, authority: Authority) -> None:
    async with (
        server_of(scheme, authority) as address,
        ConnectProxy(address).running() as proxy,
        client_of(scheme, authority, f"http://127.0.0.1:{proxy.port}") as client,
    ):
        async with asyncio.timeout(10):
            await client.ready()
            proxy.sever()
            while len(proxy.asked) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await client.ready()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_by_websocket_a_client_is_ready_through_socks(scheme: str, authority: Authority) -> None:
    asked: list[bytes] = []
    async with (
        server_of(scheme, authority) as address,
        socks_proxy(address, user=b"me", password=b"p@ss", asked=asked) as port,
        client_of(scheme, authority, f"socks5://me:p%40ss@127.0.0.1:{port}") as client,
    ):
        async with asyncio.timeout(10):
            await client.ready()
    assert asked == [f"{NAME}:7000".encode()]


def transport_of(scheme: str, url: str, proxy: Proxy) -> GrpcTransport | WebSocketTransport:
    if scheme == "grpc":
        return GrpcTransport(proxies={url: proxy})
    return WebSocketTransport(proxies={url: proxy})


async def failure(scheme: str, manner: Manner, *, credentials: str = "", timeout_s: float = 5) -> str:
    """What is said of a connection through a proxy of this manner, with the wrong password."""
    url = f"{scheme}://{NAME}:7000"
    async with ConnectProxy("127.0.0.1:9", credentials=credentials, manner=manner).running() as proxy:
        wrong = parse_proxy(f"http://me:guessed-secret@127.0.0.1:{proxy.port}", "proxy")
        with pytest.raises(LinkError) as caught:
            await transport_of(scheme, url, wrong).connect(url, timeout_s=timeout_s)
    assert caught.value.end is LinkEnd.UNREACHABLE
    assert "guessed-secret" not in f"{caught.value}{caught.value.__cause__}"
    return caught.value.reason


@pytest.mark.parametrize("scheme", ["grpc", "ws"])
async def test_a_wrong_password_is_said_to_be_one(scheme: str) -> None:
    reason = await failure(scheme, Manner.CONNECTS, credentials="me:right")

    assert "the proxy asks for a user name and a password, or for others (HTTP 407)" in reason


@pytest.mark.parametrize("scheme", ["grpc", "ws"])
async def test_a_proxy_that_refuses_is_quoted(scheme: str) -> None:
    assert "the proxy refused to connect: HTTP 403" in await failure(scheme, Manner.REFUSES)


@pytest.mark.parametrize("scheme", ["grpc", "ws"])
async def test_a_proxy_that_hangs_is_given_up(scheme: str) -> None:
    assert await failure(scheme, Manner.HANGS, timeout_s=0.2)


@pytest.mark.parametrize("manner", [Manner.CLOSES, Manner.CLOSES_MIDWAY, Manner.BABBLES])
@pytest.mark.parametrize("scheme", ["grpc", "ws"])
async def test_a_proxy_that_closes_or_babbles_leads_nowhere(scheme: str, manner: Manner) -> None:
    assert await failure(scheme, manner)


async def test_the_password_is_shown_nowhere(authority: Authority) -> None:
    client = client_of("wss", authority, "http://me:guessed-secret@127.0.0.1:1")

    assert redacted(client.settings)["proxy"] == "***"
    assert "guessed-secret" not in repr(client.settings)
