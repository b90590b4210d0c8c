"""Why a request falls under the rule it falls under, and why not under others that look as if it could."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from typing import Final

import msgspec

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.conditions import ProtocolCondition, conditions_of
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.hosts import normal_host
from tunnel.domain.rules.paths import normal_path, normal_prefix
from tunnel.domain.rules.precedence import STEPS, Rank, rank
from tunnel.domain.rules.request import RoutedRequest
from tunnel.domain.rules.rule import Rule

__all__ = ["MAX_NEAR_MISSES", "Explanation", "NearMiss", "explain"]

MAX_NEAR_MISSES: Final = 20
"""Rules; more than fit on a screen explain nothing."""


_PATHS: Final = frozenset({"path", "service", "grpc method"})
"""What fails of a rule that is for other paths."""


class NearMiss(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was not chosen.

    Args:
        order: Its place among the rules, from 0.
        rule: The rule.
        failed: Its predicates that do not hold, ``host``, ``path``, ``service``, ``grpc method``, ``protocol``,
            ``method``, ``header NAME`` or ``query NAME``; empty when all hold, and the chosen rule outranks it.
        outranked_at: At which step of the precedence the chosen rule goes first; None when ``failed`` says why.
    """

    order: int
    rule: Rule
    failed: tuple[str, ...] = ()
    outranked_at: str | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a request.

    Args:
        order: Place of the chosen rule among the rules, from 0; None when no rule matches.
        rule: The chosen rule.
        near_misses: The closest others, the closest first, at most ``MAX_NEAR_MISSES``.
    """

    order: int | None
    rule: Rule | None
    near_misses: tuple[NearMiss, ...]


def explain(engine: RulesEngine, head: HttpRequest) -> Explanation:
    """Explain ``engine.match(head)``.

    A rule is a near miss when a single predicate fails, when its host and path hold, or when it names a host and that
    holds. Those whose host holds come first, then those of which fewer predicates failed, then those that rank higher.
    Takes time linear in the number of rules.

    Raises:
        SessionError: As ``match`` does.
    """
    chosen = engine.match(head)
    request = RoutedRequest(head, normal_path(head.path))
    host = normal_host(head.host)
    order = next((index for index, rule in enumerate(engine.rules) if rule is chosen), None)
    best = None if order is None or chosen is None else rank(chosen, order)
    misses = _near_misses(engine.rules, host, request, best)
    nearest = nsmallest(MAX_NEAR_MISSES, misses, key=_distance)
    return Explanation(order=order, rule=chosen, near_misses=tuple(miss for _, miss in nearest))


def _near_misses(
    rules: tuple[Rule, ...], host: bytes, request: RoutedRequest, best: Rank | None
) -> Iterator[tuple[Rank, NearMiss]]:
    for order, rule in enumerate(rules):
        own = rank(rule, order)
        if own == best:
            continue
        failed = tuple(_failed(rule, host, request))
        if not failed:
            assert best is not None, "a rule of which nothing fails matches"
            yield own, NearMiss(order=order, rule=rule, outranked_at=_step(best, own))
        elif len(failed) == 1 or ("host" not in failed and (rule.host is not None or _PATHS.isdisjoint(failed))):
            yield own, NearMiss(order=order, rule=rule, failed=failed)


def _distance(miss: tuple[Rank, NearMiss]) -> tuple[bool, int, Rank]:
    own, near = miss
    return "host" in near.failed, len(near.failed), own


def _failed(rule: Rule, host: bytes, request: RoutedRequest) -> Iterator[str]:
    if not _meets_host(rule, host):
        yield "host"
    if not _meets_path(rule, request.path):
        yield "path"
    if rule.protocol is None and not ProtocolCondition(None).holds(request):
        yield "protocol"
    for condition in conditions_of(rule):
        if not condition.holds(request):
            yield condition.label


def _meets_host(rule: Rule, host: bytes) -> bool:
    if rule.host is None:
        return True
    if rule.host.startswith("*."):
        return host.endswith(b"." + normal_host(rule.host[2:].encode()))
    return host == normal_host(rule.host.encode())


def _meets_path(rule: Rule, path: bytes) -> bool:
    if rule.path is not None:
        return path == normal_path(rule.path.encode())
    if rule.path_prefix is not None:
        prefix = normal_prefix(rule.path_prefix.encode())
        return not prefix or path == prefix or path.startswith(prefix + b"/")
    return True


def _step(better: Rank, worse: Rank) -> str:
    return next(step for step, one, other in zip(STEPS, better, worse, strict=True) if one != other)
