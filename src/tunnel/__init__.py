"""Tunnels for HTTP, WebSocket, gRPC and TCP between a public server and clients behind NAT.

::

    server = tunnel.Server(tunnel.load_server_settings("server.toml"))
    async with server:
        ...

    async with tunnel.Client(tunnel.load_client_settings("client.toml")) as client:
        await client.ready()

    async with tunnel.expose(app, to="grpc://edge:7000", token=..., host="demo.example.test") as exposed:
        print(exposed.url)

Names are imported when first used, so that ``import tunnel`` costs little and loads no transport.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunnel import blocking as blocking
    from tunnel.app.client import Client
    from tunnel.app.exposure import Exposed, expose
    from tunnel.app.server import Server
    from tunnel.app.settings import load_client_settings, load_server_settings
    from tunnel.domain.configuration import ClientSettings, ServerSettings
    from tunnel.domain.errors import (
        ConfigurationError,
        ErrorCode,
        LinkError,
        ListenError,
        RegistrationRefused,
        SendingStopped,
        SessionError,
        TunnelError,
    )

    __version__: str

__all__ = [
    "Client",
    "ClientSettings",
    "ConfigurationError",
    "ErrorCode",
    "Exposed",
    "LinkError",
    "ListenError",
    "RegistrationRefused",
    "SendingStopped",
    "Server",
    "ServerSettings",
    "SessionError",
    "TunnelError",
    "__version__",
    "expose",
    "load_client_settings",
    "load_server_settings",
]

_HOMES = {
    "Client": "tunnel.app.client",
    "ClientSettings": "tunnel.domain.configuration",
    "ConfigurationError": "tunnel.domain.errors",
    "ErrorCode": "tunnel.domain.errors",
    "Exposed": "tunnel.app.exposure",
    "LinkError": "tunnel.domain.errors",
    "ListenError": "tunnel.domain.errors",
    "RegistrationRefused": "tunnel.domain.errors",
    "SendingStopped": "tunnel.domain.errors",
    "Server": "tunnel.app.server",
    "ServerSettings": "tunnel.domain.configuration",
    "SessionError": "tunnel.domain.errors",
    "TunnelError": "tunnel.domain.errors",
    "expose": "tunnel.app.exposure",
    "load_client_settings": "tunnel.app.settings",
    "load_server_settings": "tunnel.app.settings",
}


def __getattr__(name: str) -> Any:
    """Import an exported name from its home (PEP 562); it is a plain attribute from then on."""
    value: Any
    if name == "__version__":
        from importlib.metadata import version

        value = version("hextunnel")
    elif name == "blocking":
        value = import_module("tunnel.blocking")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
