"""Which of two rules that both match is the closer one.

One thing after another is compared:

1. host: exact, then the longer wildcard, then the shorter, then none;
2. path: exact, then the longer prefix, then the shorter, then a pattern; no path is prefix ``/``. Of gRPC, service with
   method is an exact path, service alone a prefix of one segment, method alone a pattern;
3. methods: some before none;
4. headers: more before fewer;
5. query parameters: more before fewer;
6. ``priority``, the higher first; none given is 0;
7. order in the file.

The rank of a rule does not depend on the request: two prefixes that match the same path are of different length, and so
are two wildcards that match the same host.

Source: Gateway API, HTTPRoute, ``HTTPRouteRule.matches``; GRPCRoute, ``GRPCRouteRule.matches``.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from tunnel.domain.rules.paths import normal_prefix
from tunnel.domain.rules.rule import Rule

__all__ = ["STEPS", "Rank", "condition_rank", "precedes_prefix", "rank"]

STEPS: Final = ("host", "path", "methods", "headers", "query", "priority", "order")
"""What the parts of a rank compare."""

Rank: TypeAlias = tuple[int, ...]
"""The smaller rank precedes. As many parts as there are ``STEPS``."""

_NONE: Final = 1
"""Comes last: the closer a wildcard or prefix, the more negative its part of the rank."""

_EXACT: Final = -(2**62)
"""Precedes every wildcard and prefix, which have fewer labels and segments."""


def rank(rule: Rule, order: int) -> Rank:
    """Where a valid rule stands among all others.

    Args:
        rule: The rule.
        order: Its place in the file.
    """
    return (_host_rank(rule.host), _path_rank(rule), *condition_rank(rule, order))


def condition_rank(rule: Rule, order: int) -> Rank:
    """Where a rule stands among those of the same host and path: the steps from ``methods`` on."""
    headers, query = len(rule.headers or ()), len(rule.query or ())
    return (rule.methods is None, -headers, -query, -(rule.priority or 0), order)


def precedes_prefix(rule: Rule, path_prefix: str) -> bool:
    """Whether a rule goes before an exact host with a prefix and nothing else, if both match; also on equals.

    Args:
        rule: The rule.
        path_prefix: Whole segments without a trailing slash; empty for all paths.
    """
    host = rule.host
    # First of all, since it is so of most rules that match as well: the path need not be looked at.
    if host is None or host.startswith("*."):
        return False
    return _path_rank(rule) <= -path_prefix.count("/")


def _host_rank(host: str | None) -> int:
    if host is None:
        return _NONE
    return -host.count(".") if host.startswith("*.") else _EXACT


def _path_rank(rule: Rule) -> int:
    if rule.path is not None or (rule.service is not None and rule.method is not None):
        return _EXACT
    if rule.service is not None:
        return -1
    if rule.path_regex is not None or rule.method is not None:
        return _NONE
    return -normal_prefix((rule.path_prefix or "/").encode()).count(b"/")
