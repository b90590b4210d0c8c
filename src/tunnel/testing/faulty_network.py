"""The network between faulty links: which faults are in force, and the links that they strike."""

from __future__ import annotations

import math
from typing import Protocol, assert_never

from tunnel.ports.clock import Clock
from tunnel.testing.faults import Cut, Delay, Fault, FaultSchedule, HalfOpen, Heal, Reorder, Throttle

__all__ = ["FaultyNetwork", "Struck"]


class Struck(Protocol):
    """A link as faults see it."""

    def cut(self) -> None:
        """Break it."""

    def silence(self) -> None:
        """Make it half-open."""

    def reorder(self, *, armed: bool) -> None:
        """Swap the next two counted frames that arrive, or none."""


class FaultyNetwork:
    """Strikes the links that were made over it, by hand or by a schedule.

    Both ends of a link belong to one network, so that a fault meets both at the same moment. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self.links: list[Struck] = []
        """Ends of links that are in use, oldest first."""
        self.reachable = True
        """Whether links can be made."""
        self.delay_s = 0.0
        """How much later frames arrive, in seconds."""
        self.bytes_per_s = math.inf
        """How much arrives at most, at each end of each link."""

    def cut(self, *, unreachable: bool = False) -> None:
        """Break every link; with ``unreachable`` none can be made either, until ``heal``."""
        if unreachable:
            self.reachable = False
        for link in tuple(self.links):
            link.cut()

    def half_open(self) -> None:
        """Make every link half-open: what is sent vanishes, and nobody is told."""
        for link in tuple(self.links):
            link.silence()

    def delay(self, delay_s: float) -> None:
        """Let frames arrive ``delay_s`` seconds later, in order, until ``heal``.

        Raises:
            ValueError: That is negative or no number.
        """
        if not 0 <= delay_s < math.inf:
            raise ValueError(f"expected a number of seconds that is not negative, got {delay_s!r}")
        self.delay_s = delay_s

    def throttle(self, bytes_per_s: float) -> None:
        """Let no more than ``bytes_per_s`` arrive at each end of each link, until ``heal``.

        Raises:
            ValueError: That is not above zero.
        """
        if not bytes_per_s > 0:
            raise ValueError(f"expected a number of bytes per second above zero, got {bytes_per_s!r}")
        self.bytes_per_s = bytes_per_s

    def reorder(self) -> None:
        """Swap the next two counted frames that arrive at each end of each link there is."""
        for link in tuple(self.links):
            link.reorder(armed=True)

    def heal(self) -> None:
        """Stop delaying, throttling, reordering, and keeping links from being made. What was lost stays lost."""
        self.reachable = True
        self.delay_s, self.bytes_per_s = 0.0, math.inf
        for link in tuple(self.links):
            link.reorder(armed=False)

    def strike(self, fault: Fault) -> None:
        """Let one fault happen now.

        Raises:
            ValueError: A number in it makes no sense.
        """
        match fault:
            case Cut():
                self.cut(unreachable=fault.unreachable)
            case HalfOpen():
                self.half_open()
            case Delay():
                self.delay(fault.delay_s)
            case Throttle():
                self.throttle(fault.bytes_per_s)
            case Reorder():
                self.reorder()
            case Heal():
                self.heal()
            case _:
                assert_never(fault)

    async def play(self, schedule: FaultSchedule, clock: Clock) -> None:
        """Let the faults of ``schedule`` happen, each at its time; returns after the last.

        Cancelled, it leaves in force what has struck by then.
        """
        started_at = clock.now()
        for each in schedule.faults:
            left_s = started_at + each.at_s - clock.now()
            if left_s > 0:
                await clock.sleep(left_s)
            self.strike(each.fault)
