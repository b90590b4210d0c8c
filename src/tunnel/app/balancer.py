"""Choosing by strategy and health, and learning from what became of the choice."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeAlias, TypeVar

from tunnel.domain.balancing import Candidate, HashKey, Strategy
from tunnel.domain.call_head import as_request
from tunnel.domain.configuration import GroupSettings, UpstreamSettings
from tunnel.domain.envelopes import GrpcFrame, Opening
from tunnel.domain.health import Health, HealthState, HealthWatch, Permit
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock

__all__ = ["Balanced", "Balancer"]

_HEALTHY = HealthState.HEALTHY

Settings: TypeAlias = GroupSettings | UpstreamSettings


class Balanced(Candidate, Protocol):
    """What is chosen, and ejected when it fails."""

    @property
    @abstractmethod
    def health(self) -> Health:
        """Its own."""


C = TypeVar("C", bound=Balanced)


class Balancer(Generic[C]):
    """Chooses among the clients of a group, or the targets of an upstream.

    Whoever is chosen is admitted, and when the conversation is over exactly one of ``succeeded``, ``failed`` and
    ``undecided`` is called with the permit; a further call for the same conversation does no harm.

    Args:
        settings: How to choose, and when to eject.
        strategy: Made for these settings.
        watch: Where health is kept, also by those who did this before.
        everybody: All that could be chosen now.
        random: For strategies, and for those that return.
        clock: Time.
        on_ejected: Called with who was ejected and for what failure.
        on_returned: Called with who answered again.
    """

    __slots__ = (
        "_clock",
        "_ejection",
        "_everybody",
        "_hash_key",
        "_on_ejected",
        "_on_returned",
        "_random",
        "_strategy",
        "_watch",
    )

    def __init__(
        self,
        settings: Settings,
        strategy: Strategy,
        watch: HealthWatch[C],
        *,
        everybody: Callable[[], tuple[C, ...]],
        random: RandomSource,
        clock: Clock,
        on_ejected: Callable[[C, str], None],
        on_returned: Callable[[C], None],
    ) -> None:
        self._watch = watch
        self._everybody = everybody
        self._random = random
        self._clock = clock
        self._on_ejected = on_ejected
        self._on_returned = on_returned
        self.follow(settings, strategy)

    def follow(self, settings: Settings, strategy: Strategy | None) -> None:
        """Go by other settings from now on; by the strategy of before if none is given."""
        self._ejection = settings.ejection
        self._hash_key = HashKey.parse(settings.hash_on) if settings.balance == "consistent_hash" else None
        if strategy is not None:
            self._strategy = strategy

    @property
    def statuses(self) -> tuple[int, ...]:
        """Statuses of answers that are failures."""
        return self._ejection.statuses

    def choose(self, candidates: tuple[C, ...], head: Opening) -> C:
        """One of ``candidates``, of which there is at least one, for the conversation that ``head`` opens."""
        if len(candidates) == 1:
            return candidates[0]
        if candidates is not self._watch.sound and self._ejection.after_failures:
            candidates = self._watch.eligible(candidates, self._clock.now(), self._random)
            if len(candidates) == 1:
                return candidates[0]
        if self._hash_key is None:
            return self._strategy.choose(candidates, self._random)
        request = as_request(head) if type(head) is GrpcFrame else head
        return self._strategy.choose(candidates, self._random, self._hash_key.of(request))

    def admit(self, chosen: C) -> Permit:
        """Let a conversation through to whoever was chosen for it; what it is let through on."""
        health = chosen.health
        return health.permit if health.state is _HEALTHY else health.admit(self._clock.now())

    def succeeded(self, chosen: C, permit: Permit, *, status: int) -> None:
        """The conversation ended in order, or one that is a probe was answered.

        Args:
            chosen: Who had it.
            permit: What it was let through on.
            status: Of its answer; 0 for none.
        """
        if status in self._ejection.statuses:
            self.failed(chosen, permit, f"status {status}")
        elif chosen.health.troubled and self._watch.succeeded(chosen, permit, self._clock.now()):
            self._on_returned(chosen)

    def failed(self, chosen: C, permit: Permit, reason: str) -> None:
        """The conversation failed, and that speaks against whoever had it.

        Args:
            chosen: Who had it.
            permit: What it was let through on.
            reason: The failure, in a word, for whoever watches.
        """
        now = self._clock.now()
        everybody = self._everybody()
        if self._watch.failed(chosen, permit, now, settings=self._ejection, candidates=everybody):
            self._on_ejected(chosen, reason)

    def undecided(self, chosen: C, permit: Permit) -> None:
        """The conversation is over and tells nothing of whoever had it."""
        if permit is not chosen.health.permit:
            self._watch.undecided(chosen, permit, self._clock.now())
