"""The keys ``balance``, ``weights`` and ``hash_on`` of groups and of upstreams."""

from __future__ import annotations

import tomllib

import pytest

from tunnel.domain.balancing import STRATEGIES
from tunnel.domain.configuration import (
    GroupSettings,
    GroupSnapshot,
    ServerSettings,
    UpstreamSettings,
    decode_server_settings,
)
from tunnel.domain.errors import ConfigurationError

SERVER = """
[transports.memory]
name = "edge"
[groups.web]
GROUP
[groups.web.upstreams.app]
targets = ["http://127.0.0.1:3000", "http://127.0.0.1:3001"]
UPSTREAM
"""
STRATEGY_NAMES = '"consistent_hash", "least_sessions", "power_of_two", "random", "round_robin", "weighted"'
WEIGHTED = STRATEGY_NAMES.replace(' "round_robin",', "")
HASH_ON = '"address", "header:NAME" or "cookie:NAME"'


def decode(*, group: str = "", upstream: str = "") -> ServerSettings:
    return decode_server_settings(tomllib.loads(SERVER.replace("GROUP", group).replace("UPSTREAM", upstream)))


def mistake_in(*, group: str = "", upstream: str = "") -> str:
    with pytest.raises(ConfigurationError) as caught:
        decode(group=group, upstream=upstream)
    return str(caught.value)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_can_be_named(name: str) -> None:
    group = decode(group=f'balance = "{name}"', upstream=f'balance = "{name}"').groups["web"]
    assert group.balance == group.upstreams["app"].balance == name


def test_members_weigh_one_and_visitors_are_told_apart_by_address_unless_said_otherwise() -> None:
    group = decode().groups["web"]
    assert (group.weights, group.hash_on) == ({}, "address")
    assert (group.upstreams["app"].weights, group.upstreams["app"].hash_on) == ({}, "address")


def test_weights_are_of_clients_and_of_targets() -> None:
    group = decode(
        group='weights = { laptop-1 = 3, "not connected yet" = 1000 }',
        upstream='balance = "weighted"\nweights = { "http://127.0.0.1:3001" = 0 }',
    ).groups["web"]
    assert group.weights == {"laptop-1": 3, "not connected yet": 1000}
    assert group.upstreams["app"].weights == {"http://127.0.0.1:3001": 0}


def test_balancing_of_upstreams_rides_in_the_snapshot() -> None:
    upstream = UpstreamSettings(
        targets=("http://a", "http://b"), balance="consistent_hash", weights={"http://b": 7}, hash_on="cookie:sid"
    )
    snapshot = GroupSnapshot.of(GroupSettings(upstreams={"app": upstream}, weights={"laptop": 2}))
    assert GroupSnapshot.decode(snapshot.encode()).upstreams == {"app": upstream}
    assert b"laptop" not in snapshot.encode()


# (key in the table, message without the table's path)
MISTAKES = [
    ('balance = "weigthed"', f'balance: unknown strategy "weigthed"; expected one of {STRATEGY_NAMES}; did you mean '
     '"weighted"?'),
    ("balance = 1", "balance: expected a string, got 1"),
    ("weights = 3", "weights: expected a table, got 3"),
    ('hash_on = 7', "hash_on: expected a string, got 7"),
    ('hash_on = "ip"', f'hash_on: expected {HASH_ON}, got "ip"'),
    ('balance = "consistent_hash"\nhash_on = "header:"', f'hash_on: expected {HASH_ON}, got "header:"'),
    ('hash_on = "header:x"', 'hash_on: expected balance to be "consistent_hash", got "power_of_two"'),
]  # fmt: skip


@pytest.mark.parametrize(("key", "message"), MISTAKES)
def test_mistake_is_one_exact_line_in_groups_and_upstreams(key: str, message: str) -> None:
    assert mistake_in(group=key) == f"groups.web.{message}"
    assert mistake_in(upstream=key) == f"groups.web.upstreams.app.{message}"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("weights = { laptop-1 = -1 }", "weights.laptop-1: expected an integer from 0 to 1000, got -1"),
        ("weights = { laptop-1 = 1001 }", "weights.laptop-1: expected an integer from 0 to 1000, got 1001"),
        ("weights = { laptop-1 = 0.5 }", "weights.laptop-1: expected an integer from 0 to 1000, got 0.5"),
        ('weights = { "" = 1 }', 'weights."": expected a client_id of 1 to 128 printable characters, got ""'),
        (
            'balance = "round_robin"\nweights = { a = 2 }',
            f'weights: expected balance to be one of {WEIGHTED}, got "round_robin"',
        ),
    ],
)
def test_mistake_in_the_weight_of_a_client_is_one_exact_line(key: str, message: str) -> None:
    assert mistake_in(group=key) == f"groups.web.{message}"


def test_weight_of_a_target_that_is_not_there_is_a_mistake() -> None:
    targets = 'expected one of "http://127.0.0.1:3000", "http://127.0.0.1:3001"'
    assert mistake_in(upstream='weights = { "http://127.0.0.1:300" = 2 }') == (
        'groups.web.upstreams.app.weights."http://127.0.0.1:300": unknown target "http://127.0.0.1:300"; '
        f'{targets}; did you mean "http://127.0.0.1:3001"?'
    )


def test_target_is_listed_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        GroupSnapshot(upstreams={"app": UpstreamSettings(targets=("http://a", "http://b", "http://a"))})
    assert str(caught.value) == (
        'upstreams.app.targets[2]: expected a target not listed before; weights give it more, got "http://a"'
    )
