"""A link that cannot take any more."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.ports.transport import Link
from tunnel.testing.transport.frames import chunk_frame

__all__ = ["Clogged"]


@dataclass
class Clogged:
    """A pair whose ``sender`` is blocked because ``receiver`` does not read.

    A pump keeps sending frames numbered by ``seq`` from 1 until ``enough`` is set; ``handed_over`` counts the sends
    that returned, ``end`` is what stopped it otherwise.

    Args:
        sender: The end that sends.
        receiver: The end that does not read.
        frame_bytes: Size of each frame, in bytes.
        bound_bytes: What the transport may take at most; the pump does not go on far beyond it.
    """

    sender: Link
    receiver: Link
    frame_bytes: int
    bound_bytes: int
    handed_over: int = 0
    enough: bool = False
    end: LinkEnd | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    stopped: anyio.Event = field(default_factory=anyio.Event)

    async def pump(self) -> None:
        """Send until it is enough, the link ends, or more was taken than a link may."""
        try:
            with self.scope:
                while not self.enough:
                    await self.sender.send(chunk_frame(self.handed_over + 1, self.frame_bytes))
                    self.handed_over += 1
                    assert self.unread_bytes <= self.bound_bytes, (
                        f"took {self.unread_bytes} bytes that nobody reads, {self.bound_bytes} at most were expected"
                    )
        except LinkError as exc:
            self.end = exc.end
        finally:
            self.stopped.set()

    @property
    def unread_bytes(self) -> int:
        """Bytes handed over, as long as the receiver reads nothing; 0 from then on."""
        return 0 if self.reading else self.handed_over * self.frame_bytes

    reading: bool = False
    """Set by a test that starts to read."""
