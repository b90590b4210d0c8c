"""What can happen to a link, and when: values that schedules, and strategies that search them, are made of."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["Cut", "Delay", "Fault", "FaultSchedule", "HalfOpen", "Heal", "Reorder", "ScheduledFault", "Throttle"]


class _FaultStruct(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Written as a table whose ``type`` names the fault."""


class Cut(_FaultStruct, frozen=True):
    """Every link breaks, and both ends learn of it at once. Links that are made afterwards work.

    Args:
        unreachable: No link can be made either, until ``Heal``.
    """

    unreachable: bool = False


class HalfOpen(_FaultStruct, frozen=True):
    """From now on what either end sends over the links there are vanishes, closes included, and nobody is told.

    Links that are made afterwards work.
    """


class Delay(_FaultStruct, frozen=True):
    """Frames that arrive from now on are handed on later, in order, until ``Heal``.

    Args:
        delay_s: Seconds, each way.
    """

    delay_s: float


class Throttle(_FaultStruct, frozen=True):
    """From now on no more than so much arrives, until ``Heal``; who sends more than that has to wait.

    Args:
        bytes_per_s: Each way; above zero.
    """

    bytes_per_s: float


class Reorder(_FaultStruct, frozen=True):
    """Of the next two counted frames that arrive at an end of a link, the second is handed on first.

    No transport may do that, and a tunnel has to notice: it ends with ``protocol_error``.
    """


class Heal(_FaultStruct, frozen=True):
    """No more of any of it; what was lost stays lost."""


Fault: TypeAlias = Cut | HalfOpen | Delay | Throttle | Reorder | Heal
"""One of them."""


class ScheduledFault(msgspec.Struct, frozen=True):
    """A fault, and when it strikes.

    Args:
        at_s: Seconds from the start of the schedule.
        fault: What happens then.
    """

    at_s: float
    fault: Fault


class FaultSchedule(msgspec.Struct, frozen=True):
    """Faults in the order in which they strike; those of one moment in the order given.

    Args:
        faults: Sorted by ``at_s``.

    Raises:
        ValueError: They are not sorted, or the first is before the start.
    """

    faults: tuple[ScheduledFault, ...] = ()

    def __post_init__(self) -> None:
        at = [each.at_s for each in self.faults]
        if at != sorted(at) or (at and at[0] < 0):
            raise ValueError("expected faults sorted by at_s, none of them before 0")

    @property
    def lasts_s(self) -> float:
        """Seconds until the last of them."""
        return self.faults[-1].at_s if self.faults else 0.0
