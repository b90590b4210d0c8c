"""The client's hop: which upstream answers a conversation, and which of its targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunnel.domain.balancing import STRATEGIES
from tunnel.domain.configuration import GroupSnapshot, TargetPolicy, UpstreamSettings
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.random_source import RandomSource
from tunnel.domain.rules.engine import RulesEngine
from tunnel.ports.target import ProxyTarget, Stream, UpstreamTarget

__all__ = ["TargetFactory", "UpstreamRouter"]

TargetFactory = Callable[[str, UpstreamSettings, TargetPolicy], UpstreamTarget]
"""Makes the target for a URL, an upstream's settings and what may be dialled."""


class _CountedTarget:
    """One target of an upstream, with the conversations it has under way."""

    __slots__ = ("in_flight", "target")

    def __init__(self, target: UpstreamTarget) -> None:
        self.target = target
        self.in_flight = 0


class _Upstream(ProxyTarget):
    def __init__(self, settings: UpstreamSettings, targets: list[UpstreamTarget], random: RandomSource) -> None:
        self._targets = tuple(_CountedTarget(target) for target in targets)
        self._strategy = STRATEGIES[settings.balance]()
        self._random = random

    async def handle(self, stream: Stream) -> None:
        targets = self._targets
        chosen = targets[0] if len(targets) == 1 else self._strategy.choose(targets, self._random)
        chosen.in_flight += 1
        try:
            await chosen.target.handle(stream)
        finally:
            chosen.in_flight -= 1

    async def aclose(self) -> None:
        for each in self._targets:
            await each.target.aclose()


class UpstreamRouter(ProxyTarget):
    """Routes conversations to upstreams as one configuration snapshot says.

    Args:
        snapshot: Checked rules and upstreams.
        policy: What may be dialled.
        target_factory: Makes the targets.
        random: For balancing.

    Raises:
        ConfigurationError: The snapshot names a target that the policy forbids.
    """

    def __init__(
        self, snapshot: GroupSnapshot, policy: TargetPolicy, target_factory: TargetFactory, random: RandomSource
    ) -> None:
        for settings in snapshot.upstreams.values():
            for url in settings.targets:
                policy.check(url)
        self._rules = RulesEngine(snapshot.rules)
        self._upstreams: Mapping[str, _Upstream] = {
            name: _Upstream(settings, [target_factory(url, settings, policy) for url in settings.targets], random)
            for name, settings in snapshot.upstreams.items()
        }

    async def handle(self, stream: Stream) -> None:
        head = stream.head
        if not isinstance(head, HttpRequest):
            raise SessionError(ErrorCode.REFUSED, "this client serves HTTP only")
        rule = self._rules.match(head)
        if rule is None or rule.upstream is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        await self._upstreams[rule.upstream].handle(stream)

    async def aclose(self) -> None:
        """Close every connection to every target; what runs is cut off."""
        for upstream in self._upstreams.values():
            await upstream.aclose()
