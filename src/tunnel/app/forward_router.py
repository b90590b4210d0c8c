"""The server's part in what its clients open: forward rules and upstreams, replaced while conversations run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from tunnel.app.accounted_stream import AccountedStream
from tunnel.app.accounted_target import Destination
from tunnel.app.attempt import Attempt
from tunnel.app.forward_rules import ForwardRules
from tunnel.app.succession import Serving, Succession
from tunnel.app.upstream import Upstream
from tunnel.app.upstreams import TargetFactory, Upstreams
from tunnel.domain.configuration import OPERATORS_CHOICE, ForwardSettings
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
    """

    def __init__(self, rules: ForwardRules, upstreams: Upstreams) -> None:
        self.rules = rules
        self.upstreams = upstreams

    async def aclose(self) -> None:
        """Close the upstreams, unless they are others' too."""
        await self.upstreams.aclose()


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

    async def handle(self, stream: Stream, attempt: Attempt) -> None:
        """Have the upstream answer the conversation. To be called without waiting for anything before."""
        attempt.begin()
        serving = self._serving
        serving.conversations += 1
        try:
            await self._upstream.handle(AccountedStream(stream, attempt))
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
        start: Runs something in the background.
    """

    def __init__(
        self,
        target_factory: TargetFactory,
        random: RandomSource,
        *,
        telemetry: Telemetry,
        clock: Clock,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> None:
        self._target_factory = target_factory
        self._random = random
        self._telemetry = telemetry
        self._clock = clock
        self._succession: Succession[Forwarding] = Succession(start)
        self._settings: ForwardSettings | None = None

    def follow(self, settings: ForwardSettings, rules: ForwardRules) -> None:
        """Route by these from the next session on; nothing changes if they are those of before.

        Args:
            settings: Checked.
            rules: Theirs, compiled.

        Raises:
            ConfigurationError: A target cannot be made. What was goes on.
        """
        if settings == self._settings:
            return
        before = self._succession.router
        upstreams = Upstreams(
            settings.upstreams,
            OPERATORS_CHOICE,
            self._target_factory,
            self._random,
            telemetry=self._telemetry,
            clock=self._clock,
            previous=None if before is None else before.upstreams,
        )
        for name, upstream in settings.upstreams.items():
            if accepts_any_certificate(upstream.targets, upstream.tls):
                _logger.warning("forward.upstreams.%s.tls.verify is false: any certificate is accepted", name)
        self._succession.replace(Forwarding(rules, upstreams))
        self._settings = settings

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
