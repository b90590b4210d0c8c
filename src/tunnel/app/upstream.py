"""One upstream: equal targets, of which the healthy ones share the conversations."""

from __future__ import annotations

from functools import partial

from tunnel.app.balancer import Balancer
from tunnel.app.foreign_conversations import ForeignConversations
from tunnel.app.observed_stream import ObservedStream
from tunnel.domain.balancing import STRATEGIES
from tunnel.domain.configuration import UpstreamSettings
from tunnel.domain.errors import SessionError
from tunnel.domain.health import TARGET_FAILURES, Health, HealthWatch, Permit
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock
from tunnel.ports.target import ProxyTarget, Stream, UpstreamTarget
from tunnel.ports.telemetry import TargetEjected, TargetReturned, Telemetry

__all__ = ["BalancedTarget", "SharedTarget", "Upstream"]


class SharedTarget:
    """A target with its connections, and the conversations it has under way.

    It is closed when the last of those that hold it lets go, so that it can be handed from one configuration to the
    next while conversations of both run.

    Args:
        target: The target.
    """

    __slots__ = ("_holders", "in_flight", "target")

    def __init__(self, target: UpstreamTarget) -> None:
        self.target = target
        self.in_flight = 0
        self._holders = 0

    def hold(self) -> None:
        """Keep it open until ``release``."""
        self._holders += 1

    async def release(self) -> None:
        """Let go; closes every connection if nobody else holds it."""
        self._holders -= 1
        if not self._holders:
            await self.target.aclose()


class BalancedTarget:
    """A target as one configuration sees it.

    Args:
        name: Its URL.
        weight: As configured.
        shared: The target itself.
        health: What is known of it, also from before.
    """

    __slots__ = ("health", "name", "shared", "weight")

    def __init__(self, name: str, *, weight: int, shared: SharedTarget, health: Health) -> None:
        self.name = name
        self.weight = weight
        self.shared = shared
        self.health = health

    @property
    def in_flight(self) -> int:
        """Conversations under way, in every configuration."""
        return self.shared.in_flight


class Upstream(ProxyTarget):
    """Gives each conversation to one of the targets.

    Args:
        name: As configured.
        settings: As configured.
        targets: In the order configured.
        watch: Where their health is kept, also by an upstream that this replaces.
        random: For balancing.
        telemetry: Told of targets that are ejected and return, and of conversations that none of them answers.
        clock: Time.
    """

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        targets: tuple[BalancedTarget, ...],
        *,
        watch: HealthWatch[BalancedTarget],
        random: RandomSource,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self.name = name
        self.settings = settings
        self.targets = targets
        self.watch = watch
        self.protocols = settings.protocols
        """What the targets answer. Nothing else is to be handed to ``handle``; its refusal is in ``foreign``."""
        self.foreign = ForeignConversations(name, self.protocols, telemetry=telemetry, clock=clock)
        self._telemetry = telemetry
        self._balancer: Balancer[BalancedTarget] = Balancer(
            settings,
            STRATEGIES[settings.balance](),
            watch,
            everybody=lambda: targets,
            random=random,
            clock=clock,
            on_ejected=self._on_ejected,
            on_returned=self._on_returned,
        )

    async def handle(self, stream: Stream) -> None:
        balancer = self._balancer
        chosen = balancer.choose(self.targets, stream.head)
        permit = balancer.admit(chosen)
        observed: ObservedStream | None = None
        if permit is not chosen.health.permit:
            stream = observed = ObservedStream(stream, partial(self._probe_answered, chosen, permit))
        elif balancer.statuses:
            stream = observed = ObservedStream(stream)
        shared = chosen.shared
        shared.in_flight += 1
        try:
            await shared.target.handle(stream)
        except SessionError as exc:
            if exc.code in TARGET_FAILURES:
                balancer.failed(chosen, permit, exc.code.value)
            else:
                balancer.undecided(chosen, permit)
            raise
        except BaseException:
            balancer.undecided(chosen, permit)
            raise
        else:
            balancer.succeeded(chosen, permit, status=0 if observed is None else observed.status)
        finally:
            shared.in_flight -= 1

    def _probe_answered(self, chosen: BalancedTarget, permit: Permit, status: int) -> None:
        self._balancer.succeeded(chosen, permit, status=status)

    def _on_ejected(self, chosen: BalancedTarget, reason: str) -> None:
        self._telemetry.record(TargetEjected(self.name, chosen.name, reason, chosen.health.ejection_s))

    def _on_returned(self, chosen: BalancedTarget) -> None:
        self._telemetry.record(TargetReturned(self.name, chosen.name))
