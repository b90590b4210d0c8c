"""``[claim]`` of a client and ``[claims]`` of a server."""

from __future__ import annotations

from typing import Any

import pytest

from tunnel.domain.claims.claim import Claim
from tunnel.domain.configuration import (
    ClaimSettings,
    ClaimsSettings,
    GroupSettings,
    GroupSnapshot,
    UpstreamSettings,
    decode_client_settings,
    decode_server_settings,
)
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule

HTTP = {"targets": ["http://127.0.0.1:3000"]}
TCP = {"targets": ["tcp://127.0.0.1:22"]}


def client(**changes: Any) -> Any:
    table = {"servers": ["memory://m"], "token": "t", "claim": {}, "upstreams": {"app": HTTP}, **changes}
    return decode_client_settings({key: value for key, value in table.items() if value is not None})


def server(**changes: Any) -> Any:
    return decode_server_settings({"transports": {"memory": {"name": "m"}}, **changes})


def test_claim_stands_in_the_place_of_a_group() -> None:
    settings = client(claim={"host": "Demo.test", "path_prefix": "/api/"})

    assert settings.group is None
    assert settings.claim == ClaimSettings(host="Demo.test", path_prefix="/api/")
    assert settings.claim.claim() == Claim("demo.test", "/api")
    assert client().claim.claim() == Claim()


def test_upstream_is_the_only_one_or_named() -> None:
    two = {"app": HTTP, "other": HTTP}

    assert client().claim.served_by(client().upstreams) == "app"
    named = client(claim={"upstream": "other"}, upstreams=two)
    assert named.claim.served_by(named.upstreams) == "other"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": "web"}, 'claim: expected either "group" or [claim], not both'),
        ({"claim": None}, 'missing the required key "group", or the table [claim] in its place'),
        ({"claim": {"host": "*.test"}}, "claim.host: expected a host name, without wildcard and no IPv6 address"),
        ({"claim": {"path_prefix": "x"}}, "claim.path_prefix: expected a path that starts with /"),
        ({"claim": {"hosts": "x"}}, 'claim.hosts: unknown key; expected one of "host", "path_prefix", "upstream"; '
         'did you mean "host"?'),
        ({"claim": {"upstream": "db"}}, 'claim.upstream: unknown upstream "db"; expected "app"'),
        ({"claim": {"upstream": "api"}, "upstreams": {}},
         'claim.upstream: unknown upstream "api"; there is none; add [upstreams.NAME]'),
        ({"upstreams": {}},
         "claim.upstream: expected the name of one of [upstreams.NAME], or exactly one of these and no such key"),
        ({"upstreams": {"a": HTTP, "b": HTTP}},
         "claim.upstream: expected the name of one of [upstreams.NAME], or exactly one of these and no such key"),
        ({"upstreams": {"ssh": TCP}},
         "claim.upstream: expected an upstream of HTTP or gRPC; TCP has no hosts that could be claimed"),
    ],
)  # fmt: skip
def test_mistake_of_a_client_names_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(**changes)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claims": {"max_claims": -1}}, "claims.max_claims: expected an integer from 0 to 1000000, got -1"),
        ({"claims": {"wait_for_client_s": 4000}},
         "claims.wait_for_client_s: expected a number from 0 to 3600, got 4000"),
        ({"claims": {"hash_on": "body"}}, None),
        ({"claims": {"balance": "best"}}, None),
        ({"groups": {"claim:x": {}}},
         'groups."claim:x": expected a name that does not begin with "claim:", as those of claims do, got "claim:x"'),
    ],
)  # fmt: skip
def test_mistake_of_a_server_names_its_key(changes: dict[str, Any], message: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        server(**changes)

    assert caught.value.key_path == next(iter(changes)) + "." + caught.value.key_path.partition(".")[2]
    if message is not None:
        assert str(caught.value) == message


def test_group_of_a_claim_has_neither_rules_nor_upstreams() -> None:
    settings = ClaimsSettings(balance="round_robin", wait_for_client_s=1, max_waiting=2)

    assert settings.group() == GroupSettings(balance="round_robin", wait_for_client_s=1, max_waiting=2)
    assert server().claims == ClaimsSettings()


def test_whatever_a_server_sends_everything_goes_to_the_client_s_own_upstream() -> None:
    settings = client(claim={"upstream": "other"}, upstreams={"app": HTTP, "other": HTTP})
    pushed = GroupSnapshot(
        rules=(Rule(path_prefix="/", upstream="evil"),),
        upstreams={"evil": UpstreamSettings(targets=("http://127.0.0.1:22",))},
    )

    applied = settings.policy().applied_to(pushed)

    assert applied.rules == (Rule(path_prefix="/", upstream="other"),)
    assert dict(applied.upstreams) == {"other": settings.upstreams["other"]}
    assert settings.policy().unused_by(pushed) == ["app"]
