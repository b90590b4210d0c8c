"""A link over one gRPC stream, the same on both sides.

Cancelling a read or a write of grpc.aio cancels the whole call, and on a server makes later reads look like a clean
end. So the stream is touched by two tasks of the link's own and by nobody else; callers, who may be cancelled at any
time, touch the queues between.

How a link ends, by whoever is first:

1. The reader comes upon the end of the stream. ``send`` raises it; ``receive`` first gives out what came before. What
   was handed over is still written, should the peer have closed its half only.
2. The writer fails. ``send`` raises; the reader goes on to what the peer sent before and finds the same end there.
3. ``aclose``: nothing more is taken or given out; the writer delivers what it has and half-closes; the reader reads on,
   into the void, until the peer has closed its half too. After ``_CLOSE_S`` the call is dropped.
4. ``abort``: the call is dropped.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from tunnel.adapters.grpc.codec import decode_frame, encode_frame
from tunnel.adapters.grpc.gathering import ENOUGH_ENVELOPES, Gathering
from tunnel.adapters.grpc.handover import Handover
from tunnel.domain.envelopes import Frame
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.limits import MAX_FRAME_BYTES
from tunnel.ports.transport import Link

__all__ = ["GrpcLink", "GrpcStream"]

_SLACK_BYTES: Final = 64 * 1024
"""Receivers stay above the protocol's limit, so that an encoder which counts otherwise does not end the link."""

_SENT_FRAMES: Final = 1
"""Frames in the queue to the writer, which holds one more: two in all are taken in and not yet with gRPC."""

_RECEIVED_FRAMES: Final = 2
"""Frames in the queue from the reader, which reads one ahead and so may come upon the end behind them."""

_LARGE_BYTES: Final = 32 * 1024
"""Bytes for each envelope of a frame, from which on none is made to wait for it: the next is at hand when gRPC has
taken it. What a message costs by itself is little beside such chunks, and nobody else had anything to say."""

_CLOSE_S: Final = 0.8
_DROP_S: Final = 0.15
"""Both together stay below the second that ``Link.aclose`` may take."""


class GrpcStream(Protocol):
    """One side of a gRPC stream of messages. One task reads, one writes; neither is ever cancelled within."""

    @abstractmethod
    async def read(self) -> bytes:
        """The next message.

        Raises:
            LinkError: The stream ended; ``LinkEnd.ENDED`` if the peer closed it in order.
        """

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Hand a message to gRPC; waits while flow control holds it back.

        Raises:
            LinkError: The stream ended.
        """

    @abstractmethod
    async def finish(self) -> None:
        """Close this side's half after what was written. Never raises ``LinkError``: the reader learns of an end."""

    @abstractmethod
    def drop(self, why: LinkError) -> None:
        """End the stream at once, both ways. Idempotent."""

    @abstractmethod
    async def release(self) -> None:
        """Give back what the stream holds, once it has ended. Does not wait for the peer."""


class GrpcLink(Link):
    """A link over ``stream``; running as soon as it is made, within a running event loop.

    Args:
        stream: Belongs to the link from now on.
        peer: The far end.
    """

    def __init__(self, stream: GrpcStream, peer: PeerInfo) -> None:
        self._stream = stream
        self._peer = peer
        self._gathering = Gathering()
        self._sparse = False
        """Whether the frame before had little to say, and the next had better wait for company."""
        self._inbound: Handover[Frame] = Handover(_RECEIVED_FRAMES)
        self._outbound: Handover[bytes] = Handover(_SENT_FRAMES)
        self._reader = asyncio.create_task(self._read(), name="tunnel grpc link reader")
        self._writer = asyncio.create_task(self._write(), name="tunnel grpc link writer")

    @property
    def peer(self) -> PeerInfo:
        return self._peer

    async def send(self, frame: Frame) -> None:
        data = self._encode(frame)
        large = len(data) >= _LARGE_BYTES * len(frame.envelopes)
        self._sparse = not large and len(frame.envelopes) <= ENOUGH_ENVELOPES
        if not large:
            # Returns when gRPC has taken it: what becomes ready meanwhile makes one frame instead of several, and
            # messages are what gRPC is slow at.
            await self._outbound.deliver(data)
        else:
            await self._outbound.put(data)

    @property
    def ready(self) -> bool:
        return self._outbound.idle

    def push(self, frame: Frame) -> None:
        self._outbound.offer(self._encode(frame))

    def _encode(self, frame: Frame) -> bytes:
        data = encode_frame(frame)
        if len(data) > MAX_FRAME_BYTES + _SLACK_BYTES:
            self._drop(LinkError(LinkEnd.VIOLATED, f"a frame of {len(data)} bytes was to be sent"))
        return data

    async def gather(self, waiting: Callable[[], float]) -> None:
        if self._sparse:
            await self._gathering.wait(waiting)

    async def receive(self) -> Frame:
        return await self._inbound.get()

    async def aclose(self) -> None:
        end = LinkError(LinkEnd.CLOSED, "closed by this side")
        self._inbound.close(end, discard=True)
        self._outbound.close(end)
        try:
            _, running = await asyncio.wait((self._reader, self._writer), timeout=_CLOSE_S)
            if running:
                self.abort()
                await asyncio.wait(running, timeout=_DROP_S)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        why = LinkError(LinkEnd.CLOSED, "aborted by this side")
        if self._reader.done() and self._writer.done():
            # The stream has ended by itself; what it brought is not given out any more either.
            self._inbound.close(why, discard=True)
        else:
            self._drop(why)

    def _drop(self, why: LinkError) -> None:
        self._inbound.close(why, discard=True)
        self._outbound.close(why, discard=True)
        self._stream.drop(why)

    async def _read(self) -> None:
        try:
            await self._read_to_end()
        except BaseException:
            # The event loop's shutdown cancels every task; whatever else comes here is a bug, and must not leave the
            # link hanging.
            self._drop(LinkError(LinkEnd.BROKEN, "the link's reader was stopped"))
            raise
        finally:
            await self._stream.release()

    async def _read_to_end(self) -> None:
        while True:
            try:
                data = await self._stream.read()
            except LinkError as end:
                self._inbound.close(end)
                self._outbound.close(end)
                return
            if self._inbound.closed:
                continue  # closing: wait for the peer to close too
            try:
                frame = _decode(data)
            except LinkError as violation:
                self._inbound.close(violation)
                self._outbound.close(violation, discard=True)
                self._stream.drop(violation)
                return
            try:
                await self._inbound.put(frame)
            except LinkError:
                continue  # closed while there was no room

    async def _write(self) -> None:
        try:
            while True:
                await self._stream.write(await self._outbound.get())
        except LinkError as end:
            self._outbound.close(end, discard=True)
            await self._stream.finish()


def _decode(data: bytes) -> Frame:
    if len(data) > MAX_FRAME_BYTES + _SLACK_BYTES:
        raise LinkError(LinkEnd.VIOLATED, f"a frame of {len(data)} bytes was received")
    return decode_frame(data)
