"""What a lookup costs does not grow with the number of rules; counted in calls, since seconds depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from random import Random
from types import FrameType

import pytest

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule

FEW, MANY = 100, 10_000


def word(random: Random) -> str:
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=8))


def one_rule_a_host(random: Random) -> tuple[Rule, HttpRequest]:
    host, path = f"{word(random)}.{word(random)}.test", f"/{word(random)}/{word(random)}"
    return Rule(host=host, path_prefix=path), HttpRequest("GET", path=f"{path}/x".encode(), host=host.encode())


def paths_of_one_host(random: Random) -> tuple[Rule, HttpRequest]:
    path = f"/{word(random)}/{word(random)}"
    head = HttpRequest("GET", path=path.encode(), host=b"a.test")
    return Rule(host="a.test", **{random.choice(["path", "path_prefix"]): path}), head


def wildcards(random: Random) -> tuple[Rule, HttpRequest]:
    suffix, path = f"{word(random)}.test", f"/{word(random)}"
    head = HttpRequest("GET", path=path.encode(), host=f"a.{suffix}".encode())
    return Rule(host=f"*.{suffix}", path=path, methods=("GET",)), head


def calls(random: Random) -> tuple[Rule, HttpRequest]:
    service = word(random)
    head = HttpRequest("POST", path=f"/{service}/Get".encode(), protocol="grpc")
    return Rule(service=service, method=random.choice([None, "Get"])), head


def nothing(random: Random) -> tuple[Rule, HttpRequest]:
    head = HttpRequest("GET", path=f"/{word(random)}/x/y".encode(), host=f"a.{word(random)}.test".encode())
    return random.choice([one_rule_a_host, paths_of_one_host, wildcards])(random)[0], head


def calls_made(function: Callable[[], object]) -> int:
    """Calls of Python and of built-in functions while ``function`` runs."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(previous)
    return count


@pytest.mark.parametrize("kind", [one_rule_a_host, paths_of_one_host, wildcards, calls, nothing])
def test_lookups_among_many_rules_make_no_more_calls_than_among_few(
    kind: Callable[[Random], tuple[Rule, HttpRequest]],
) -> None:
    most = {}
    for size in (FEW, MANY):
        random = Random(5)
        made = [kind(random) for _ in range(size)]
        match = RulesEngine([rule for rule, _ in made]).match
        most[size] = max(calls_made(partial(match, head)) for _, head in made[:FEW])
    assert most[FEW] == most[MANY] <= 40
