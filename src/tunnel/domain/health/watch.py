"""Who of several members may be chosen, as far as their health goes.

How candidates are filtered:

1. Usually all are healthy. That was found once for this very tuple, and holds until one is ejected.
2. Otherwise those that are not healthy are looked at, one by one: ejected ones are left out until a probe is due, a
   probing one until its probe has told, a returning one by chance, as its share says.
3. Returning members are not left to chance while nobody is healthy: the alternative is no better.
4. When that leaves nobody, all may be chosen: they may fail, and without them everything fails for certain (panic
   routing).
5. The tuple returned is the same one whenever the same members are in it, so that strategies may remember what they
   found out about it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final, Generic, Protocol, TypeVar

from tunnel.domain.configuration.ejection import EjectionSettings
from tunnel.domain.health.health import Health, Permit
from tunnel.domain.health.state import HealthState
from tunnel.domain.random_source import RandomSource

__all__ = ["HealthWatch", "Watched"]

_HEALTHY, _EJECTED, _PROBING, _RETURNING = HealthState

_MAX_SELECTIONS: Final = 64
"""Tuples remembered, for as many ways in which up to six members can be in or out."""


class Watched(Protocol):
    """What may be chosen and has a health."""

    @property
    @abstractmethod
    def health(self) -> Health:
        """Its own, one object for as long as it is known."""


C = TypeVar("C", bound=Watched)


class HealthWatch(Generic[C]):
    """Keeps an eye on the members of one group, or the targets of one upstream.

    All that is told of their health is told to the one watch they have; settings are the caller's, and may change
    between calls.
    """

    __slots__ = ("_examined", "_selections", "_unwell", "sound")

    def __init__(self) -> None:
        self.sound: tuple[C, ...] | None = None
        """Candidates that are all healthy, as long as nobody is ejected. Asking for this first saves the call."""
        self._examined: tuple[C, ...] | None = None
        self._unwell: tuple[int, ...] = ()
        self._selections: dict[int, tuple[C, ...]] = {}

    def eligible(self, candidates: tuple[C, ...], now: float, random: RandomSource) -> tuple[C, ...]:
        """Those of ``candidates`` that may be chosen now: at least one of them, in the same order.

        Args:
            candidates: At least one.
            now: Seconds.
            random: Decides about those that return.

        Returns:
            ``candidates`` itself when all may.
        """
        if candidates is self.sound:
            return candidates
        if candidates is not self._examined or any(candidates[each].health.settle(now) for each in self._unwell):
            self._examine(candidates, now)
        if not self._unwell:
            self.sound = candidates
            return candidates
        return self._selected(candidates, self._left_out(candidates, now, random))

    def succeeded(self, member: C, permit: Permit, now: float) -> bool:
        """A session of ``member`` succeeded; whether that brought it back."""
        return member.health.succeeded(permit, now)

    def failed(
        self, member: C, permit: Permit, now: float, *, settings: EjectionSettings, candidates: tuple[C, ...]
    ) -> bool:
        """A session of ``member`` failed; whether that ejected it.

        Args:
            member: Whose session.
            permit: What that session was let through on.
            now: Seconds.
            settings: By which it may be ejected.
            candidates: Who could be chosen if all were healthy; ``member`` need not be among them any more.
        """

        def may_eject() -> bool:
            others = [each for each in candidates if each is not member]
            ejected = sum(each.health.ejected for each in others)
            return (ejected + 1) * 100 <= settings.max_ejected_percent * (len(others) + 1)

        if not member.health.failed(permit, now, settings=settings, may_eject=may_eject):
            return False
        self.sound = self._examined = None
        return True

    def undecided(self, member: C, permit: Permit, now: float) -> None:
        """A session of ``member`` ended that speaks neither for nor against it."""
        member.health.undecided(permit, now)

    def _examine(self, candidates: tuple[C, ...], now: float) -> None:
        self._examined = candidates
        self._unwell = tuple(
            position for position, candidate in enumerate(candidates) if not candidate.health.settle(now)
        )
        self._selections.clear()

    def _left_out(self, candidates: tuple[C, ...], now: float, random: RandomSource) -> int:
        """Positions, as bits, of those that may not be chosen."""
        left_out = 0
        nobody_well = len(self._unwell) == len(candidates)
        for position in self._unwell:
            health = candidates[position].health
            share = health.share(now)
            if health.state is _RETURNING and nobody_well:
                continue
            if share < 1.0 and (not share or random.random() >= share):
                left_out |= 1 << position
        return left_out

    def _selected(self, candidates: tuple[C, ...], left_out: int) -> tuple[C, ...]:
        if not left_out:
            return candidates
        selection = self._selections.get(left_out)
        if selection is None:
            selection = tuple(each for position, each in enumerate(candidates) if not left_out >> position & 1)
            # Nobody at all is panic.
            selection = selection or candidates
            if len(self._selections) >= _MAX_SELECTIONS:
                self._selections.clear()
            self._selections[left_out] = selection
        return selection
