"""What a server makes of its settings before anything changes: all that can fail, or takes a while."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import anyio.to_thread

from tunnel.app.forward_rules import ForwardRules
from tunnel.app.snapshots import Snapshots
from tunnel.domain.configuration import MiddlewareSettings, ServerSettings
from tunnel.domain.configuration.middleware import with_proxies
from tunnel.domain.rules.engine import RulesEngine

__all__ = ["Prepared", "prepare", "prepare_aside", "trusting"]

_ASIDE_RULES: Final = 500
"""From so many rules on a thread compiles them: they take some milliseconds, in which no frame would move."""


class Prepared(NamedTuple):
    """Rules compiled and configurations encoded, ready to be put in place together."""

    rules: RulesEngine
    snapshots: Snapshots
    forward: ForwardRules


def prepare(settings: ServerSettings, *, version: int, previous: Snapshots | None = None) -> Prepared:
    """Compile and encode.

    Args:
        settings: Checked settings.
        version: Theirs.
        previous: What is in place.

    Raises:
        ConfigurationError: A rule cannot be compiled.
    """
    snapshots = _snapshots(settings, version, previous)
    return Prepared(RulesEngine(settings.rules), snapshots, ForwardRules(settings.forward.rules))


def _snapshots(settings: ServerSettings, version: int, previous: Snapshots | None) -> Snapshots:
    return Snapshots(settings.groups, version, previous, middleware=trusting(settings))


def trusting(settings: ServerSettings) -> dict[str, MiddlewareSettings]:
    """The server's middleware, of which what goes by addresses trusts the proxies that the HTTP ingress trusts."""
    http = settings.ingress.http
    return with_proxies(settings.middleware, () if http is None else http.trusted_proxies)


async def prepare_aside(settings: ServerSettings, *, version: int, previous: Snapshots) -> Prepared:
    """As ``prepare``, without holding up the event loop. Cancelling abandons the work.

    Raises:
        ConfigurationError: A rule cannot be compiled.
    """
    work = partial(prepare, settings, version=version, previous=previous)
    forwarded = sum(len(rule.groups) for rule in settings.forward.rules)
    if len(settings.rules) + forwarded + sum(len(group.rules) for group in settings.groups.values()) < _ASIDE_RULES:
        return work()
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
