"""The demo's application that is exposed, and how people expose one of their own."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tunnel.app.cli.demo_tunnel import DemoTunnel
from tunnel.app.cli.demo_visitor import Mismatch, visiting
from tunnel.app.cli.demo_visits import Visit
from tunnel.domain.errors import TunnelError

__all__ = ["EXPOSED_NAME", "advice", "exposed_visit", "tunnel_command"]

EXPOSED_NAME: Final = "exposed ASGI application, by its claimed host"
_GREETING: Final = b"Hello from an application that was exposed"
_HOST: Final = "exposed.localhost"
_CONNECT_S: Final = 5.0


async def _application(
    scope: MutableMapping[str, Any],
    _receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answers every request in one breath; knows nothing of lifespans, as ASGI allows."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": _GREETING})


def exposed_visit(server: str, token: str) -> Visit:
    """The row that exposes an application of this process for as long as it takes.

    Args:
        server: URL of the server, for clients.
        token: May claim hosts below ``localhost``.
    """
    return Visit(EXPOSED_NAME, partial(_visit, server, token))


async def _visit(server: str, token: str, address: str) -> int:
    from tunnel.app.exposure import expose

    try:
        async with expose(_application, to=server, token=token, host=_HOST, timeout_s=_CONNECT_S) as exposed:
            _expect(f"http://{_HOST}:{address.rpartition(':')[2]}", exposed.url)
            async with visiting(address) as visitor:
                await visitor.send("GET", "/", host=exposed.url.partition("://")[2])
                _expect(_GREETING, await visitor.body(await visitor.head()))
    except TunnelError as error:
        raise Mismatch("the claim to be granted", error) from error
    return 0


def _expect(expected: object, got: object) -> None:
    if expected != got:
        raise Mismatch(expected, got)


def advice(tunnels: Mapping[str, DemoTunnel]) -> list[str]:
    """Lines that say how to expose something through one of the tunnels, to be pasted as they are.

    A name below ``localhost`` is this machine to browsers and to curl (RFC 6761 section 6.3). Nothing can be exposed
    from another process over memory.
    """
    tunnel = next((tunnels[name] for name in ("websocket", "grpc") if name in tunnels), None)
    if tunnel is None:
        return []
    host = "mine.localhost"
    return [
        "",
        "Expose something of yours: with an application on port 3000",
        "(python3 -m http.server 3000, say), run in a second terminal",
        "",
        f"  {tunnel_command()} expose 3000 --server {tunnel.server} --host {host} --token {tunnel.token}",
        "",
        f"and look at http://{host}:{tunnel.address.rpartition(':')[2]}/",
    ]


def tunnel_command() -> str:
    """How this program is called from any directory, and from terminals in which no environment is activated."""
    script = Path(sys.executable).with_name("tunnel")
    if not script.is_file():
        return f"{shlex.quote(sys.executable)} -m tunnel"
    found = shutil.which("tunnel")
    # What an environment adds to the path, another terminal lacks.
    if found is not None and sys.prefix == sys.base_prefix and Path(found).samefile(script):
        return "tunnel"
    return shlex.quote(str(script))
