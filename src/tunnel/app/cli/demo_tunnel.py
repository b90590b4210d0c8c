"""A server and a client for the demo, joined by one transport."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tunnel.app.cli.demo_process import READY_S, DemoProcess, DidNotStart, running
from tunnel.app.cli.token import new_token

__all__ = [
    "REFUSED_PATH",
    "TRANSPORTS",
    "DemoTunnel",
    "Plan",
    "client_toml",
    "refusing_port",
    "running_tunnel",
    "server_toml",
]

TRANSPORTS: Final = ("grpc", "websocket", "memory")

REFUSED_PATH: Final = "/refused"
"""Below it requests go to an upstream that refuses connections."""

_SCHEMES: Final = {"grpc": "grpc", "websocket": "ws"}
_LISTENING: Final = r"^listening kind={kind} name={name} address=(\S+)$"
_SHOWN_LINES: Final = 10


class Plan(NamedTuple):
    """What the tunnels of a demo have in common.

    Args:
        directory: For their files.
        application: Where the sample application is, ``http://HOST:PORT``.
        calls: Where it takes gRPC calls, ``grpc://HOST:PORT``.
        refusing_port: A port of 127.0.0.1 that refuses connections.
        echo: Where the TCP service is, ``HOST:PORT``.
    """

    directory: Path
    application: str
    calls: str
    refusing_port: int
    echo: str


class DemoTunnel(NamedTuple):
    """A running server and client.

    Args:
        address: ``HOST:PORT`` for visitors.
        calls: ``HOST:PORT`` for gRPC calls.
        tcp_address: Likewise, for visitors of the TCP service.
        server: What clients dial, a URL.
        token: What they show.
        processes: The server and the client; none when both are in this process.
        log: The last lines of this process's own log; empty when they are elsewhere.
    """

    address: str
    calls: str
    tcp_address: str
    server: str
    token: str
    processes: tuple[DemoProcess, ...]
    log: deque[str]


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections and cannot be taken by anybody else meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@asynccontextmanager
async def running_tunnel(transport: str, plan: Plan) -> AsyncIterator[DemoTunnel]:
    """Run server and client; entered when the client is ready.

    Over ``memory`` both are in this process, else each is a process of its own, started as users do.

    Raises:
        DidNotStart: Either of them did not.
        TunnelError: In this process likewise, for another reason than time.
    """
    start = _in_this_process if transport == "memory" else _in_processes
    async with start(transport, plan) as tunnel:
        yield tunnel


@asynccontextmanager
async def _in_processes(transport: str, plan: Plan) -> AsyncIterator[DemoTunnel]:
    token, digest = new_token()
    server_file = _write(plan, f"server-{transport}.toml", server_toml(transport, plan, token_sha256=digest))
    async with running(f"server over {transport}", "-m", "tunnel", "server", "--config", server_file) as server:
        dialled = await server.said(_LISTENING.format(kind="transport", name=transport))
        address = await server.said(_LISTENING.format(kind="ingress", name="http"))
        calls = await server.said(_LISTENING.format(kind="ingress", name="grpc"))
        tcp_address = await server.said(_LISTENING.format(kind="ingress", name="tcp-echo"))
        url = f"{_SCHEMES[transport]}://{dialled}"
        client_file = _write(plan, f"client-{transport}.toml", client_toml(transport, url, token))
        async with running(f"client over {transport}", "-m", "tunnel", "client", "--config", client_file) as client:
            await client.said(r"^ready client=(\S+)")
            yield DemoTunnel(address, calls, tcp_address, url, token, (server, client), deque())


@asynccontextmanager
async def _in_this_process(transport: str, plan: Plan) -> AsyncIterator[DemoTunnel]:
    from tunnel.app.client import Client
    from tunnel.app.logging import configure_logging
    from tunnel.app.server import Server
    from tunnel.app.settings import load_client_settings, load_server_settings

    token, digest = new_token()
    server_file = _write(plan, f"server-{transport}.toml", server_toml(transport, plan, token_sha256=digest))
    url = f"memory://{_memory_name(plan)}"
    client_file = _write(plan, f"client-{transport}.toml", client_toml(transport, url, token))
    log = _LastLines()
    configure_logging(stream=log)
    async with Server(load_server_settings(server_file)) as server, Client(load_client_settings(client_file)) as client:
        try:
            async with asyncio.timeout(READY_S):
                await client.ready()
        except TimeoutError as exc:
            reason = f"was not ready within {READY_S:.0f} s"
            raise DidNotStart(f"client over {transport}", reason, tuple(log.lines)) from exc
        http, calls, echo = (server.addresses[f"ingress.{name}"] for name in ("http", "grpc", "tcp-echo"))
        yield DemoTunnel(http, calls, echo, url, token, (), log.lines)


class _LastLines(io.StringIO):
    """Keeps the end of a log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Final[deque[str]] = deque(maxlen=_SHOWN_LINES)

    def write(self, text: str) -> int:
        self.lines.extend(text.splitlines())
        return len(text)


def server_toml(transport: str, plan: Plan, *, token_sha256: str) -> str:
    """The server's configuration. Its visitors come to the address that it listens on."""
    place = f'name = "{_memory_name(plan)}"' if transport == "memory" else 'listen = "127.0.0.1:0"'
    return f"""
[transports.{transport}]
{place}

[ingress.http]
listen = "127.0.0.1:0"

[ingress.grpc]
listen = "127.0.0.1:0"

[[ingress.tcp]]
listen = "127.0.0.1:0"
group = "demo"
upstream = "echo"

[auth.tokens.demo]
sha256 = "{token_sha256}"
groups = ["demo"]
hosts = ["*.localhost"]

[[rules]]
host = "127.0.0.1"
group = "demo"

[[rules]]
host = "localhost"
group = "demo"

[[rules]]
protocol = "grpc"
group = "demo"

[[groups.demo.rules]]
protocol = "grpc"
path_prefix = "/demo.v1.Demo"
upstream = "calls"

[[groups.demo.rules]]
path_prefix = "/"
upstream = "application"

[[groups.demo.rules]]
path_prefix = "{REFUSED_PATH}"
upstream = "refusing"

[groups.demo.upstreams.application]
targets = ["{plan.application}"]

[groups.demo.upstreams.calls]
targets = ["{plan.calls}"]

[groups.demo.upstreams.refusing]
targets = ["http://127.0.0.1:{plan.refusing_port}"]

[groups.demo.upstreams.echo]
targets = ["tcp://{plan.echo}"]

[limits]
drain_s = 1
"""


def client_toml(transport: str, url: str, token: str) -> str:
    """The client's configuration."""
    return f"""
client_id = "demo-{transport}"
group = "demo"
token = "{token}"
servers = ["{url}"]

[limits]
drain_s = 1
"""


def _memory_name(plan: Plan) -> str:
    """Differs between the demos of one process."""
    return f"demo-{hashlib.sha256(str(plan.directory).encode()).hexdigest()[:12]}"


def _write(plan: Plan, name: str, text: str) -> str:
    path = plan.directory / name
    path.write_text(text)
    return str(path)
