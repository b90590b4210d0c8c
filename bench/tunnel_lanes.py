"""The tunnel over each of its transports."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from bench.lanes import Entrance, Lane
from bench.processes import Process, Processes
from bench.upstreams import Upstreams, module_environment

__all__ = ["MANY_SESSIONS", "TunnelLanes"]

_SCHEMES: Final = {"websocket": "ws", "grpc": "grpc"}
_MEMORY_NAME: Final = "bench"
_LISTENING: Final = r"listening kind={} name={} address=(\S+)"
_INGRESSES: Final = {"plain": "http", "streams": "http", "websockets": "http", "calls": "grpc", "bytes": "tcp-bytes"}
"""Name of the listener of each entrance."""

_SERVER: Final = """
[transports.{transport}]
{where}
[ingress.http]
listen = "127.0.0.1:0"
[ingress.grpc]
listen = "127.0.0.1:0"
[[ingress.tcp]]
listen = "127.0.0.1:0"
group = "bench"
upstream = "bytes"
[auth.tokens.bench]
sha256 = "{digest}"
groups = ["bench"]
[limits]
{limits}
[[rules]]
path_prefix = "/"
group = "bench"
[[groups.bench.rules]]
path_prefix = "/"
upstream = "plain"
[[groups.bench.rules]]
path_prefix = "/upload"
upstream = "streams"
[[groups.bench.rules]]
path_prefix = "/events"
upstream = "streams"
[[groups.bench.rules]]
path_prefix = "/socket"
upstream = "websockets"
[[groups.bench.rules]]
service = "bench.Echo"
upstream = "calls"
[groups.bench.upstreams.plain]
targets = ["http://{plain}"]
[groups.bench.upstreams.streams]
targets = ["http://{streams}"]
[groups.bench.upstreams.websockets]
targets = ["http://{websockets}"]
[groups.bench.upstreams.calls]
targets = ["grpc://{calls}"]
[groups.bench.upstreams.bytes]
targets = ["tcp://{bytes}"]
"""

_CLIENT: Final = """
client_id = "bench"
group = "bench"
token = "{token}"
servers = ["{server}"]
[limits]
{limits}
"""

MANY_SESSIONS: Final = "session_window_bytes = 32_768\ntunnel_receive_bytes = 1_073_741_824"
"""Limits for more than the 4,096 conversations at once that the defaults hold. A process promises its peers half a GiB
in windows, so that these, of half the default size, suffice for 16,384."""


class TunnelLanes:
    """Starts a server and a client, both with everything at its default but the limits given.

    Args:
        python: The interpreter that runs them; it has the package installed.
        limits: Settings of ``[limits]``, in TOML.
    """

    def __init__(self, python: str, *, limits: str = "") -> None:
        self._python: Final = python
        self._limits: Final = limits
        self._token: Final = secrets.token_urlsafe(32)

    def start(self, transport: str, upstreams: Upstreams, processes: Processes) -> Lane:
        """Start the lane ``transport``: grpc, websocket or memory.

        Raises:
            Failed: It does not get ready.
        """
        server_file = processes.directory / f"server-{transport}.toml"
        client_file = processes.directory / f"client-{transport}.toml"
        memory = transport == "memory"
        server_file.write_text(
            _SERVER.format(
                transport=transport,
                where=f'name = "{_MEMORY_NAME}"' if memory else 'listen = "127.0.0.1:0"',
                digest=hashlib.sha256(self._token.encode()).hexdigest(),
                limits=self._limits,
                **upstreams.addresses,
            )
        )
        if memory:
            client_file.write_text(
                _CLIENT.format(token=self._token, limits=self._limits, server=f"memory://{_MEMORY_NAME}")
            )
            host = processes.start(
                "memory",
                *(self._python, "-m", "bench.memory_host", server_file, client_file),
                environment=module_environment(),
            )
            return self._lane(transport, host, upstreams, {"both": host.pid})
        command = (self._python, "-m", "tunnel")
        server = processes.start(f"server-{transport}", *command, "server", "--config", server_file)
        address = server.until_logged(_LISTENING.format("transport", transport))
        client_file.write_text(
            _CLIENT.format(token=self._token, limits=self._limits, server=f"{_SCHEMES[transport]}://{address}")
        )
        client = processes.start(f"client-{transport}", *command, "client", "--config", client_file)
        client.until_logged(r"(ready client=bench)")
        return self._lane(transport, server, upstreams, {"server": server.pid, "client": client.pid})

    @staticmethod
    def _lane(name: str, server: Process, upstreams: Upstreams, own: dict[str, int]) -> Lane:
        entrances = {
            entrance: Entrance(server.until_logged(_LISTENING.format("ingress", ingress)))
            for entrance, ingress in _INGRESSES.items()
        }
        return Lane(name, entrances, upstreams.publisher, own, upstreams.processes)
