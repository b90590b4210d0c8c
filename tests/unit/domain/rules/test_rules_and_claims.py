"""Rules and claims together, against one engine that knows the claims as rules behind all others."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_kit import requests, rule_lists

from tunnel.domain.claims.book import ClaimBook
from tunnel.domain.claims.claim import Claim
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.identity import Principal, TunnelId
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.hosts import normal_host
from tunnel.domain.rules.paths import normal_path
from tunnel.domain.rules.precedence import precedes_prefix
from tunnel.domain.rules.rule import Rule

HOLDER = Principal("p", hosts=("*.test", "test"))

claims = st.builds(
    Claim,
    st.sampled_from(["test", "a.test", "b.test", "a.a.test", "b.a.test"]),
    st.sampled_from(["", "/x", "/y", "/x/y", "/y/x"]),
)


@settings(max_examples=300)
@given(rule_lists, st.lists(claims, max_size=6, unique=True), requests)
def test_closest_of_rules_and_claims_wins_and_a_rule_on_equals(
    rule_list: list[Rule], claimed: list[Claim], head: HttpRequest
) -> None:
    # A rule goes first on equals whatever its priority, which tells rules from each other.
    rule_list = [msgspec.structs.replace(each, priority=max(0, each.priority or 0)) for each in rule_list]
    book: ClaimBook[Claim] = ClaimBook(lambda claim: claim, max_claims=99, max_claims_per_principal=99)
    for number, claim in enumerate(claimed):
        book.hold(HOLDER, claim, TunnelId(str(number)))
    as_rules = [Rule(host=each.host, path_prefix=each.path_prefix or "/", group=each.group) for each in claimed]

    rule = RulesEngine(rule_list).match(head)
    holding = None if head.protocol == "tcp" else book.find(normal_host(head.host), normal_path(head.path))
    together = RulesEngine([*rule_list, *as_rules]).match(head)

    if holding is not None and (rule is None or not precedes_prefix(rule, holding.claim.path_prefix)):
        assert together is as_rules[claimed.index(holding.claim)]
    else:
        assert together is rule
