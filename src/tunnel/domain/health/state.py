"""The health of one member as a table: what it is, what is learnt of it, what comes of that."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

__all__ = ["TRANSITIONS", "HealthInput", "HealthState"]


class HealthState(StrEnum):
    """The values are shown on status pages."""

    HEALTHY = "healthy"
    EJECTED = "ejected"
    """Left out for a time, and after that until somebody tries it."""
    PROBING = "probing"
    """Half-open: one session is trying it."""
    RETURNING = "returning"
    """Takes a share that grows with time."""


class HealthInput(IntEnum):
    SUCCESS = 0
    FAILURE = 1
    """One that does not eject: fewer in a row than it takes, or more than may be ejected."""
    EJECTION = 2
    """The failure that ejects: the last of as many in a row as it takes, or that of a probe."""
    PROBE = 3
    """A session is let through to try it."""
    NO_VERDICT = 4
    """The probe ended and told nothing: its visitor left, or the request was no good."""
    RETURNED = 5
    """The slow return is over."""


_S = HealthState
_I = HealthInput

TRANSITIONS: Final[dict[tuple[HealthState, HealthInput], HealthState]] = {
    (_S.HEALTHY, _I.SUCCESS): _S.HEALTHY,
    (_S.HEALTHY, _I.FAILURE): _S.HEALTHY,
    (_S.HEALTHY, _I.EJECTION): _S.EJECTED,
    # Sessions reach an ejected member while every other is ejected too.
    (_S.EJECTED, _I.SUCCESS): _S.RETURNING,
    (_S.EJECTED, _I.FAILURE): _S.EJECTED,
    (_S.EJECTED, _I.PROBE): _S.PROBING,
    (_S.PROBING, _I.SUCCESS): _S.RETURNING,
    (_S.PROBING, _I.EJECTION): _S.EJECTED,
    # The one before takes too long to tell.
    (_S.PROBING, _I.PROBE): _S.PROBING,
    (_S.PROBING, _I.NO_VERDICT): _S.EJECTED,
    (_S.RETURNING, _I.SUCCESS): _S.RETURNING,
    (_S.RETURNING, _I.FAILURE): _S.RETURNING,
    (_S.RETURNING, _I.EJECTION): _S.EJECTED,
    (_S.RETURNING, _I.RETURNED): _S.HEALTHY,
}
"""What is not listed cannot happen."""
