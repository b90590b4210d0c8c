"""Claims as operators see them, between the rules of a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import merge

import msgspec

from tunnel.app.claims import Claims
from tunnel.app.rule_book import Route, RuleBook, explained
from tunnel.domain.claims.claim import CLAIM_RULE, Claim
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import SessionError
from tunnel.domain.rules.precedence import precedes_prefix, rank
from tunnel.domain.rules.rule import Rule
from tunnel.ports.inspection import Explained, NearMissView

__all__ = ["claim_of", "explained_claim", "ordered"]


def claim_of(claims: Claims, head: HttpRequest) -> Claim | None:
    """The claim that ``head`` falls under, whatever rules say; None also where it is malformed, which rules tell."""
    try:
        holding = claims.find(head)
    except SessionError:
        return None
    return None if holding is None else holding.claim


def explained_claim(route: Route, claim: Claim, show: Callable[[Rule], Mapping[str, object]]) -> Explained:
    """Where a request goes that falls under a claim, and perhaps under a rule.

    Args:
        route: Where the rules would have it go.
        claim: As ``claim_of`` found it.
        show: How rules are shown.
    """
    by_rules = explained(route, show)
    hop = route.hops[0]
    rule, place = hop.explanation.rule, f"{hop.place}[{hop.explanation.order}]"
    if rule is not None and precedes_prefix(rule, claim.path_prefix):
        miss = NearMissView(CLAIM_RULE, (), f"outranked by {place}: {claim} is no closer")
        return msgspec.structs.replace(by_rules, near_misses=(miss, *by_rules.near_misses))
    misses = [each for each in by_rules.near_misses if each.rule.startswith(f"{hop.place}[")]
    if rule is not None:
        misses.insert(0, NearMissView(place, (), f"outranked by the claim of {claim}"))
    return Explained(
        group=claim.group,
        upstream=None,
        targets=(),
        rule={"key": CLAIM_RULE, **show(_as_rule(claim))},
        upstream_rule=None,
        near_misses=tuple(misses),
        reason=None,
    )


def ordered(book: RuleBook, claims: Iterable[Claim]) -> list[tuple[str, Rule]]:
    """The server's rules and claims, with their places, in the order in which they are considered."""
    rules = book.rules(None)
    # What follows host and path in a rank is of no account here: on equals a rule goes first.
    static = (((*rank(rules[each], each)[:2], 0), (f"rules[{each}]", rules[each])) for each in book.order(None))
    made = (_as_rule(claim) for claim in claims)
    claimed = sorted(((*rank(rule, 0)[:2], 1), str(rule.group), rule) for rule in made)
    return [
        entry
        for _, entry in merge(
            static, ((key, (CLAIM_RULE, rule)) for key, _, rule in claimed), key=lambda ranked: ranked[0]
        )
    ]


def _as_rule(claim: Claim) -> Rule:
    return Rule(host=claim.host, path_prefix=claim.path_prefix or "/", group=claim.group)
