"""A link that its network mistreats, around any other."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel

from tunnel.domain.envelopes import Frame
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.messagepack import encode_frame
from tunnel.ports.transport import Link
from tunnel.testing.faulty_network import FaultyNetwork

__all__ = ["FaultyLink"]

UNDER_WAY_FRAMES: Final = 16
"""Frames that are taken from the link below before their time has come; beyond that its sender waits."""

QUEUED_FRAMES: Final = 2
"""The same where there is no delay, and frames wait for those ahead of them only."""

REORDER_S: Final = 0.05
"""How long a frame is held for another to overtake it. Without a limit the last frame of a conversation, which nothing
follows, would be lost, and that is another fault."""

_ROUNDING_S: Final = 1e-6
"""Event loops wake a little early; to sleep again for so little might end at the same moment."""


class FaultyLink(Link):
    """One end of a link, struck by the faults of its network.

    It mistreats what it *receives*: wrap both ends, as ``FaultyTransport`` and ``FaultyListener`` do, and both
    directions are. Then a link that is half-open stays so for the other end when this one gives up; with one end
    wrapped the other is told then.

    Without faults it keeps whatever the link below keeps. While frames are delayed or throttled it takes up to 16 of
    them out of the link below before their time, so as many more are under way than the port allows. The link below
    has to survive cancelled calls, as all shipped ones do.

    Args:
        link: The link below; from now on only used by this one.
        network: Whose faults strike it.
    """

    def __init__(self, link: Link, network: FaultyNetwork) -> None:
        self._link = link
        self._network = network
        self._arrived: deque[tuple[float, Frame]] = deque()
        """Taken from the link below, each with when its time comes."""
        self._held: tuple[float, Frame] | None = None
        """The frame that another is to overtake, and until when."""
        self._line_free_at = -math.inf
        self._swapping = False
        self._silent = False
        self._end: LinkError | None = None
        """How this end learned that it is over, by itself or by a fault."""
        self._end_below: LinkError | None = None
        self._over = anyio.Event()
        network.links.append(self)

    @property
    def peer(self) -> PeerInfo:
        return self._link.peer

    # -- faults

    def cut(self) -> None:
        """Break it, for this end."""
        self._conclude(LinkEnd.BROKEN, "the connection was cut")
        self._link.abort()

    def silence(self) -> None:
        """Make it half-open: what is sent from here vanishes, and what comes is dropped."""
        self._silent = True
        self._arrived.clear()
        self._held = None

    def reorder(self, *, armed: bool) -> None:
        """Swap the next two counted frames that arrive, or none."""
        self._swapping = armed

    # -- the port

    async def send(self, frame: Frame) -> None:
        self._check()
        if self._silent:
            await anyio.lowlevel.checkpoint()
            return
        try:
            await self._link.send(frame)
        except LinkError as exc:
            self._check()
            if not self._silent:
                raise LinkError(exc.end, exc.reason) from exc

    @property
    def ready(self) -> bool:
        if self._end is not None:
            return False
        return self._silent or self._link.ready

    def push(self, frame: Frame) -> None:
        if not self._silent:
            self._link.push(frame)

    async def gather(self, waiting: Callable[[], float]) -> None:
        await self._link.gather(waiting)

    async def receive(self) -> Frame:
        while True:
            self._check()
            frame = self._next(anyio.current_time())
            if frame is not None:
                return frame
            if self._end_below is not None and not self._silent and not self._arrived and self._held is None:
                raise LinkError(self._end_below.end, self._end_below.reason) from self._end_below
            with anyio.CancelScope(deadline=self._next_time()):
                await self._take()

    async def aclose(self) -> None:
        self._conclude(LinkEnd.CLOSED, "closed by this side")
        if self._silent:
            self._link.abort()
        else:
            await self._link.aclose()

    def abort(self) -> None:
        self._conclude(LinkEnd.CLOSED, "closed by this side")
        self._link.abort()

    # -- inside

    def _check(self) -> None:
        if self._end is not None:
            raise LinkError(self._end.end, self._end.reason)

    def _conclude(self, end: LinkEnd, reason: str) -> None:
        if self._end is None:
            self._end = LinkError(end, reason)
            self._network.links.remove(self)
        self._arrived.clear()
        self._held = None
        self._over.set()

    async def _take(self) -> None:
        """Wait for a frame from the link below, where there is room for it, or for the end of this one."""
        room_frames = UNDER_WAY_FRAMES if self._network.delay_s else QUEUED_FRAMES
        if self._end_below is not None or len(self._arrived) >= room_frames:
            await self._over.wait()
            return
        try:
            frame = await self._link.receive()
        except LinkError as exc:
            self._end_below = exc
            return
        if not self._silent and self._end is None:
            self._arrived.append((self._arrives_at(frame), frame))

    def _arrives_at(self, frame: Frame) -> float:
        """When the time of a frame comes: when all of it is through, and never before the one ahead of it."""
        network = self._network
        if not network.delay_s and network.bytes_per_s == math.inf and not self._arrived:
            return -math.inf
        self._line_free_at = max(self._line_free_at, anyio.current_time())
        if network.bytes_per_s < math.inf:
            self._line_free_at += len(encode_frame(frame)) / network.bytes_per_s
        arrives_at = self._line_free_at + network.delay_s
        return max(arrives_at, self._arrived[-1][0]) if self._arrived else arrives_at

    def _next(self, now: float) -> Frame | None:
        """The frame to hand on now.

        While two frames are to be swapped, the first counted one is held. The second goes ahead of it, and is all that
        was wanted. When none comes in time, or none can come any more, the first goes on its way, and the next one is
        held in its place.
        """
        while self._arrived and self._arrived[0][0] <= now + _ROUNDING_S:
            _, frame = self._arrived.popleft()
            if not frame.seq or not (self._swapping or self._held):
                return frame
            if self._held is None:
                self._held = (now + REORDER_S, frame)
                continue
            held, self._held, self._swapping = self._held[1], None, False
            self._arrived.appendleft((-math.inf, held))
            return frame
        if self._held is not None:
            until, frame = self._held
            over = self._end_below is not None and not self._arrived
            if over or until <= now + _ROUNDING_S:
                self._held = None
                return frame
        return None

    def _next_time(self) -> float:
        """When there will be something to hand on, if nothing comes before that."""
        times = [self._arrived[0][0]] if self._arrived else []
        if self._held is not None:
            times.append(self._held[0])
        return min(times, default=math.inf)
