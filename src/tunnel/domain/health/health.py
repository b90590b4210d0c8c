"""What is known of one member's health: a client of a group, or a target of an upstream.

How a member is ejected and comes back:

1. ``after_failures`` failures in a row eject it, for ``base_s``, unless too many are ejected already. A success ends a
   row of failures.
2. When that time is over one session at a time is let through, the probe. Its failure ejects anew, twice as long, up to
   ``max_s``; its success starts the return. One that tells neither, or nothing for ``base_s``, makes room for the next.
3. For ``slow_return_s`` the member takes part with a share that grows from a tenth to the whole. Only when that is over
   are its ejections forgotten; ejected before, it is out for twice as long as last time.
4. A session speaks for the time it was begun in. What began before an ejection says nothing about the time after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from tunnel.domain.configuration.ejection import EjectionSettings
from tunnel.domain.health.state import TRANSITIONS, HealthInput, HealthState

__all__ = ["Health", "Permit"]

_HEALTHY, _EJECTED, _PROBING, _RETURNING = HealthState

_FIRST_SHARE: Final = 0.1
"""Of one that returns: a tenth shows soon whether it holds, and costs little when it does not."""

_MAX_DOUBLINGS: Final = 40
"""More than lead from the shortest ``base_s`` to the longest ``max_s``; keeps the power finite."""


@final
class Permit:
    """What a session was let through on, to be shown again when it is over. Compared by identity.

    All sessions of a member have the same one from one ejection to the next, but for probes: each has its own.
    """

    __slots__ = ()


@final
class Health:
    """The health of one member, outliving whatever connects it.

    Attributes are for reading. Sessions ask for a permit, and show it when they tell what became of them.
    """

    __slots__ = (
        "_ejections",
        "_failures",
        "_patience_s",
        "_probe",
        "_return_s",
        "_until",
        "ejection_s",
        "permit",
        "state",
        "troubled",
    )

    def __init__(self) -> None:
        self.state = _HEALTHY
        self.permit = Permit()
        """Of every session that is no probe."""
        self.troubled = False
        """Whether a success would change anything."""
        self.ejection_s = 0.0
        """Length of the last ejection."""
        self._failures = 0
        self._ejections = 0
        self._probe: Permit | None = None
        self._until = 0.0
        self._patience_s = 0.0
        self._return_s = 0.0

    @property
    def ejected(self) -> bool:
        """Whether it is ejected and has not shown yet that it is better."""
        return self.state is _EJECTED or self.state is _PROBING

    def share(self, now: float) -> float:
        """The part of its sessions it is to be considered for, 0 to 1; 1 for an ejected member that is to be probed."""
        if self.state is _HEALTHY:
            return 1.0
        if self.state is _RETURNING:
            left = max(0.0, self._until - now) / self._return_s
            return _FIRST_SHARE + (1.0 - _FIRST_SHARE) * (1.0 - left)
        return 1.0 if now >= self._until else 0.0

    def settle(self, now: float) -> bool:
        """Whether it is healthy, ending a slow return whose time is over."""
        if self.state is _RETURNING and now >= self._until:
            self._ejections = 0
            self._apply(HealthInput.RETURNED)
        return self.state is _HEALTHY

    def admit(self, now: float) -> Permit:
        """Let a session through; it is the probe if one is due.

        Whoever was given a permit of its own must tell how its session ended, whatever happened.
        """
        if not self.ejected or now < self._until:
            return self.permit
        self._probe = Permit()
        self._until = now + self._patience_s
        self._apply(HealthInput.PROBE)
        return self._probe

    def succeeded(self, permit: Permit, now: float) -> bool:
        """A session succeeded; whether that brought the member back."""
        if not self._counts(permit):
            return False
        self._failures = 0
        back = self.ejected
        self._apply(HealthInput.SUCCESS)
        if back:
            self._probe = None
            self._until = now + self._return_s
            if not self._return_s:
                self.settle(now)
        return back

    def failed(self, permit: Permit, now: float, *, settings: EjectionSettings, may_eject: Callable[[], bool]) -> bool:
        """A session failed; whether that ejected the member.

        Args:
            permit: Of that session.
            now: Seconds.
            settings: By which it may be ejected.
            may_eject: Asked before one is ejected that was not; whether there may be one more.
        """
        if not self._counts(permit):
            return False
        self._failures += 1
        if self.state is not _PROBING and not self._to_be_ejected(settings, may_eject):
            self._apply(HealthInput.FAILURE)
            return False
        self._eject(now, settings)
        return True

    def undecided(self, permit: Permit, now: float) -> None:
        """A session ended that speaks neither for nor against the member."""
        if permit is self._probe:
            self._probe = None
            self._until = now
            self._apply(HealthInput.NO_VERDICT)

    def _counts(self, permit: Permit) -> bool:
        return permit is self.permit or permit is self._probe

    def _to_be_ejected(self, settings: EjectionSettings, may_eject: Callable[[], bool]) -> bool:
        return self.state is not _EJECTED and 0 < settings.after_failures <= self._failures and may_eject()

    def _eject(self, now: float, settings: EjectionSettings) -> None:
        self.ejection_s = min(settings.max_s, settings.base_s * 2.0 ** min(self._ejections, _MAX_DOUBLINGS))
        self._ejections += 1
        self._probe = None
        self.permit = Permit()
        self._until = now + self.ejection_s
        self._patience_s = settings.base_s
        self._return_s = settings.slow_return_s
        self._apply(HealthInput.EJECTION)

    def _apply(self, event: HealthInput) -> None:
        self.state = TRANSITIONS[self.state, event]
        self.troubled = self.state is not _HEALTHY or self._failures > 0
