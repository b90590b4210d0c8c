"""The server's part in what its clients open: forward rules and upstreams, replaced while conversations run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

from tunnel.app.accounted_stream import AccountedStream
from tunnel.app.accounted_target import Destination
from tunnel.app.attempt import Attempt
from tunnel.app.forward_rules import ForwardRules
from tunnel.app.guarded_target import GuardedTarget
from tunnel.app.middleware_layer import MiddlewareChain
from tunnel.app.middlewares import KindProvider, Middlewares
from tunnel.app.succession import Serving, Succession
from tunnel.app.upstream import Upstream
from tunnel.app.upstreams import TargetFactory, Upstreams
from tunnel.domain.configuration import OPERATORS_CHOICE, ForwardSettings, MiddlewareSettings
from tunnel.domain.configuration.middleware import in_use
from tunnel.domain.configuration.upstream_tls import accepts_any_certificate
from tunnel.domain.envelopes import Opening
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import Telemetry

__all__ = ["ForwardRouter", "Forwarding", "Found"]

_logger = logging.getLogger("tunnel.configuration")


class Forwarding:
    """One configuration's rules with its upstreams.

    Args:
        rules: Compiled.
        upstreams: Every one that these name, and others.
        middleware: What the rules name.
        chains: What a rule's conversations go through, by ``forward.rules[N]``; rules without have none.
    """

    def __init__(
        self,
        rules: ForwardRules,
        upstreams: Upstreams,
        middleware: Middlewares,
        chains: Mapping[str, MiddlewareChain],
    ) -> None:
        self.rules = rules
        self.upstreams = upstreams
        self.middleware = middleware
        self.chains = chains

    async def aclose(self) -> None:
        """Close the upstreams and the middleware, unless they are others' too."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.upstreams.aclose)
            stack.push_async_callback(self.middleware.aclose)


class Found(Destination):
    """The upstream that was found for one conversation; it is handled by the configuration that holds by now.

    Args:
        rule: ``forward.rules[N]``.
        upstream: The upstream.
        serving: Of which configuration.
        succession: Of which that is one.
    """

    __slots__ = ("_serving", "_succession", "_upstream", "rule")

    def __init__(
        self, rule: str, upstream: Upstream, serving: Serving[Forwarding], succession: Succession[Forwarding]
    ) -> None:
        self.rule = rule
        self._upstream = upstream
        self._serving = serving
        self._succession = succession

    @property
    def upstream(self) -> str:
        """Its name."""
        return self._upstream.name

    def check(self, protocol: str) -> None:
        """Refuse a conversation that no target answers.

        Raises:
            SessionError: ``route_not_found``.
        """
        if protocol not in self._upstream.protocols:
            raise self._upstream.foreign.refusal(protocol)

    async def handle(self, stream: Stream, attempt: Attempt) -> None:
        """Have the upstream answer the conversation. To be called without waiting for anything before."""
        attempt.begin()
        serving = self._serving
        serving.conversations += 1
        chain = serving.router.chains.get(self.rule)
        target = self._upstream if chain is None else GuardedTarget(self._upstream, chain)
        try:
            await target.handle(AccountedStream(stream, attempt))
        finally:
            serving.conversations -= 1
            if serving is not self._succession.current:
                self._succession.left(serving)


class ForwardRouter:
    """Finds upstreams for the sessions of clients. What is replaced finishes the conversations it has.

    Args:
        target_factory: Makes targets.
        random: For balancing.
        telemetry: Told of targets that are ejected and return.
        clock: Time.
        kinds: Makes middleware.
        start: Runs something in the background.
    """

    def __init__(
        self,
        target_factory: TargetFactory,
        random: RandomSource,
        *,
        telemetry: Telemetry,
        clock: Clock,
        kinds: KindProvider,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> None:
        self._target_factory = target_factory
        self._random = random
        self._telemetry = telemetry
        self._clock = clock
        self._kinds = kinds
        self._start = start
        self._succession: Succession[Forwarding] = Succession(start)
        self._settings: tuple[ForwardSettings, Mapping[str, MiddlewareSettings]] | None = None

    def follow(self, settings: ForwardSettings, rules: ForwardRules, tables: Mapping[str, MiddlewareSettings]) -> None:
        """Route by these from the next session on; nothing changes if they are those of before.

        Args:
            settings: Checked.
            rules: Theirs, compiled.
            tables: Middleware that rules may name.

        Raises:
            ConfigurationError: A target or middleware cannot be made. What was goes on.
        """
        wanted = (settings, in_use(settings.rules, tables))
        if wanted == self._settings:
            return
        before = self._succession.router
        middleware = Middlewares(
            tables,
            settings.rules,
            place="forward.rules",
            kinds=self._kinds,
            start=self._start,
            previous=None if before is None else before.middleware,
        )
        try:
            upstreams = Upstreams(
                settings.upstreams,
                OPERATORS_CHOICE,
                self._target_factory,
                self._random,
                telemetry=self._telemetry,
                clock=self._clock,
                start=self._start,
                previous=None if before is None else before.upstreams,
            )
        except BaseException:
            middleware.release()
            raise
        for name, upstream in settings.upstreams.items():
            if accepts_any_certificate(upstream.targets, upstream.tls):
                _logger.warning("forward.upstreams.%s.tls.verify is false: any certificate is accepted", name)
        chains = {
            f"forward.rules[{index}]": chain
            for index, rule in enumerate(settings.rules)
            if (chain := middleware.chain(rule)) is not None
        }
        self._succession.replace(Forwarding(rules, upstreams, middleware, chains))
        self._settings = wanted

    def serves(self, group: str) -> bool:
        """Whether any rule names ``group``."""
        serving = self._succession.current
        return serving is not None and group in serving.router.rules.groups

    def find(self, head: Opening, group: str) -> Found:
        """The upstream for a session that a client of ``group`` opened.

        Raises:
            SessionError: ``route_not_found``: no rule that names the group matches; else the head is malformed.
        """
        serving = self._succession.current
        forwarded = None if serving is None else serving.router.rules.match(head, group)
        if serving is None or forwarded is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        upstream = serving.router.upstreams.by_name[forwarded.upstream]
        return Found(forwarded.rule, upstream, serving, self._succession)

    async def aclose(self) -> None:
        """Close every connection to every target; what runs is cut off."""
        await self._succession.aclose()
