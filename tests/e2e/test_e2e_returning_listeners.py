"""Listeners that a reload moves to another address and the next one back, while those they let in are still there."""

import hashlib
import socket
from collections.abc import Callable, Mapping

import anyio
import pytest
from e2e_topologies import SCHEMES, TOKEN
from e2e_visitor import run
from support.ports import unused_port

import tunnel
from tunnel.domain.configuration import ServerSettings, decode_client_settings, decode_server_settings

Place = Callable[[int], Mapping[str, object]]

INGRESS: Mapping[str, Place] = {
    "http": lambda port: {"ingress": {"http": {"listen": f"127.0.0.1:{port}"}}},
    "tcp": lambda port: {"ingress": {"tcp": [{"listen": f"127.0.0.1:{port}", "group": "web", "upstream": "app"}]}},
    "admin": lambda port: {"admin": {"listen": f"127.0.0.1:{port}"}},
}


def settings(**tables: object) -> ServerSettings:
    token = {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "groups": ["web"]}
    plain = {
        "transports": {"memory": {"name": "returning"}},
        "auth": {"tokens": {"e2e": token}},
        "rules": [{"group": "web"}],
        "groups": {"web": {"rules": [], "upstreams": {"app": {"targets": ["tcp://127.0.0.1:1"]}}}},
        "limits": {"drain_s": 30},
    }
    return decode_server_settings(plain | tables)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.parametrize("kind", INGRESS)
def test_visitors_listener_comes_back_at_once(kind):
    first, second = unused_port(), unused_port()

    async def scenario() -> None:
        async with tunnel.Server(settings(**INGRESS[kind](first))) as server:
            for _ in range(3):
                with connected(first):
                    # Accepted by now: asyncio drops what it is about to accept when it closes.
                    await anyio.wait_all_tasks_blocked()
                    for port in (second, first):
                        await server.reload(settings(**INGRESS[kind](port)))

    run(scenario())


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
@pytest.mark.parametrize("pause_s", [0, 0.05])
def test_transport_comes_back_and_keeps_its_links(transport, pause_s):
    ports = unused_port(), unused_port()

    def at(port: int) -> ServerSettings:
        return settings(transports={transport: {"listen": f"127.0.0.1:{port}"}})

    def links(server: tunnel.Server) -> set[str]:
        return {each.tunnel_id for client in server.clients().clients for each in client.tunnels}

    async def scenario() -> None:
        client = {"servers": [f"{SCHEMES[transport]}://127.0.0.1:{ports[0]}"], "group": "web", "token": TOKEN}
        async with (
            tunnel.Server(at(ports[0])) as server,
            tunnel.Client(decode_client_settings(client)) as one,
        ):
            await one.ready()
            before = links(server)
            for _ in range(3):
                for port in reversed(ports):
                    await server.reload(at(port))
                    await anyio.sleep(pause_s)
            assert server.addresses == {f"transport.{transport}": f"127.0.0.1:{ports[0]}"}
            async with tunnel.Client(decode_client_settings(client | {"client_id": "another"})) as another:
                await another.ready()
                assert before < links(server)

    run(scenario())
