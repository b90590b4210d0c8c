"""Opening connections to servers and proxies by name, without the event loop's own threads for names."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from tunnel.sockets.resolver import resolve

__all__ = ["dialled"]


async def dialled(host: str, port: int) -> socket.socket:
    """A socket that is connected to the first address of ``host`` that takes it. Cancelling leaves none behind.

    Args:
        host: Name or address; IPv6 without brackets.
        port: Its port.

    Raises:
        OSError: No address takes it, with the last one's reason; or there is none.
        UnicodeError: This is no name.
    """
    loop = asyncio.get_running_loop()
    failure = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    for family, at in await resolve(host, port):
        # With the protocol number given, asyncio sees TCP in it.
        connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, at)
        except OSError as exc:
            connection.close()
            failure = exc
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure
