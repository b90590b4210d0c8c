"""``[middleware.NAME]``: what is read of it, who may name it, and what goes to clients."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tunnel.domain.configuration import GroupSnapshot, MiddlewareSettings, decode_server_settings
from tunnel.domain.configuration.middleware import check_rule_middleware, in_use, middleware_settings, with_proxies
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule


def nested(depth: int) -> object:
    """A value inside so many lists and tables, in turns."""
    value: object = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_table_is_its_kind_and_the_options_beside_it() -> None:
    table: dict[str, object] = {"set": {"x-a": "1"}, "use": "headers", "add": ["b", 1, 2.5, True, None]}
    settings = middleware_settings(table, "middleware.m")

    assert settings.use == "headers"
    assert dict(settings.options) == {"set": {"x-a": "1"}, "add": ["b", 1, 2.5, True, None]}
    assert settings.table == table


def test_repr_tells_names_of_options_and_no_values() -> None:
    settings = MiddlewareSettings("basic_auth", {"users": {"me": "secret"}, "realm": "r"})

    assert repr(settings) == "MiddlewareSettings(use='basic_auth', options=['realm', 'users'])"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, 'middleware.m: expected the key "use", the kind of middleware, such as "headers"'),
        ({"use": 1}, "middleware.m.use: expected a string, got 1"),
        ({"use": "x", "a b": [1, float("inf")]}, 'middleware.m."a b"[1]: expected a string, a number, true or false'),
        ({"use": "x", "a": {"b": object()}}, "middleware.m.a.b: expected a string, a number, true or false"),
        ({"use": "x", "a": [{1: "b"}]}, "middleware.m.a[0]: expected keys that are strings"),
        ({"use": "x", "a": nested(17)}, "middleware.m.a.a[0].a"),
    ],
)
def test_what_could_not_be_sent_to_a_client_is_refused_by_its_key(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        middleware_settings(table, "middleware.m")
    assert str(caught.value).startswith(message)


def lists(depth: int) -> object:
    return [lists(depth - 1)] if depth else 1


def tables(depth: int) -> object:
    return {"a": tables(depth - 1)} if depth else 1


@pytest.mark.parametrize("made", [nested, lists, tables])
def test_options_are_sixteen_levels_deep_at_most(made: Callable[[int], object]) -> None:
    settings = middleware_settings({"use": "x", "a": made(16)}, "middleware.m")

    assert settings.options["a"] == made(16)
    with pytest.raises(ConfigurationError):
        middleware_settings({"use": "x", "a": made(17)}, "middleware.m")


TABLES = {name: MiddlewareSettings(name) for name in ("one", "two", "three")}


def test_rule_may_name_each_middleware_once() -> None:
    check_rule_middleware(Rule(), TABLES, "rules[0]")
    check_rule_middleware(Rule(middleware=("two", "one", "three")), TABLES, "rules[0]")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("one", "tow"),
            'rules[0].middleware[1]: unknown middleware "tow"; expected one of "one", "three", "two"; did',
        ),
        (("one", "two", "one"), "rules[0].middleware[2]: expected a name not given before in this rule"),
    ],
)
def test_rule_with_middleware_unknown_or_given_twice_is_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_rule_middleware(Rule(middleware=names), TABLES, "rules[0]")
    assert str(caught.value).startswith(message)


def test_of_all_middleware_what_rules_name_is_in_use() -> None:
    assert in_use((Rule(), Rule(middleware=("two",)), Rule(middleware=("two", "one"))), TABLES) == {
        "two": TABLES["two"],
        "one": TABLES["one"],
    }


def test_what_goes_by_addresses_trusts_the_proxies_of_the_ingress_unless_it_says_whom() -> None:
    own = {"trusted_proxies": ["::1"]}
    tables = {
        "filter": MiddlewareSettings("ip_filter", {"allow": ["a"]}),
        "rate": MiddlewareSettings("rate_limit"),
        "own": MiddlewareSettings("ip_filter", own),
        "headers": MiddlewareSettings("headers"),
    }
    trusting = with_proxies(tables, ("10.0.0.0/8",))

    assert {name: dict(each.options) for name, each in trusting.items()} == {
        "filter": {"trusted_proxies": ["10.0.0.0/8"], "allow": ["a"]},
        "rate": {"trusted_proxies": ["10.0.0.0/8"]},
        "own": own,
        "headers": {},
    }
    assert [each.use for each in trusting.values()] == ["ip_filter", "rate_limit", "ip_filter", "headers"]
    assert with_proxies(tables, ()) == tables


MEMORY = {"transports": {"memory": {"name": "m"}}}
KIND = {"use": "headers"}
UPSTREAMS = {"app": {"targets": ["http://a.test"]}}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"middleware": {"": KIND}}, 'middleware."": expected a name of 1 to 128 printable characters'),
        (
            {"groups": {"web": {}}, "rules": [{"group": "web", "middleware": ["x"]}]},
            'rules[0].middleware[0]: unknown middleware "x"; there is none; add [middleware.NAME]',
        ),
        (
            {"groups": {"web": {"upstreams": UPSTREAMS, "rules": [{"upstream": "app", "middleware": ["x"]}]}}},
            'groups.web.rules[0].middleware[0]: unknown middleware "x"',
        ),
        (
            {"forward": {"upstreams": UPSTREAMS, "rules": [{"upstream": "app", "middleware": ["x"]}]}},
            'forward.rules[0].middleware[0]: unknown middleware "x"',
        ),
    ],
)
def test_rules_of_a_server_name_middleware_that_is_there(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode_server_settings({**MEMORY, **table})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        ({"middleware": {"a\nb": KIND}}, 'middleware."a\\nb": expected a name'),
        (
            {"upstreams": UPSTREAMS, "rules": [{"upstream": "app", "middleware": ["x"]}], "middleware": {"y": KIND}},
            'rules[0].middleware[0]: unknown middleware "x"; expected "y"',
        ),
        ({"middleware": {"y": {}}}, 'middleware.y: expected the key "use"'),
        ({"middleware": {"y": []}}, "middleware.y: expected a table, got an empty list"),
    ],
)
def test_snapshot_with_middleware_that_cannot_be_is_refused(snapshot: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        GroupSnapshot.decode(json.dumps(snapshot).encode())
    assert str(caught.value).startswith(message)


def test_middleware_comes_back_from_a_snapshot_as_it_was() -> None:
    table = {
        "upstreams": UPSTREAMS,
        "rules": [{"upstream": "app", "middleware": ["y"]}],
        "middleware": {"y": {"use": "headers", "set": {"x-a": "1"}}},
    }
    snapshot = GroupSnapshot.decode(json.dumps(table).encode())

    assert snapshot.middleware == {"y": MiddlewareSettings("headers", {"set": {"x-a": "1"}})}
    assert GroupSnapshot.decode(snapshot.encode()) == snapshot
