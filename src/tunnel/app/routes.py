"""Which way requests go now: rules and groups, replaced together while requests are under way."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from tunnel.app.claim_target import ClaimTarget
from tunnel.app.claims import Claims
from tunnel.app.group import Group
from tunnel.app.group_target import GroupTarget
from tunnel.app.ledger import Ledger
from tunnel.app.middlewares import Middlewares
from tunnel.app.tunnel import Tunnel
from tunnel.domain.balancing import STRATEGIES
from tunnel.domain.claims.claim import EVERY_CLAIM
from tunnel.domain.configuration import GroupSettings
from tunnel.domain.random_source import RandomSource
from tunnel.domain.registry import Registry
from tunnel.domain.rules.engine import RulesEngine
from tunnel.ports.clock import Clock
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["Routes"]


class Routes(ProxyTarget):
    """Hands each conversation to the rules and groups that hold when it begins, and that it keeps to its end.

    Groups that stay keep their waiting requests, their counts and, as long as it has the same name, their strategy.

    Args:
        rules: Compiled; each names a group.
        groups: By name.
        claims: Hosts that clients have claimed; tells of its first and its last by ``claims_changed``.
        middleware: What the rules send their conversations through; None for nothing.
        registry: Who is there.
        random: For strategies.
        ledger: Keeps account of conversations; told of clients that are ejected and return.
        clock: Time.
    """

    def __init__(
        self,
        rules: RulesEngine,
        groups: Mapping[str, GroupSettings],
        *,
        claims: Claims,
        registry: Registry[Tunnel],
        random: RandomSource,
        ledger: Ledger,
        clock: Clock,
        middleware: Middlewares | None = None,
    ) -> None:
        self._claims = claims
        self._registry = registry
        self._random = random
        self._ledger = ledger
        self._clock = clock
        self._settings: Mapping[str, GroupSettings] = {}
        self._groups: Mapping[str, Group] = {}
        self.follow(rules, groups, middleware)

    def handle(self, stream: Stream) -> Coroutine[Any, Any, None]:
        # Not a coroutine itself: another frame below every request would be in the way of each of its steps.
        return self._target.handle(stream)

    def follow(
        self, rules: RulesEngine, groups: Mapping[str, GroupSettings], middleware: Middlewares | None = None
    ) -> None:
        """Route by these from the next conversation on. Requests that wait for a group that is gone are told so."""
        kept, self._groups = self._groups, {name: self._group(name, settings) for name, settings in groups.items()}
        self._settings = groups
        self._by_rules = GroupTarget(rules, self._groups, self._ledger, middleware=middleware, clock=self._clock)
        self.claims_changed()
        for name, group in kept.items():
            if name not in groups:
                group.remove()

    def claims_changed(self) -> None:
        """There are claims now, or none any more."""
        self._target: ProxyTarget = self._by_rules
        if self._claims:
            self._target = ClaimTarget(self._by_rules, self._claims, self._ledger)

    def waiting(self) -> dict[str, int]:
        """Requests that wait for a client, by group; those of all claims together, while there are any."""
        waiting = {name: group.waiting for name, group in self._groups.items()}
        if self._claims:
            waiting[EVERY_CLAIM] = self._claims.waiting
        return waiting

    def group(self, name: str) -> Group | None:
        """The group of this name; None when there is none any more."""
        return self._groups.get(name)

    def arrived(self, group: str) -> None:
        """A client of ``group`` can be selected now. Without effect for a group that is gone."""
        found = self._groups.get(group) or self._claims.group(group)
        if found is not None:
            found.arrived()

    def _group(self, name: str, settings: GroupSettings) -> Group:
        before = self._settings.get(name)
        if before is None:
            return Group(
                name,
                settings,
                STRATEGIES[settings.balance](),
                self._registry,
                self._random,
                telemetry=self._ledger,
                clock=self._clock,
            )
        group = self._groups[name]
        group.follow(settings, None if settings.balance == before.balance else STRATEGIES[settings.balance]())
        return group
