"""Whatever stands behind a target in a check, and does there as it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, TypeAlias, assert_never

from anyio import sleep_forever

from tunnel.ports.target import UpstreamTarget

__all__ = ["FLOOD_PIECE", "Behaviour", "Peer"]

FLOOD_PIECE: Final = b"f" * 16 * 1024
"""What a flood consists of."""

Read: TypeAlias = Callable[[], Awaitable[bytes | None]]
Write: TypeAlias = Callable[[bytes], Awaitable[None]]


class Behaviour(Enum):
    """What a peer does with each conversation."""

    ECHO = "echo"
    """Says what it hears, piece by piece, and ends after the end."""
    FLOOD = "flood"
    """Speaks without end, and hears nothing."""
    DEAF = "deaf"
    """Neither hears nor speaks."""
    CUT = "cut"
    """Says a little, and breaks off in the middle."""


class Peer:
    """One that is spoken to through a target.

    A harness gives it a target that leads to it, and calls ``converse`` for each conversation that arrives.

    Args:
        behaviour: What it does.
    """

    target: UpstreamTarget

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.open = 0
        """Conversations it is in now."""
        self.spoken_bytes = 0
        """What it got rid of in a flood."""
        self.ends = 0
        """Conversations whose end it heard, in good order."""

    async def converse(self, read: Read, write: Write) -> bool:
        """Hold a conversation; cancelled or broken off by an error when whoever spoke to it is gone.

        Args:
            read: The next piece; None when there are no more. Raises when the other side is gone.
            write: Says a piece; waits when the other side does not listen, and raises when it is gone.

        Returns:
            Whether to end in good order; else what was said is to be left cut off, as by a crash.
        """
        self.open += 1
        try:
            match self.behaviour:
                case Behaviour.ECHO:
                    while (piece := await read()) is not None:
                        await write(piece)
                    self.ends += 1
                    return True
                case Behaviour.FLOOD:
                    while True:
                        await write(FLOOD_PIECE)
                        self.spoken_bytes += len(FLOOD_PIECE)
                case Behaviour.DEAF:
                    await sleep_forever()
                    return True
                case Behaviour.CUT:
                    await write(b"what was not said to the e")
                    return False
                case _:
                    assert_never(self.behaviour)
        finally:
            self.open -= 1
