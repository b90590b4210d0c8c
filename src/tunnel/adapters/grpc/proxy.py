"""Channels through HTTP proxies.

gRPC finds proxies in the environment, by rules of its own, even when it is given one. So that part of it is switched
off, and its handshake with a proxy is asked for directly: the channel
dials the proxy, and has it connect to the server.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final

from tunnel.adapters.grpc.options import Options
from tunnel.domain.configuration.proxies import Proxy

__all__ = ["proxy_words", "through"]

_REFUSED: Final = re.compile(r"HTTP proxy returned response code (\d+)")


def through(proxy: Proxy, target: str) -> Options:
    """Options of a channel that dials ``proxy`` and talks to ``target``.

    Args:
        proxy: Of scheme ``http``.
        target: ``host:port`` of the server, which the proxy looks up.
    """
    credentials: Options = ()
    if proxy.user is not None:
        password = "" if proxy.password is None else proxy.password.reveal()
        basic = b64encode(f"{proxy.user.reveal()}:{password}".encode()).decode()
        credentials = (("grpc.http_connect_headers", f"Proxy-Authorization:Basic {basic}"),)
    return (("grpc.http_connect_server", target), ("grpc.default_authority", target), *credentials)


def proxy_words(details: str) -> str:
    """What a proxy answered, in words; empty when it was not that."""
    found = _REFUSED.search(details)
    if found is None:
        return ""
    if found[1] == "407":
        return "the proxy asks for a user name and a password, or for others (HTTP 407)"
    return f"the proxy refused to connect: HTTP {found[1]}"
