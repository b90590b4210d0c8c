"""Links over a WebSocket that an ASGI server accepted, on any event loop anyio runs on.

Source: ASGI specification, WebSocket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

import anyio

from tunnel.domain.envelopes import Frame
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.limits import MAX_FRAME_BYTES
from tunnel.domain.messagepack import FrameError, decode_frame, encode_frame
from tunnel.ports.transport import Link

__all__ = ["AsgiLink"]

Message: TypeAlias = MutableMapping[str, Any]

_FLUSH_S: Final = 0.5
_CLOSE_S: Final = 0.3
"""How long the server may take for what was handed over and for our close: ``aclose`` returns within a second."""

_MAX_RECEIVED_MESSAGES: Final = 2

_MAX_MESSAGE_BYTES: Final = MAX_FRAME_BYTES + 16 * 1024
"""Above the largest frame, as on other transports. What the server itself admits is its own setting."""

_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
_ABNORMAL: Final = 1006
_UNSUPPORTED: Final = 1003
_INVALID: Final = 1007
_TOO_BIG: Final = 1009
_VIOLATIONS: Final = frozenset({1002, _UNSUPPORTED, _INVALID, 1008, _TOO_BIG})


class AsgiLink(Link):
    """A link that sends each frame as one binary message.

    One task reads and one writes, so that a caller that is cancelled is never cancelled amid a message. One message is
    with the server and one waits for that; two that were received wait to be taken. What the server buffers besides is
    its affair.

    Args:
        receive: The ASGI server's; the WebSocket has been accepted.
        send: The ASGI server's.
        peer: The far end.

    Source: RFC 6455 section 7.4.1 for close codes; docs/reference/protocol.md, ends of links.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        peer: PeerInfo,
    ) -> None:
        self._receive = receive
        self._send = send
        self._peer = peer
        self._own_end: tuple[LinkEnd, str] | None = None
        self._lost: tuple[LinkEnd, str] | None = None
        """How the peer, or the network, ended it: said once all that came before is taken."""
        self._came: deque[Message] = deque()
        self._waiting: bytes | None = None
        self._writing = False
        self._deaf = False
        """The server takes no more messages."""
        self._closed = False
        self._news = anyio.Event()
        self._aborted = anyio.Event()

    # -- its tasks

    async def run(self, serve: Callable[[Link], Awaitable[None]]) -> None:
        """Have ``serve`` serve this link, then leave the server with a WebSocket that is closed. Within a second."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read)
                tasks.start_soon(self._write)
                tasks.start_soon(self._close_aborted)
                try:
                    await serve(self)
                finally:
                    self.abort()
                    tasks.cancel_scope.cancel()
        finally:
            await self._close(_GOING_AWAY)

    async def _read(self) -> None:
        while self._lost is None:
            # A peer that is gone sends no more, and that it is gone comes last.
            while len(self._came) >= _MAX_RECEIVED_MESSAGES and not self._deaf:
                await self._changed()
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._closed = self._deaf = True
                self._lost = _end_by_peer(message.get("code") or _ABNORMAL)
            else:
                self._came.append(message)
            self._tell()

    async def _write(self) -> None:
        while True:
            while self._waiting is None:
                await self._changed()
            data, self._waiting, self._writing = self._waiting, None, True
            self._tell()
            try:
                await self._send({"type": "websocket.send", "bytes": data})
            except Exception:  # noqa: BLE001 - each server tells in its own way that the peer has left
                self._deaf = True
            self._writing = False
            self._tell()

    async def _close_aborted(self) -> None:
        await self._aborted.wait()
        await self._close(_GOING_AWAY)

    # -- Link

    @property
    def peer(self) -> PeerInfo:
        return self._peer

    async def send(self, frame: Frame) -> None:
        while self._own_end is None and self._lost is None and (self._waiting is not None or self._deaf):
            await self._changed()
        end = self._own_end or self._lost
        if end is not None:
            raise LinkError(*end)
        self._hand_over(frame)

    @property
    def ready(self) -> bool:
        return self._waiting is None and not self._writing and self._own_end is None and not self._deaf

    def push(self, frame: Frame) -> None:
        self._hand_over(frame)

    async def receive(self) -> Frame:
        while not self._came and self._lost is None and self._own_end is None:
            await self._changed()
        if self._own_end is not None:
            raise LinkError(*self._own_end)
        if not self._came:
            assert self._lost is not None
            raise LinkError(*self._lost)
        data = self._came.popleft().get("bytes")
        self._tell()
        if data is None:
            raise await self._violated(_UNSUPPORTED, "text message")
        if len(data) > _MAX_MESSAGE_BYTES:
            raise await self._violated(_TOO_BIG, "a message larger than a frame may be")
        try:
            return decode_frame(data)
        except FrameError as exc:
            raise await self._violated(_INVALID, f"not a frame: {exc.why}") from exc

    async def aclose(self) -> None:
        self._end_here(LinkEnd.CLOSED, "closed by this side")
        with anyio.move_on_after(_FLUSH_S):
            while (self._waiting is not None or self._writing) and not self._deaf:
                await self._changed()
        # Who was aborted before, or meanwhile, did not end in order, whichever task comes to say so first.
        await self._close(_GOING_AWAY if self._aborted.is_set() else _NORMAL)

    def abort(self) -> None:
        self._end_here(LinkEnd.CLOSED, "closed by this side")
        self._waiting = None
        self._aborted.set()

    # -- inside

    def _hand_over(self, frame: Frame) -> None:
        self._waiting = encode_frame(frame)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    async def _changed(self) -> None:
        await self._news.wait()

    def _end_here(self, end: LinkEnd, reason: str) -> None:
        if self._own_end is None:
            self._own_end = (end, reason)
        self._came.clear()  # so that its reader finds the peer's close
        self._tell()

    async def _violated(self, code: int, reason: str) -> LinkError:
        self._end_here(LinkEnd.VIOLATED, reason)
        await self._close(code)
        assert self._own_end is not None
        return LinkError(*self._own_end)

    async def _close(self, code: int) -> None:
        if self._closed:
            return
        self._closed = self._deaf = True
        with anyio.move_on_after(_CLOSE_S, shield=True):
            try:
                await self._send({"type": "websocket.close", "code": code, "reason": ""})
            except Exception:  # noqa: BLE001 - each server tells in its own way that the peer has left
                return


def _end_by_peer(code: int) -> tuple[LinkEnd, str]:
    if code == _NORMAL:
        return LinkEnd.ENDED, "closed by the peer"
    return LinkEnd.VIOLATED if code in _VIOLATIONS else LinkEnd.BROKEN, f"closed by the peer: {code}"
