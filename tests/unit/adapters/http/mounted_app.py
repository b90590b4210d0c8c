"""The ingress with a target that shows what it is given; run by the servers of test_mounted_servers.py."""

from __future__ import annotations

import json
import sys

import anyio

from tunnel.adapters.http.ingress_asgi import AsgiIngress
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, Trailers, WebSocketFrame
from tunnel.ports.target import ProxyTarget, Stream

MAX_HEADER_BYTES = 8192
MAX_MESSAGE_BYTES = 1024


class ShowingTarget(ProxyTarget):
    """Answers by path. Anything else is told what it was: an echo as JSON."""

    def __init__(self) -> None:
        self._waiting = self._left = 0

    async def handle(self, stream: Stream) -> None:
        assert isinstance(stream.head, HttpRequest)
        if stream.head.protocol == "websocket":
            await _converse(stream, stream.head)
            return
        match stream.head.path:
            case b"/streamed":
                await stream.send(HttpResponse(200))
                await stream.send(BodyChunk(b"one"))
                await stream.send(BodyChunk(b"two", end=True))
            case b"/cut":
                await stream.send(HttpResponse(200, (), b"part"))
            case b"/early":
                await stream.send(HttpResponse(200, (), b"early", end=True))
            case b"/trailers":
                await stream.send(HttpResponse(200, (b"trailer", b"x-sum")))
                await stream.send(BodyChunk(b"one"))
                await stream.send(Trailers((b"x-sum", b"1")))
            case b"/slow":
                await anyio.sleep(0.2)
                await stream.send(HttpResponse(200, (), b"slow", end=True))
            case b"/forever":
                self._waiting += 1
                try:
                    await anyio.sleep_forever()
                finally:
                    self._left += 1
            case b"/waiting" | b"/left" as path:
                count = self._left if path == b"/left" else self._waiting
                await stream.send(HttpResponse(200, (), b"%d" % count, end=True))
            case _:
                await self._echo(stream, stream.head)

    async def _echo(self, stream: Stream, head: HttpRequest) -> None:
        trailers: tuple[bytes, ...] = ()
        size, end = len(head.body), head.end
        while not end:
            payload = await stream.receive()
            end = payload.end
            if isinstance(payload, Trailers):
                trailers = payload.headers
            elif isinstance(payload, BodyChunk):
                size += len(payload.data)
        shown = {
            "path": head.path.decode(),
            "query": None if head.query is None else head.query.decode(),
            "host": head.host.decode(),
            "names": [name.decode() for name in head.headers[::2]],
            "size": size,
            "trailers": [part.decode() for part in trailers],
        }
        await stream.send(HttpResponse(200, (), json.dumps(shown).encode(), end=True))


async def _converse(stream: Stream, head: HttpRequest) -> None:
    """Echoes; whatever code a visitor closes with, the answer is 3999."""
    if head.path == b"/refused":
        await stream.send(HttpResponse(403, (b"x-reason", b"tea"), b"no", end=True))
        return
    await stream.send(HttpResponse(101, (b"sec-websocket-protocol", b"chat", b"x-one", b"1")))
    while not (frame := await stream.receive()).end:
        await stream.send(frame)
    await stream.send(WebSocketFrame(frame.opcode, (3999).to_bytes(2, "big")))


_SETTINGS = IngressSettings(max_header_bytes=MAX_HEADER_BYTES, max_message_bytes=MAX_MESSAGE_BYTES)

app = AsgiIngress(ShowingTarget(), settings=_SETTINGS)


async def listen(address: str) -> None:
    await UvicornIngress(address, settings=_SETTINGS).serve(ShowingTarget(), lambda: None)


if __name__ == "__main__":
    anyio.run(listen, sys.argv[1])
