"""The demo's sample application: a small ASGI application, served by uvicorn in a process of its own.

``python -m tunnel.app.cli.demo_app`` takes free ports of 127.0.0.1, writes ``listening address=HOST:PORT`` and, for
gRPC, ``listening calls=HOST:PORT`` to standard error and ends when its standard input does. It knows nothing of
tunnels. Exchanges that are observed, or that wait for one another, are named by ``id=`` in the query.

==================================  ====================================================================================
``GET /``                           a greeting
``POST /echo``                      the request's body
``GET /download?bytes=``            as many bytes of the demo's data
``POST /upload``                    JSON: ``bytes`` and ``sha256`` of the body
``POST /gather?id=&count=``         the request's body, once that many requests have come in
``GET /events?id=&count=``          server-sent events; one leaves only when its forerunner was confirmed
``POST /events/confirm?id=&n=``     confirms an event
``GET /cookies``                    two ``Set-Cookie`` headers
``GET /work?id=``                   a first line, and then nothing for as long as the visitor stays
``GET /work/cancelled?id=``         JSON: ``cancelled``, as soon as that work was, or false after two seconds
WebSocket ``/chat``                 each message comes back, but ``close CODE REASON`` closes so
any other WebSocket                 is refused with 403
==================================  ====================================================================================
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from tunnel.app.cli.output import write_error

__all__ = ["COOKIES", "GREETING", "REFUSAL", "SUBPROTOCOL", "SampleApplication", "blocks", "event", "main"]

GREETING: Final = b"Hello from the sample application.\n"
COOKIES: Final = (b"basket=42; Path=/; HttpOnly", b"theme=dark, plain; Path=/")

REFUSAL: Final = b"Members only.\n"
SUBPROTOCOL: Final = "chat.example"

_BLOCK_BYTES: Final = 64 * 1024
_CANCELLED_S: Final = 2.0
"""Longest wait for work to be cancelled: more than the second that it may take."""

_Receive = Callable[[], Awaitable[Mapping[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


def blocks(total_bytes: int) -> Iterator[bytes]:
    """The demo's data: no two blocks are equal, so that a swapped or a repeated one shows in a checksum."""
    filler = bytes(range(256)) * (_BLOCK_BYTES // 256)
    for start in range(0, total_bytes, _BLOCK_BYTES):
        block = start.to_bytes(8, "big") + filler[8:]
        yield block[: total_bytes - start]


def event(number: int) -> bytes:
    """The server-sent event with that number."""
    return f"id: {number}\ndata: event {number}\n\n".encode()


class _Exchange:
    """What is known of the requests that name the same ``id``."""

    def __init__(self) -> None:
        self.arrived = 0
        self.confirmed = 0
        self.cancelled = False
        self._changed = asyncio.Condition()

    async def change(self, **changes: int) -> None:
        async with self._changed:
            for name, value in changes.items():
                setattr(self, name, value)
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(holds)


class _Request:
    """A request, and the means to answer it."""

    def __init__(self, scope: Mapping[str, Any], receive: _Receive, send: _Send) -> None:
        self.route: Final = f"{scope['method']} {scope['path']}"
        self.query: Final = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        self.receive: Final = receive
        self.send: Final = send

    def number(self, name: str) -> int:
        return int(self.query.get(name, "0"))

    async def body(self) -> bytes:
        pieces = []
        more = True
        while more:
            message = await self.receive()
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def gone(self) -> None:
        """Return when the visitor has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def start(self, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, piece: bytes, *, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": piece, "more_body": more})

    async def answer(self, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        await self.start((b"content-length", b"%d" % len(body)), *headers, status=status)
        await self.write(body, more=False)

    async def answer_json(self, value: Mapping[str, object]) -> None:
        await self.answer(json.dumps(value).encode(), (b"content-type", b"application/json"))


class SampleApplication:
    """The ASGI application."""

    def __init__(self) -> None:
        self._exchanges: defaultdict[str, _Exchange] = defaultdict(_Exchange)
        self._routes: Final = {
            "GET /": self._greet,
            "POST /echo": self._echo,
            "GET /download": self._download,
            "POST /upload": self._upload,
            "POST /gather": self._gather,
            "GET /events": self._events,
            "POST /events/confirm": self._confirm,
            "GET /cookies": self._cookies,
            "GET /work": self._work,
            "GET /work/cancelled": self._cancelled,
        }

    async def __call__(self, scope: Mapping[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] == "websocket":
            await _converse(scope, receive, send)
            return
        request = _Request(scope, receive, send)
        handler = self._routes.get(request.route)
        if handler is None:
            known = "".join(f"{route}\n" for route in self._routes)
            await request.answer(f"Try one of\n{known}".encode(), _TEXT, status=404)
        else:
            await handler(request)

    def _exchange(self, request: _Request) -> _Exchange:
        return self._exchanges[request.query.get("id", "")]

    async def _greet(self, request: _Request) -> None:
        await request.answer(GREETING, _TEXT)

    async def _echo(self, request: _Request) -> None:
        await request.answer(await request.body(), (b"content-type", b"application/octet-stream"))

    async def _download(self, request: _Request) -> None:
        await request.start((b"content-length", b"%d" % request.number("bytes")))
        for block in blocks(request.number("bytes")):
            await request.write(block)
        await request.write(b"", more=False)

    async def _upload(self, request: _Request) -> None:
        sha256 = hashlib.sha256()
        received = 0
        more = True
        while more:
            message = await request.receive()
            piece = message.get("body", b"")
            sha256.update(piece)
            received += len(piece)
            more = message.get("more_body", False)
        await request.answer_json({"bytes": received, "sha256": sha256.hexdigest()})

    async def _gather(self, request: _Request) -> None:
        body = await request.body()
        exchange = self._exchange(request)
        await exchange.change(arrived=exchange.arrived + 1)
        await exchange.until(lambda: exchange.arrived >= request.number("count"))
        await request.answer(body)

    async def _events(self, request: _Request) -> None:
        exchange = self._exchange(request)
        await request.start((b"content-type", b"text/event-stream"))
        for number in range(1, request.number("count") + 1):
            await request.write(event(number))
            await exchange.until(lambda number=number: exchange.confirmed >= number)  # type: ignore[misc]
        await request.write(b"", more=False)

    async def _confirm(self, request: _Request) -> None:
        await self._exchange(request).change(confirmed=request.number("n"))
        await request.answer(b"")

    async def _cookies(self, request: _Request) -> None:
        await request.answer(b"", *((b"set-cookie", cookie) for cookie in COOKIES))

    async def _work(self, request: _Request) -> None:
        await request.start(_TEXT)
        await request.write(b"working\n")
        await request.gone()
        await self._exchange(request).change(cancelled=True)

    async def _cancelled(self, request: _Request) -> None:
        exchange = self._exchange(request)
        try:
            async with asyncio.timeout(_CANCELLED_S):
                await exchange.until(lambda: exchange.cancelled)
        except TimeoutError:
            pass
        await request.answer_json({"cancelled": exchange.cancelled})


async def _converse(scope: Mapping[str, Any], receive: _Receive, send: _Send) -> None:
    await receive()
    if scope["path"] != "/chat":
        length = (b"content-length", b"%d" % len(REFUSAL))
        await send({"type": "websocket.http.response.start", "status": 403, "headers": [_TEXT, length]})
        await send({"type": "websocket.http.response.body", "body": REFUSAL, "more_body": False})
        return
    chosen = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None and text.startswith("close "):
            _, code, reason = text.split(" ", 2)
            await send({"type": "websocket.close", "code": int(code), "reason": reason})
            return
        await send({"type": "websocket.send"} | ({"bytes": message["bytes"]} if text is None else {"text": text}))


_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


def main() -> None:
    """Serve until standard input ends."""
    import uvicorn

    from tunnel.app.cli.demo_calls_app import serve_calls

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(SampleApplication(), lifespan="off", ws="auto", log_level="error", access_log=False)
    config.load()
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    host, port = listener.getsockname()
    calls_server, calls_address = serve_calls()
    write_error(f"listening address={host}:{port}")
    write_error(f"listening calls={calls_address}")
    uvicorn.Server(config).run(sockets=[listener])
    calls_server.stop(None)


def _end_with_standard_input() -> None:
    # Whoever started this process has ended, however suddenly: nobody is left to be told anything.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
