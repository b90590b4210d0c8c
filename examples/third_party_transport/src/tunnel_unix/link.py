"""Frames on a stream of bytes: four bytes of length, then MessagePack. A length of zero says that this is the end."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque

from tunnel.domain.envelopes import Frame
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.limits import MAX_FRAME_BYTES
from tunnel.domain.messagepack import decode_frame, encode_frame
from tunnel.ports.transport import Link

__all__ = ["UnixLink"]

LENGTH = struct.Struct(">I")
SLACK_BYTES = 64 * 1024
UNREAD_FRAMES = 2
CLOSE_S = 0.5


class UnixLink(Link):
    """A link over one connection, which belongs to it from now on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str = "") -> None:
        self._reader = reader
        self._writer = writer
        self._peer = PeerInfo("ux", path)
        self._frames: deque[Frame] = deque()
        self._own_end: LinkError | None = None
        self._peer_end: LinkError | None = None
        self._changed = asyncio.Event()
        # Callers may be cancelled anywhere, and touch the frames that were read only.
        self._reading = asyncio.create_task(self._read())

    @property
    def peer(self) -> PeerInfo:
        return self._peer

    async def send(self, frame: Frame) -> None:
        # First wait, then write all of it at once: cancelled while it waits, nothing of the frame was sent.
        with contextlib.suppress(OSError):
            await self._writer.drain()
        _raise(self._own_end or self._peer_end)
        if self._writer.is_closing():
            raise LinkError(LinkEnd.BROKEN, "the connection was lost")
        self.push(frame)

    @property
    def ready(self) -> bool:
        ended = self._own_end or self._peer_end or self._writer.is_closing()
        return not ended and not self._writer.transport.get_write_buffer_size()

    def push(self, frame: Frame) -> None:
        data = encode_frame(frame)
        self._writer.write(LENGTH.pack(len(data)) + data)

    async def receive(self) -> Frame:
        while True:
            _raise(self._own_end)
            if self._frames:
                self._changed.set()
                return self._frames.popleft()
            _raise(self._peer_end)
            await self._change()

    async def aclose(self) -> None:
        if self._own_end is None:
            self._own_end = LinkError(LinkEnd.CLOSED, "closed by this side")
            self._writer.write(LENGTH.pack(0))
            self._changed.set()
        self._writer.close()
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()

    def abort(self) -> None:
        self._own_end = self._own_end or LinkError(LinkEnd.CLOSED, "aborted by this side")
        self._changed.set()
        self._writer.transport.abort()

    async def _read(self) -> None:
        try:
            self._peer_end = await self._read_to_end()
        except (OSError, asyncio.IncompleteReadError) as exc:
            self._peer_end = LinkError(LinkEnd.BROKEN, f"the connection was lost: {exc}")
        self._changed.set()
        self._writer.transport.abort()

    async def _read_to_end(self) -> LinkError:
        while True:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if length == 0:
                return LinkError(LinkEnd.ENDED, "closed by the peer")
            if length > MAX_FRAME_BYTES + SLACK_BYTES:
                return LinkError(LinkEnd.VIOLATED, f"a frame of {length} bytes")
            frame = decode_frame(await self._reader.readexactly(length))
            while len(self._frames) >= UNREAD_FRAMES and self._own_end is None:
                await self._change()
            self._frames.append(frame)
            self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _raise(end: LinkError | None) -> None:
    if end is not None:
        raise LinkError(end.end, end.reason)
