"""The upstreams of one configuration, with what is taken over from those of the configuration before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from tunnel.app.applications import Applications
from tunnel.app.upstream import BalancedTarget, SharedTarget, Upstream
from tunnel.domain.configuration import TargetPolicy, UpstreamSettings, parse_target
from tunnel.domain.configuration.target_url import IN_PROCESS_SCHEMES
from tunnel.domain.health import Health, HealthWatch
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock
from tunnel.ports.target import UpstreamTarget
from tunnel.ports.telemetry import Telemetry

__all__ = ["TargetFactory", "Upstreams", "by_scheme"]

TargetFactory = Callable[[str, UpstreamSettings, TargetPolicy], UpstreamTarget]
"""Makes the target for a URL, an upstream's settings and what may be dialled."""

_logger = logging.getLogger("tunnel.configuration")

_CHOOSING: Final = frozenset({"targets", "balance", "weights", "hash_on", "ejection"})
"""Settings of an upstream that say which target is chosen, and nothing of how it is dialled."""


class Upstreams:
    """Upstreams by name.

    Replacing others, they go on with the health that was known of each target, by upstream and URL, and where nothing
    changed in how a target is dialled also with the target itself: connections, conversations and all. Such a target
    is closed when neither needs it; which of the two is closed first does not matter.

    Args:
        settings: Checked, by name.
        policy: What may be dialled. Targets are taken over only under the same policy object.
        target_factory: Makes the targets.
        random: For balancing.
        telemetry: Told of targets that are ejected and return.
        clock: Time.
        start: Runs something in the background.
        previous: Those that these replace, not closed yet; None for none.

    Raises:
        ConfigurationError: The policy forbids a target, or one cannot be made. Nothing was taken over then, and those
            that were made are closed.
    """

    def __init__(
        self,
        settings: Mapping[str, UpstreamSettings],
        policy: TargetPolicy,
        target_factory: TargetFactory,
        random: RandomSource,
        *,
        telemetry: Telemetry,
        clock: Clock,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        previous: Upstreams | None = None,
    ) -> None:
        for each in settings.values():
            for url in each.targets:
                policy.check(url)
        self._policy = policy
        self._target_factory = target_factory
        made: list[UpstreamTarget] = []
        upstreams = {}
        try:
            for name, each in settings.items():
                before = None if previous is None else previous.by_name.get(name)
                upstreams[name] = Upstream(
                    name,
                    each,
                    self._targets(each, before, made, kept=previous is not None and previous._policy is policy),
                    watch=HealthWatch() if before is None else before.watch,
                    random=random,
                    telemetry=telemetry,
                    clock=clock,
                )
        except BaseException:
            if made:
                start(partial(_close_unused, made))
            raise
        self.by_name: Final[Mapping[str, Upstream]] = upstreams
        # Nothing can fail from here on.
        self._held = [each.shared for upstream in upstreams.values() for each in upstream.targets]
        for shared in self._held:
            shared.hold()

    async def aclose(self) -> None:
        """Close every connection to every target that nobody else holds; what runs is cut off. Idempotent.

        Raises:
            Exception: A target could not be closed; all others were.
        """
        held, self._held = self._held, []
        async with AsyncExitStack() as stack:
            for shared in held:
                stack.push_async_callback(shared.release)

    def _targets(
        self, settings: UpstreamSettings, before: Upstream | None, made: list[UpstreamTarget], *, kept: bool
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
                made.append(shared.target)
            health = Health() if same is None else same.health
            targets.append(BalancedTarget(url, weight=settings.weights.get(url, 1), shared=shared, health=health))
        return tuple(targets)


def by_scheme(make: Callable[..., UpstreamTarget], applications: Applications | None = None) -> TargetFactory:
    """A factory of targets.

    Args:
        make: Called with the scheme of the URL, then as a factory is, and for targets in the process with the
            applications that run there.
        applications: Those; None where no target is in the process.
    """

    def target(url: str, settings: UpstreamSettings, policy: TargetPolicy) -> UpstreamTarget:
        scheme = parse_target(url).scheme
        given = () if applications is None or scheme not in IN_PROCESS_SCHEMES else (applications,)
        return make(scheme, url, settings, policy, *given)

    return target


async def _close_unused(targets: Sequence[UpstreamTarget]) -> None:
    """Nothing was dialled yet, but an application in this process is kept running by a target that names it."""
    for target in targets:
        try:
            await target.aclose()
        except Exception:
            # Anybody's code, and the others are to be closed too.
            _logger.exception("a target that was not needed could not be closed")


def _dialling(settings: UpstreamSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__ if name not in _CHOOSING}
