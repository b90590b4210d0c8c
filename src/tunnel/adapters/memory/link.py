"""Links that hand frames over inside one process."""

from __future__ import annotations

from collections import deque
from typing import Final

import anyio

from tunnel.domain.envelopes import Frame
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link

__all__ = ["MemoryLink", "MemoryPair"]

CAPACITY_FRAMES: Final = 2
"""Frames handed over and not yet received, per direction: what the ``Link`` port allows."""

_ROUNDING_S: Final = 1e-6
"""Event loops wake a little early; to sleep again for so little might end at the same moment."""

_REASONS: Final = {
    LinkEnd.CLOSED: "closed by this side",
    LinkEnd.ENDED: "closed by the peer",
    LinkEnd.BROKEN: "the connection was lost",
}


class _Lane:
    """One direction of a link: a short queue with a side that sends and a side that receives.

    Each side has an end of its own, because they learn of the same event as different things.
    """

    __slots__ = (
        "_readable",
        "_writable",
        "capacity_frames",
        "delay_s",
        "frames",
        "receiver_end",
        "sender_end",
        "silent",
        "stalled",
    )

    def __init__(self) -> None:
        self.frames: deque[tuple[float, Frame]] = deque()
        """Each with when it arrives, which only matters where there is a delay."""
        self.capacity_frames = CAPACITY_FRAMES
        self.delay_s = 0.0
        self.stalled = False
        self.sender_end: LinkEnd | None = None
        self.receiver_end: LinkEnd | None = None
        self.silent = False
        # Made only while somebody waits, because making an event costs more than handing over a frame.
        self._readable: anyio.Event | None = None
        self._writable: anyio.Event | None = None

    async def send(self, frame: Frame) -> None:
        while True:
            if self.sender_end is not None:
                raise _link_error(self.sender_end)
            if self.silent or len(self.frames) < self.capacity_frames:
                break
            if self._writable is None:
                self._writable = anyio.Event()
            await self._writable.wait()
        self.push(frame)

    @property
    def ready(self) -> bool:
        return self.sender_end is None and len(self.frames) < self.capacity_frames

    def push(self, frame: Frame) -> None:
        if not self.silent:
            self.frames.append((anyio.current_time() + self.delay_s if self.delay_s else 0.0, frame))
            self._wake_receiver()

    async def receive(self) -> Frame:
        while True:
            left_s = None
            if self.frames and not self.stalled:
                arrives, frame = self.frames[0]
                left_s = arrives - anyio.current_time() if arrives else 0.0
                if left_s <= _ROUNDING_S:
                    self.frames.popleft()
                    self._wake_sender()
                    return frame
            elif self.receiver_end is not None and not self.frames:
                raise _link_error(self.receiver_end)
            if self._readable is None:
                self._readable = anyio.Event()
            # Without a delay there is no timer.
            if left_s is None:
                await self._readable.wait()
            else:
                with anyio.move_on_after(left_s):
                    await self._readable.wait()

    def stall(self, *, stalled: bool) -> None:
        self.stalled = stalled
        self._wake_receiver()

    def close_sender(self, *, peer_sees: LinkEnd) -> None:
        self.sender_end = LinkEnd.CLOSED
        self._wake_sender()
        self._end_receiver(peer_sees)

    def close_receiver(self, *, peer_sees: LinkEnd) -> None:
        self.receiver_end = LinkEnd.CLOSED
        self.frames.clear()
        self._wake_receiver()
        if not self.silent:
            self._end_sender(peer_sees)

    def sever(self) -> None:
        self._end_sender(LinkEnd.BROKEN)
        self._end_receiver(LinkEnd.BROKEN, even_if_silent=True)

    def silence(self) -> None:
        self.silent = True
        self.frames.clear()
        self._wake_sender()

    def _end_sender(self, end: LinkEnd) -> None:
        self.sender_end = self.sender_end or end
        self._wake_sender()

    def _end_receiver(self, end: LinkEnd, *, even_if_silent: bool = False) -> None:
        if self.silent and not even_if_silent:
            return
        if self.receiver_end is not None:
            # An abort after an orderly close: what was handed over before is still delivered.
            return
        self.receiver_end = end
        if end is LinkEnd.BROKEN:
            self.frames.clear()
        self._wake_receiver()

    def _wake_sender(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def _wake_receiver(self) -> None:
        if self._readable is not None:
            self._readable.set()
            self._readable = None


def _link_error(end: LinkEnd) -> LinkError:
    return LinkError(end, _REASONS[end])


class MemoryLink(Link):
    """One side of a ``MemoryPair``. Frames pass as the objects they are; nothing is encoded or copied."""

    def __init__(self, peer: PeerInfo, *, outgoing: _Lane, incoming: _Lane) -> None:
        self._peer = peer
        self._outgoing = outgoing
        self._incoming = incoming

    @property
    def peer(self) -> PeerInfo:
        return self._peer

    async def send(self, frame: Frame) -> None:
        await self._outgoing.send(frame)

    @property
    def ready(self) -> bool:
        return self._outgoing.ready

    def push(self, frame: Frame) -> None:
        self._outgoing.push(frame)

    async def receive(self) -> Frame:
        return await self._incoming.receive()

    async def aclose(self) -> None:
        self._close(peer_sees=LinkEnd.ENDED)

    def abort(self) -> None:
        self._close(peer_sees=LinkEnd.BROKEN)

    def _close(self, *, peer_sees: LinkEnd) -> None:
        self._outgoing.close_sender(peer_sees=peer_sees)
        self._incoming.close_receiver(peer_sees=peer_sees)


class MemoryPair:
    """Both ends of one link, and the faults of the network between them.

    Args:
        name: The name the client dialled.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lanes = (_Lane(), _Lane())
        up, down = self._lanes
        self.client = MemoryLink(PeerInfo("memory", name), outgoing=up, incoming=down)
        self.server = MemoryLink(PeerInfo("memory"), outgoing=down, incoming=up)

    def sever(self) -> None:
        """Break the link: frames under way are lost, and both sides learn of it at once."""
        for lane in self._lanes:
            lane.sever()

    def slow_down(self, delay_s: float, *, capacity_frames: int) -> None:
        """Let frames sent from now on arrive ``delay_s`` seconds later, in order.

        Args:
            delay_s: Seconds, each way.
            capacity_frames: Frames that may be under way each way.
        """
        for lane in self._lanes:
            lane.delay_s = delay_s
            lane.capacity_frames = capacity_frames

    def stall(self, *, stalled: bool = True) -> None:
        """Deliver nothing until called with False; what is sent waits, as far as there is room."""
        for lane in self._lanes:
            lane.stall(stalled=stalled)

    def silence(self) -> None:
        """Make the link half-open: from now on frames and closes vanish, and neither side is told."""
        for lane in self._lanes:
            lane.silence()
