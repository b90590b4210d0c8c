"""The client's hop: which upstream answers a conversation, and which of its targets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from tunnel.app.guarded_target import GuardedTarget
from tunnel.app.middlewares import KindProvider, Middlewares
from tunnel.app.upstream import Upstream
from tunnel.app.upstreams import TargetFactory, Upstreams
from tunnel.domain.call_head import as_request
from tunnel.domain.configuration import GroupSnapshot, TargetPolicy
from tunnel.domain.envelopes import GrpcFrame, HttpRequest, Opening, TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.random_source import RandomSource
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule
from tunnel.ports.clock import Clock
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.telemetry import Telemetry

__all__ = ["UpstreamRouter"]


class UpstreamRouter(ProxyTarget):
    """Routes conversations to upstreams as one configuration snapshot says.

    Args:
        snapshot: Checked rules and upstreams.
        policy: What may be dialled; as of ``Upstreams``, like all that follow.
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
        self._rules = RulesEngine(snapshot.rules)
        self._middleware: Middlewares = Middlewares(
            snapshot.middleware,
            snapshot.rules,
            place="rules",
            kinds=kinds,
            start=start,
            previous=None if previous is None else previous._middleware,
        )
        try:
            self._pool: Upstreams = Upstreams(
                snapshot.upstreams,
                policy,
                target_factory,
                random,
                telemetry=telemetry,
                clock=clock,
                start=start,
                previous=None if previous is None else previous._pool,
            )
        except BaseException:
            self._middleware.release()
            raise
        self._upstreams = self._pool.by_name
        ways = [(rule, self._way(rule)) for rule in snapshot.rules]
        # A rule without ``protocol`` matches all of them, whatever its upstream answers: which is nobody's failure.
        self._ways = {id(rule): way for rule, way in ways if "http" in self._upstream_of(rule).protocols}
        self._call_ways = {id(rule): way for rule, way in ways if "grpc" in self._upstream_of(rule).protocols}
        self._closed = False

    async def handle(self, stream: Stream) -> None:
        head = stream.head
        ways = self._ways
        if type(head) is GrpcFrame:
            head, ways = as_request(head), self._call_ways
        elif type(head) is not HttpRequest:
            await self._named(head).handle(stream)
            return
        rule = self._rules.match(head)
        if rule is None or rule.upstream is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        way = ways.get(id(rule))
        if way is None:
            raise self._upstream_of(rule).foreign.refusal(head.protocol)
        await way.handle(stream)

    async def aclose(self) -> None:
        """Close every connection to every target that no other router holds; what runs is cut off. Idempotent.

        Raises:
            Exception: A target could not be closed; all others were.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._pool.aclose)
            if not self._closed:
                self._closed = True
                stack.push_async_callback(self._middleware.aclose)

    def _upstream_of(self, rule: Rule) -> Upstream:
        assert rule.upstream is not None
        return self._upstreams[rule.upstream]

    def _way(self, rule: Rule) -> ProxyTarget:
        upstream = self._upstream_of(rule)
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
