"""The answers of ``bench.upstream_server`` from an ASGI application: ``python -m bench.asgi_upstream PORT MIB``.

It shows what HTTP costs in Python without a tunnel: one process of uvicorn that parses requests and answers them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import uvicorn

from bench.upstream_server import BODY, EVENT, MIB, SMALL

__all__ = ["AsgiUpstream"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_PIECE: Final = bytes(64 * 1024)


class AsgiUpstream:
    """The application.

    Args:
        large_mib: Size of a large body, MiB.
    """

    def __init__(self, *, large_mib: int) -> None:
        self._large_bytes = large_mib * MIB
        self._subscribers: set[asyncio.Queue[bytes]] = set()

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        match scope["path"]:
            case "/small":
                await _answer(send, SMALL)
            case "/body":
                await _answer(send, BODY)
            case "/upload":
                await _answer(send, b"%d\n" % await _size_of_body(receive))
            case "/events":
                await self._stream_events(receive, send)
            case "/publish":
                for subscriber in self._subscribers:
                    subscriber.put_nowait(EVENT)
                await _answer(send, b"%d\n" % len(self._subscribers))
            case _:
                await _start(send, self._large_bytes)
                for _ in range(self._large_bytes // len(_PIECE)):
                    await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
                await send({"type": "http.response.body", "body": b""})

    async def _stream_events(self, receive: _Receive, send: _Send) -> None:
        events: asyncio.Queue[bytes] = asyncio.Queue()
        self._subscribers.add(events)
        left = asyncio.ensure_future(_until_disconnected(receive))
        left.add_done_callback(lambda _: events.put_nowait(b""))
        try:
            await _start(send, None)
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            while event := await events.get():
                await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            self._subscribers.discard(events)
            left.cancel()


async def _start(send: _Send, size: int | None) -> None:
    kind = (b"content-type", b"text/plain" if size is not None else b"text/event-stream")
    length = [] if size is None else [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": [kind, *length]})


async def _answer(send: _Send, body: bytes) -> None:
    await _start(send, len(body))
    await send({"type": "http.response.body", "body": body})


async def _size_of_body(receive: _Receive) -> int:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    return size


async def _until_disconnected(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


if __name__ == "__main__":
    uvicorn.run(
        AsgiUpstream(large_mib=int(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=4096,
    )
