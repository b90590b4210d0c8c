"""The tunnel over each of its transports."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from bench.lanes import Entrance, Lane
from bench.processes import Processes
from bench.upstreams import Upstreams, module_environment

__all__ = ["TunnelLanes"]

_SCHEMES: Final = {"websocket": "ws", "grpc": "grpc"}
_MEMORY_NAME: Final = "bench"
_LISTENING: Final = r"listening kind={} name=\S+ address=(\S+)"

_SERVER: Final = """
[transports.{transport}]
{where}
[ingress.http]
listen = "127.0.0.1:0"
[auth.tokens.bench]
sha256 = "{digest}"
groups = ["bench"]
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
[groups.bench.upstreams.plain]
targets = ["http://{plain}"]
[groups.bench.upstreams.streams]
targets = ["http://{streams}"]
"""

_CLIENT: Final = """
client_id = "bench"
group = "bench"
token = "{token}"
servers = ["{server}"]
"""


class TunnelLanes:
    """Starts a server and a client, both with everything at its default.

    Args:
        python: The interpreter that runs them; it has the package installed.
    """

    def __init__(self, python: str) -> None:
        self._python: Final = python
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
                plain=upstreams.plain,
                streams=upstreams.streams,
            )
        )
        if memory:
            client_file.write_text(_CLIENT.format(token=self._token, server=f"memory://{_MEMORY_NAME}"))
            host = processes.start(
                "memory",
                *(self._python, "-m", "bench.memory_host", server_file, client_file),
                environment=module_environment(),
            )
            return self._lane(transport, host.until_logged(r"ingress (\S+)"), upstreams, {"both": host.pid})
        command = (self._python, "-m", "tunnel")
        server = processes.start(f"server-{transport}", *command, "server", "--config", server_file)
        address = server.until_logged(_LISTENING.format("transport"))
        ingress = server.until_logged(_LISTENING.format("ingress"))
        client_file.write_text(_CLIENT.format(token=self._token, server=f"{_SCHEMES[transport]}://{address}"))
        client = processes.start(f"client-{transport}", *command, "client", "--config", client_file)
        client.until_logged(r"(ready client=bench)")
        return self._lane(transport, ingress, upstreams, {"server": server.pid, "client": client.pid})

    @staticmethod
    def _lane(name: str, ingress: str, upstreams: Upstreams, own: dict[str, int]) -> Lane:
        entrance = Entrance(ingress)
        return Lane(name, entrance, entrance, upstreams.streams, own, upstreams.processes)
