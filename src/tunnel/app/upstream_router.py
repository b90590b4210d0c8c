"""The client's hop: which upstream answers a conversation, and which of its targets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from tunnel.app.guarded_target import GuardedTarget
from tunnel.app.middlewares import KindProvider, Middlewares
from tunnel.app.upstream import BalancedTarget, SharedTarget, Upstream
from tunnel.domain.call_head import as_request
from tunnel.domain.configuration import GroupSnapshot, TargetPolicy, UpstreamSettings
from tunnel.domain.envelopes import GrpcFrame, HttpRequest, Opening, TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.health import Health, HealthWatch
from tunnel.domain.random_source import RandomSource
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule
from tunnel.ports.clock import Clock
from tunnel.ports.target import ProxyTarget, Stream, UpstreamTarget
from tunnel.ports.telemetry import Telemetry

__all__ = ["TargetFactory", "UpstreamRouter"]

TargetFactory = Callable[[str, UpstreamSettings, TargetPolicy], UpstreamTarget]
"""Makes the target for a URL, an upstream's settings and what may be dialled."""

_CHOOSING: Final = frozenset({"targets", "balance", "weights", "hash_on", "ejection"})
"""Settings of an upstream that say which target is chosen, and nothing of how it is dialled."""


class UpstreamRouter(ProxyTarget):
    """Routes conversations to upstreams as one configuration snapshot says.

    Replacing another router, it goes on with the health that was known of each target, by upstream and URL, and where
    nothing changed in how a target is dialled also with the target itself: connections, conversations and all. Such a
    target is closed when neither router needs it; which of the two is closed first does not matter.

    Args:
        snapshot: Checked rules and upstreams.
        policy: What may be dialled. Targets are taken over only by a router with the same policy object.
        target_factory: Makes the targets.
        random: For balancing.
        telemetry: Told of targets that are ejected and return.
        clock: Time.
        kinds: Makes the middleware that rules name.
        start: Runs something in the background.
        previous: The router this one replaces, not closed yet; None for none.

    Raises:
        ConfigurationError: The snapshot names a target that the policy forbids, or middleware that cannot be made.
            Nothing was taken over then.
    """

    def __init__(
        self,
        snapshot: GroupSnapshot,
        policy: TargetPolicy,
        target_factory: TargetFactory,
        random: RandomSource,
        *,
        telemetry: Telemetry,
        clock: Clock,
        kinds: KindProvider,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        previous: UpstreamRouter | None = None,
    ) -> None:
        for settings in snapshot.upstreams.values():
            for url in settings.targets:
                policy.check(url)
        self._policy = policy
        self._target_factory = target_factory
        self._rules = RulesEngine(snapshot.rules)
        upstreams = {}
        for name, settings in snapshot.upstreams.items():
            before = None if previous is None else previous._upstreams.get(name)
            upstreams[name] = Upstream(
                name,
                settings,
                self._targets(settings, before, kept=previous is not None and previous._policy is policy),
                watch=HealthWatch() if before is None else before.watch,
                random=random,
                telemetry=telemetry,
                clock=clock,
            )
        self._upstreams: Mapping[str, Upstream] = upstreams
        self._middleware: Middlewares = Middlewares(
            snapshot.middleware,
            snapshot.rules,
            place="rules",
            kinds=kinds,
            start=start,
            previous=None if previous is None else previous._middleware,
        )
        self._ways = {id(rule): self._way(rule) for rule in snapshot.rules}
        self._closed = False
        # Nothing can fail from here on.
        self._held = [each.shared for upstream in upstreams.values() for each in upstream.targets]
        for shared in self._held:
            shared.hold()

    async def handle(self, stream: Stream) -> None:
        head = stream.head
        if type(head) is GrpcFrame:
            head = as_request(head)
        elif type(head) is not HttpRequest:
            await self._named(head).handle(stream)
            return
        rule = self._rules.match(head)
        if rule is None or rule.upstream is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        await self._ways[id(rule)].handle(stream)

    async def aclose(self) -> None:
        """Close every connection to every target that no other router holds; what runs is cut off. Idempotent.

        Raises:
            Exception: A target could not be closed; all others were.
        """
        held, self._held = self._held, []
        async with AsyncExitStack() as stack:
            for shared in held:
                stack.push_async_callback(shared.release)
            if not self._closed:
                self._closed = True
                stack.push_async_callback(self._middleware.aclose)

    def _way(self, rule: Rule) -> ProxyTarget:
        assert rule.upstream is not None
        upstream = self._upstreams[rule.upstream]
        chain = self._middleware.chain(rule)
        return upstream if chain is None else GuardedTarget(upstream, chain)

    def _named(self, head: Opening) -> Upstream:
        """The upstream that a TCP conversation asks for.

        Raises:
            SessionError: ``refused``: this configuration has none, and another client's may; or it is not one of TCP.
        """
        if not isinstance(head, TcpOpen):
            raise SessionError(ErrorCode.REFUSED, "this client serves HTTP and TCP only")
        upstream = self._upstreams.get(head.upstream)
        if upstream is None or not upstream.settings.tcp:
            detail = f"TCP upstream {head.upstream}"
            raise SessionError(ErrorCode.REFUSED, "this client has no such upstream", detail=detail)
        return upstream

    def _targets(
        self, settings: UpstreamSettings, before: Upstream | None, *, kept: bool
    ) -> tuple[BalancedTarget, ...]:
        known = {} if before is None else {each.name: each for each in before.targets}
        kept = kept and before is not None and _dialling(before.settings) == _dialling(settings)
        targets = []
        for url in settings.targets:
            same = known.get(url)
            if same is not None and kept:
                shared = same.shared
            else:
                shared = SharedTarget(self._target_factory(url, settings, self._policy))
            health = Health() if same is None else same.health
            targets.append(BalancedTarget(url, weight=settings.weights.get(url, 1), shared=shared, health=health))
        return tuple(targets)


def _dialling(settings: UpstreamSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__ if name not in _CHOOSING}
