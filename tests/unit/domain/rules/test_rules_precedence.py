from __future__ import annotations

import pytest

from tunnel.domain.rules.precedence import STEPS, precedes_prefix, rank
from tunnel.domain.rules.rule import Rule

LADDER = [
    Rule(host="a.test", path_regex="/.*"),
    Rule(host="*.a.b.test", path="/a"),
    Rule(host="*.b.test", service="s", method="m"),
    Rule(host="*.test", path="/a"),
    Rule(path="/a"),
    Rule(service="s", method="m"),
    Rule(path_prefix="/a/b/c"),
    Rule(path_prefix="/a/b/"),
    Rule(service="s", methods=("POST",)),
    Rule(path_prefix="/a", headers={"a": "1", "b": "1"}),
    Rule(service="s", headers={"a": "1"}, query={"a": "1"}),
    Rule(path_prefix="/a", headers={"a": "1"}, priority=5),
    Rule(path_prefix="/a", query={"a": "1", "b": "1"}),
    Rule(service="s", query={"a": "1"}),
    Rule(path_prefix="/a", priority=1),
    Rule(service="s"),
    Rule(path_prefix="/a", priority=-1),
    Rule(methods=("GET",)),
    Rule(path_prefix="/"),
    Rule(),
    Rule(path_regex="/a", headers={"a": "1"}),
    Rule(method="m"),
    Rule(path_regex="/a"),
]


def test_ranks_order_rules_by_closeness() -> None:
    shuffled = sorted(enumerate(LADDER), key=lambda entry: entry[0] * 7 % len(LADDER))
    assert [rule for order, rule in sorted(shuffled, key=lambda entry: rank(entry[1], entry[0]))] == LADDER


def test_every_part_of_a_rank_has_its_step() -> None:
    assert len(rank(Rule(), 0)) == len(STEPS)


@pytest.mark.parametrize(
    ("rule", "path_prefix", "goes_first"),
    [
        (Rule(path="/a"), "", False),
        (Rule(host="*.test", path="/a"), "", False),
        (Rule(host="a.test"), "", True),
        (Rule(host="a.test"), "/a", False),
        (Rule(host="a.test", path_prefix="/a/b"), "/a", True),
        (Rule(host="a.test", path_prefix="/a"), "/a", True),
        (Rule(host="a.test", path_prefix="/a"), "/a/b", False),
        (Rule(host="a.test", path="/a"), "/a/b/c", True),
        (Rule(host="a.test", service="s"), "/s", True),
        (Rule(host="a.test", service="s"), "/s/m", False),
        (Rule(host="a.test", path_regex="/.*"), "", False),
    ],
    ids=repr,
)
def test_rule_precedes_a_prefix_of_its_exact_host_that_is_no_longer(
    rule: Rule, path_prefix: str, goes_first: bool
) -> None:
    assert precedes_prefix(rule, path_prefix) is goes_first
