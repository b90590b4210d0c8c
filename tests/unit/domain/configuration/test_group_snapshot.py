"""The snapshot of a group: one encoding, and nothing accepted that could not be followed."""

from __future__ import annotations

import hashlib
import json

import pytest

from tunnel.domain.configuration import GroupSettings, GroupSnapshot, UpstreamSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule, ValueMatch

GROUP = GroupSettings(
    wait_for_client_s=2.0,
    rules=(Rule(path_prefix="/", upstream="app"), Rule(host="a.test", upstream="other")),
    upstreams={
        "app": UpstreamSettings(targets=("http://127.0.0.1:3000",)),
        "other": UpstreamSettings(targets=("unix:/run/é.sock",), first_byte_timeout_s=1.5, host_header="target"),
    },
)


def test_decode_undoes_encode() -> None:
    snapshot = GroupSnapshot.of(GROUP)
    assert GroupSnapshot.decode(snapshot.encode()) == snapshot


def test_predicates_come_through() -> None:
    rule = Rule(
        methods=("GET",),
        headers={"x-env": "blue", "x.y": ValueMatch(present=True)},
        query={"a b": ValueMatch(regex="[0-9]+"), "é": ""},
        protocol="websocket",
        upstream="app",
    )
    rules = (rule, Rule(service="shop.Orders", method="Get", upstream="app"), Rule(path_regex="/a.*", upstream="app"))
    snapshot = GroupSnapshot(rules=rules, upstreams=GROUP.upstreams)
    assert GroupSnapshot.decode(snapshot.encode()) == snapshot


def test_encoding_does_not_depend_on_the_order_of_tables() -> None:
    snapshot = GroupSnapshot.of(GROUP)
    turned = GroupSnapshot(rules=GROUP.rules, upstreams=dict(reversed(GROUP.upstreams.items())))
    assert turned.encode() == snapshot.encode()
    assert turned.hash == snapshot.hash == hashlib.sha256(snapshot.encode()).hexdigest()


def test_order_of_rules_counts() -> None:
    turned = GroupSnapshot(rules=GROUP.rules[::-1], upstreams=GROUP.upstreams)
    assert turned.hash != GroupSnapshot.of(GROUP).hash


EJECTION = (
    b'{"after_failures":5,"base_s":10.0,"max_ejected_percent":50,"max_s":300.0,"slow_return_s":10.0,"statuses":[]}'
)


def test_encoding_is_stable() -> None:
    assert GroupSnapshot.of(GROUP).encode() == (
        b'{"rules":[{"path_prefix":"/","upstream":"app"},{"host":"a.test","upstream":"other"}],"upstreams":{'
        b'"app":{"balance":"power_of_two","connect_timeout_s":5.0,"ejection":' + EJECTION + b',"hash_on":"address",'
        b'"keepalive_s":4.0,"max_connections":1000,"targets":["http://127.0.0.1:3000"],"tls":{"verify":true},"weights":{}},'
        b'"other":{"balance":"power_of_two","connect_timeout_s":5.0,"ejection":' + EJECTION + b","
        b'"first_byte_timeout_s":1.5,"hash_on":"address","host_header":"target",'
        b'"keepalive_s":4.0,"max_connections":1000,"targets":["unix:/run/\xc3\xa9.sock"],"tls":{"verify":true},"weights":{}}}}'
    )


def test_whole_numbers_of_another_encoder_are_numbers_too() -> None:
    table = json.loads(GroupSnapshot.of(GROUP).encode())
    table["upstreams"]["app"]["keepalive_s"] = 4
    assert GroupSnapshot.decode(json.dumps(table).encode()) == GroupSnapshot.of(GROUP)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (b"", "expected a snapshot in JSON: JSONDecodeError"),
        (b"\xff\xfe\xff", "expected a snapshot in JSON: UnicodeDecodeError"),
        (b"[" * 100_000, "expected a snapshot in JSON: RecursionError"),
        (b"[]", "expected a table, got an empty list"),
        (b'{"rules":[{"upstream":"app"}]}', 'rules[0].upstream: unknown upstream "app"; there is none; add '
         "[groups.NAME.upstreams.NAME]"),
        (b'{"upstreams":{"app":{"targets":["ftp://a"]}}}', "upstreams.app.targets[0]: expected a URL such as "
         '"http://127.0.0.1:3000", got "ftp://a"'),
        (b'{"upstreams":{"app":{"targets":["http://a"],"retries":1}}}', "upstreams.app.retries: unknown key; expected "
         'one of "balance", "connect_timeout_s", "ejection", "first_byte_timeout_s", "hash_on", "host_header", '
         '"keepalive_s", "max_connections", "max_message_bytes", "targets", "tls", "weights"'),
    ],
)  # fmt: skip
def test_snapshot_that_cannot_be_followed_is_refused(encoded: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        GroupSnapshot.decode(encoded)
    assert str(caught.value) == message
