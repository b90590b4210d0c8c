"""The dialling side."""

from __future__ import annotations

import asyncio

from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.ports.transport import Transport
from tunnel_unix.link import UnixLink

__all__ = ["UnixTransport"]

GREETING = b"tunnel-unix 1\n"


class UnixTransport(Transport):
    """Connects to ``ux:///path/of/socket``."""

    async def connect(self, url: str, *, timeout_s: float) -> UnixLink:
        path = url.removeprefix("ux://")
        writer = None
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(path)
                if await reader.readexactly(len(GREETING)) != GREETING:
                    raise LinkError(LinkEnd.UNREACHABLE, f"{path} does not speak this transport")
        except (OSError, asyncio.IncompleteReadError) as exc:
            _drop(writer)
            raise LinkError(LinkEnd.UNREACHABLE, f"{path} does not answer: {exc}") from exc
        except BaseException:
            _drop(writer)
            raise
        return UnixLink(reader, writer, path)


def _drop(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.transport.abort()
