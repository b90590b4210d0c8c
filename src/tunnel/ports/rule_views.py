"""Rules as operators are shown them, and why one of them was chosen: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["Explained", "NearMissView", "RulePage", "RuleView"]


class RuleView(msgspec.Struct, frozen=True):
    """One rule.

    Args:
        key: Its place in the configuration, ``rules[0]``; ``claim`` for what a client has claimed.
        rule: As configured, what is not given left out. Values of headers and parameters that may be secret are
            ``***``.
    """

    key: str
    rule: Mapping[str, Any]


class RulePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some rules, in the order in which they are considered: the first that matches counts.

    Args:
        total: All there are.
        next_offset: Where the next page starts; None: this is the last.
        rules: Those of this page.
    """

    total: int
    next_offset: int | None
    rules: tuple[RuleView, ...]


class NearMissView(msgspec.Struct, frozen=True):
    """A rule that was not chosen.

    Args:
        rule: Its place in the configuration; ``claim`` for what a client has claimed.
        failed: What does not hold of it; empty when another goes before it.
        reason: The same in words.
    """

    rule: str
    failed: tuple[str, ...]
    reason: str


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes, and why not elsewhere. None stands for what it does not reach.

    Args:
        group: Which group serves it.
        upstream: Which upstream answers it; None for a claim, whose upstream only its client knows.
        targets: Of that upstream.
        rule: The server's rule that chose the group, with its place as ``key``; without that hop the group's rule.
        upstream_rule: The group's rule that chose the upstream, likewise.
        near_misses: The closest other rules, of both hops.
        reason: What is missing when nothing answers.
    """

    group: str | None
    upstream: str | None
    targets: tuple[str, ...]
    rule: Mapping[str, Any] | None
    upstream_rule: Mapping[str, Any] | None
    near_misses: tuple[NearMissView, ...]
    reason: str | None
