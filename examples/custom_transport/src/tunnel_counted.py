"""Links that count: `counted://HOST:PORT` is a WebSocket link, and a line on standard error when it is over."""

from __future__ import annotations

import sys

from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.domain.envelopes import Frame
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link, Transport


class CountedTransport(Transport):
    """Dials, and has what it dialled counted."""

    def __init__(self) -> None:
        self._inner = WebSocketTransport()

    async def connect(self, url: str, *, timeout_s: float) -> Link:
        link = await self._inner.connect(url.replace("counted://", "ws://", 1), timeout_s=timeout_s)
        return CountedLink(link)


class CountedLink(Link):
    """Another link, with what passes through it counted.

    All that a link promises (order, what a cancelled call leaves behind, how much it takes in) is promised by the one
    inside, since each call here is one call there.
    """

    def __init__(self, inner: Link) -> None:
        self._inner = inner
        self._sent_frames = 0
        self._received_frames = 0
        self._reported = False

    @property
    def peer(self) -> PeerInfo:
        return self._inner.peer

    async def send(self, frame: Frame) -> None:
        await self._inner.send(frame)
        self._sent_frames += 1

    @property
    def ready(self) -> bool:
        return self._inner.ready

    def push(self, frame: Frame) -> None:
        self._inner.push(frame)
        self._sent_frames += 1

    async def receive(self) -> Frame:
        frame = await self._inner.receive()
        self._received_frames += 1
        return frame

    async def aclose(self) -> None:
        self._report()
        await self._inner.aclose()

    def abort(self) -> None:
        self._report()
        self._inner.abort()

    def _report(self) -> None:
        # Both ways to close may be gone, and each of them more than once.
        if not self._reported:
            self._reported = True
            print(f"the link carried {self._sent_frames} frames up, {self._received_frames} down", file=sys.stderr)
