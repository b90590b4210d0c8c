"""Connections through HTTP proxies, opened with CONNECT.

``websockets`` can do so too, but takes the end of a connection twice when a proxy closes it in order, which ends in an
exception that nobody can catch. SOCKS is left to it.

Source: RFC 9110 section 9.3.6.
"""

from __future__ import annotations

import asyncio
import re
import socket
from base64 import b64encode
from typing import Final

from tunnel.adapters.websocket.dialling import dialled
from tunnel.domain.configuration.addresses import authority
from tunnel.domain.configuration.proxies import Proxy
from tunnel.domain.errors import LinkEnd, LinkError

__all__ = ["connect_through"]

_MAX_HEAD_BYTES: Final = 16 * 1024
"""Of a proxy's answer."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})[ \r]")


async def connect_through(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A socket on which ``host`` can be talked to. Cancelling leaves none behind.

    Args:
        proxy: Of scheme ``http``.
        host: Name, which the proxy looks up, or address; IPv6 without brackets.
        port: Its port.

    Raises:
        LinkError: ``UNREACHABLE``: the proxy cannot be reached, or will not connect.
        OSError: The connection to it was lost.
    """
    connection = await _dial(proxy)
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, _request(proxy, authority(host, port)))
        _check(await _answer(connection))
    except BaseException:
        connection.close()
        raise
    return connection


async def _dial(proxy: Proxy) -> socket.socket:
    try:
        return await dialled(proxy.host, proxy.port)
    except OSError as exc:
        raise LinkError(LinkEnd.UNREACHABLE, f"the proxy cannot be reached: {exc}") from exc


def _request(proxy: Proxy, target: str) -> bytes:
    credentials = ""
    if proxy.user is not None:
        password = "" if proxy.password is None else proxy.password.reveal()
        basic = b64encode(f"{proxy.user.reveal()}:{password}".encode()).decode()
        credentials = f"Proxy-Authorization: Basic {basic}\r\n"
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n".encode()


async def _answer(connection: socket.socket) -> bytes:
    """The proxy's head. Servers of ours do not speak first, so that nothing can follow a good one."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = await asyncio.get_running_loop().sock_recv(connection, 4096)
        head += data
        if not data or len(head) > _MAX_HEAD_BYTES:
            raise LinkError(LinkEnd.UNREACHABLE, "the proxy closed the connection, or does not answer in HTTP")
    return head


def _check(head: bytes) -> None:
    status = _STATUS.match(head)
    if status is None:
        raise LinkError(LinkEnd.UNREACHABLE, "the proxy does not answer in HTTP")
    code = int(status[1])
    if code == 407:
        why = "the proxy asks for a user name and a password, or for others (HTTP 407)"
        raise LinkError(LinkEnd.UNREACHABLE, why)
    if not 200 <= code < 300:
        raise LinkError(LinkEnd.UNREACHABLE, f"the proxy refused to connect: HTTP {code}")
    if not head.endswith(b"\r\n\r\n"):
        raise LinkError(LinkEnd.UNREACHABLE, "the proxy speaks before the server does")
