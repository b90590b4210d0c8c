"""What may be done to a pair of links, in any order: programs drawn by Hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from hypothesis import strategies
from hypothesis.strategies import SearchStrategy

__all__ = ["Action", "Side", "Step", "programs"]

MAX_STEPS: Final = 24


class Side(Enum):
    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> Side:
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class Action(Enum):
    SEND = "send"
    CANCEL_SEND = "cancel_send"
    """Cancelled some turns of the event loop after it began, if it still runs."""
    RECEIVE = "receive"
    CANCEL_RECEIVE = "cancel_receive"
    CLOSE = "close"
    ABORT = "abort"
    SEVER = "sever"


_SIZES_BYTES: Final = (8, 1_000, 70_000, 200_000)


@dataclass(frozen=True)
class Step:
    """One thing done by one side.

    Args:
        action: What.
        side: Which side does it; of no meaning for ``SEVER``.
        size_bytes: Size of the frame sent.
        turns: Turns of the event loop until a call is cancelled.
    """

    action: Action
    side: Side
    size_bytes: int = 8
    turns: int = 0

    def __repr__(self) -> str:
        match self.action:
            case Action.SEVER:
                return "sever"
            case Action.SEND:
                return f"{self.side.value}.send({self.size_bytes})"
            case Action.CANCEL_SEND:
                return f"{self.side.value}.cancel_send({self.size_bytes}, after={self.turns})"
            case Action.CANCEL_RECEIVE:
                return f"{self.side.value}.cancel_receive(after={self.turns})"
            case _:
                return f"{self.side.value}.{self.action.value}"


def programs() -> SearchStrategy[list[Step]]:
    """Lists of steps, of which few end the link, so that there is something to end."""
    sides = strategies.sampled_from(Side)
    moving = strategies.builds(
        Step,
        strategies.sampled_from([Action.SEND, Action.RECEIVE, Action.CANCEL_SEND, Action.CANCEL_RECEIVE]),
        sides,
        size_bytes=strategies.sampled_from(_SIZES_BYTES),
        turns=strategies.integers(0, 4),
    )
    ending = strategies.builds(Step, strategies.sampled_from([Action.CLOSE, Action.ABORT, Action.SEVER]), sides)
    endings = strategies.lists(ending, max_size=3)
    return strategies.tuples(
        strategies.lists(moving, max_size=MAX_STEPS), endings, strategies.lists(moving, max_size=4)
    ).map(lambda parts: [*parts[0], *parts[1], *parts[2]])
