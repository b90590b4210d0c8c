"""The ``ejection`` tables of groups and upstreams."""

from __future__ import annotations

from typing import Any

import pytest

from tunnel.domain.configuration import EjectionSettings, GroupSnapshot, ServerSettings, decode_server_settings
from tunnel.domain.errors import ConfigurationError

EJECTION = {"after_failures": 0, "base_s": 1.5, "max_s": 3600, "slow_return_s": 0, "max_ejected_percent": 100}


def server(*, group: dict[str, Any] | None = None, upstream: dict[str, Any] | None = None) -> ServerSettings:
    targets = {"targets": ["http://127.0.0.1:3000"]}
    app = targets if upstream is None else {**targets, "ejection": upstream}
    web: dict[str, Any] = {"upstreams": {"app": app}}
    if group is not None:
        web["ejection"] = group
    return decode_server_settings({"transports": {"memory": {"name": "edge"}}, "groups": {"web": web}})


def test_defaults() -> None:
    web = server().groups["web"]
    assert web.ejection == web.upstreams["app"].ejection == EjectionSettings()
    assert EjectionSettings() == EjectionSettings(
        after_failures=5, base_s=10, max_s=300, slow_return_s=10, max_ejected_percent=50, statuses=()
    )


def test_groups_and_upstreams_each_have_their_own() -> None:
    web = server(group=EJECTION, upstream={"statuses": [502, 503]}).groups["web"]
    assert web.ejection == EjectionSettings(**EJECTION)
    assert web.upstreams["app"].ejection == EjectionSettings(statuses=(502, 503))


def test_ejection_of_upstreams_is_shipped_and_that_of_groups_is_not() -> None:
    snapshot = GroupSnapshot.of(server(group=EJECTION, upstream={"statuses": [502, 503]}).groups["web"])
    assert GroupSnapshot.decode(snapshot.encode()) == snapshot
    assert snapshot.hash == GroupSnapshot.of(server(upstream={"statuses": [502, 503]}).groups["web"]).hash
    assert snapshot.hash != GroupSnapshot.of(server().groups["web"]).hash


@pytest.mark.parametrize(
    ("ejection", "message"),
    [
        ({"after_failures": -1}, "ejection.after_failures: expected an integer from 0 to 1000000, got -1"),
        ({"base_s": 0}, "ejection.base_s: expected a number from 0.1 to 3600, got 0"),
        ({"max_ejected_percent": 101}, "ejection.max_ejected_percent: expected an integer from 0 to 100, got 101"),
        ({"statuses": [503, 200]}, "ejection.statuses[1]: expected an integer from 400 to 599, got 200"),
        ({"base_s": 20, "max_s": 10}, "ejection.max_s: expected at least base_s (20), got 10.0"),
        ({"failures": 3}, "ejection.failures: unknown key"),
    ],
)
@pytest.mark.parametrize("where", ["group", "upstream"])
def test_mistakes_name_their_key(where: str, ejection: dict[str, Any], message: str) -> None:
    prefix = {"group": "groups.web.", "upstream": "groups.web.upstreams.app."}[where]
    with pytest.raises(ConfigurationError) as caught:
        server(**{where: ejection})
    assert str(caught.value).startswith(prefix + message)
