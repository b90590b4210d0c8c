"""Tables whose own rules hold wherever they stand in a file."""

from __future__ import annotations

from typing import Any

import pytest

from tunnel.domain.configuration import decode_client_settings, decode_server_settings
from tunnel.domain.configuration.client import check_client_succession
from tunnel.domain.configuration.upstream_tls import (
    UpstreamTlsSettings,
    accepts_any_certificate,
    check_upstream_tls,
)
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings

SERVER: dict[str, Any] = {"transports": {"memory": {"name": "m"}}}
CLIENT: dict[str, Any] = {"group": "web", "token": "t", "servers": ["memory://m"]}
NO_FILE = {"certificate": "", "key": "k"}
TCP = {"targets": ["tcp://a.test:22"]}
HTTP = {"targets": ["http://a.test"]}


def mistake_of_a_server(table: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        decode_server_settings({**SERVER, **table})
    return str(caught.value)


def mistake_of_a_client(table: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        decode_client_settings({**CLIENT, **table})
    return str(caught.value)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"transports": {"grpc": {"listen": "127.0.0.1:1", "tls": NO_FILE}}}, "transports.grpc.tls.certificate"),
        ({"ingress": {"http": {"listen": "127.0.0.1:1", "tls": NO_FILE}}}, "ingress.http.tls.certificate"),
        ({"ingress": {"grpc": {"listen": "127.0.0.1:1", "tls": NO_FILE}}}, "ingress.grpc.tls.certificate"),
        ({"admin": {"listen": "127.0.0.1:1", "tls": NO_FILE}}, "admin.tls.certificate"),
        ({"access_log": {"path": ""}}, "access_log.path"),
        ({"access_log": {"path": "a\0b"}}, "access_log.path"),
        ({"groups": {"": {}}}, 'groups.""'),
        ({"groups": {"claim:x": {}}}, 'groups."claim:x"'),
        (
            {"groups": {"web": {"upstreams": {"app": HTTP}, "rules": [{"upstream": "app", "path": "x"}]}}},
            "groups.web.rules[0].path",
        ),
        (
            {"forward": {"upstreams": {"app": HTTP}, "rules": [{"upstream": "app", "path": "x"}]}},
            "forward.rules[0].path",
        ),
        # TCP listeners ask no rule: one for them would never be met.
        ({"groups": {"web": {}}, "rules": [{"group": "web", "protocol": "tcp"}]}, "rules[0].protocol"),
        (
            {"groups": {"web": {"upstreams": {"app": HTTP}, "rules": [{"upstream": "app", "protocol": "tcp"}]}}},
            "groups.web.rules[0].protocol",
        ),
    ],
)
def test_each_table_of_a_server_is_checked_where_it_stands(table: dict[str, Any], key: str) -> None:
    assert mistake_of_a_server(table).startswith(f"{key}: expected")


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"entry": {"http": {"listen": "127.0.0.1:1", "tls": NO_FILE}}}, "entry.http.tls.certificate"),
        ({"entry": {"grpc": {"listen": "127.0.0.1:1", "tls": NO_FILE}}}, "entry.grpc.tls.certificate"),
        ({"admin": {"listen": "127.0.0.1:1", "tls": NO_FILE}}, "admin.tls.certificate"),
        ({"proxy": "ftp://proxy.test"}, "proxy"),
        ({"tls": {"ca": ""}}, "tls.ca"),
    ],
)
def test_each_table_of_a_client_is_checked_where_it_stands(table: dict[str, Any], key: str) -> None:
    assert mistake_of_a_client(table).startswith(f"{key}: expected")


def test_access_log_goes_to_a_file_or_to_standard_error() -> None:
    for path in ("-", "access.log", "/var/log/a b"):
        log = decode_server_settings({**SERVER, "access_log": {"path": path, "format": "json"}}).access_log
        assert log is not None
        assert (log.path, log.format, log.sample) == (path, "json", 1)


@pytest.mark.parametrize("word", ["x", "rfc7239"])
def test_word_of_a_few_is_kept(word: str) -> None:
    http = decode_server_settings(
        {**SERVER, "ingress": {"http": {"listen": "a.test:1", "forwarded": word}}}
    ).ingress.http
    assert http is not None
    assert http.forwarded == word


def test_null_is_no_value_of_a_predicate() -> None:
    rule = {"group": "web", "headers": {"x-env": None}}
    expected = "rules[0].headers.x-env: expected a string or a table, got null"
    assert mistake_of_a_server({"groups": {"web": {}}, "rules": [rule]}) == expected


def test_forward_rule_of_tcp_needs_nothing_but_an_upstream_and_groups() -> None:
    forward = {"upstreams": {"ssh": TCP}, "rules": [{"protocol": "tcp", "upstream": "ssh", "groups": ["web"]}]}
    settings = decode_server_settings({**SERVER, "groups": {"web": {}}, "forward": forward})
    assert [rule.upstream for rule in settings.forward.rules] == ["ssh"]


def test_two_tcp_listeners_of_one_name_are_told_by_that_name() -> None:
    entries = [
        {"listen": "127.0.0.1:1", "upstream": "ssh"},
        {"listen": "127.0.0.1:2", "upstream": "other", "name": "ssh"},
    ]
    expected = "a name that no other TCP listener has; without one it is the upstream's"
    assert mistake_of_a_client({"entry": {"tcp": entries}}) == f'entry.tcp[1].name: expected {expected}, got "ssh"'


@pytest.mark.parametrize(
    ("listen", "direct"),
    [
        ("127.0.0.1:9080", "http://127.0.0.1:9081"),
        ("10.0.0.1:9080", "http://localhost:9080"),
        ("0.0.0.0:9080", "http://10.0.0.9:9080"),
        ("127.0.0.1:80", "unix:/run/app.sock"),
    ],
)
def test_entry_may_lead_to_another_address_of_its_machine(listen: str, direct: str) -> None:
    http = decode_client_settings({**CLIENT, "entry": {"http": {"listen": listen, "direct": direct}}}).entry.http
    assert http is not None
    assert http.direct == direct


@pytest.mark.parametrize(
    "direct", ["http://127.0.0.1:9080", "http://localhost:9080", "http://[::1]:9080", "http://[::]:9080"]
)
def test_entry_on_every_address_does_not_lead_to_this_machine(direct: str) -> None:
    entry = {"http": {"listen": "0.0.0.0:9080", "direct": direct}}
    assert mistake_of_a_client({"entry": entry}).startswith("entry.http.direct: expected another address")


@pytest.mark.parametrize(("port", "taken"), [("0", False), ("1", True), ("65535", True), ("65536", False)])
def test_ports_of_permitted_targets_are_ports(port: str, taken: bool) -> None:
    table = {"allow_targets": [f"*.internal.test:{port}"]}
    if taken:
        assert decode_client_settings({**CLIENT, **table}).allow_targets == (f"*.internal.test:{port}",)
    else:
        assert mistake_of_a_client(table).startswith("allow_targets[0]: expected a port from 1 to 65535")


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (["grpcs://a.test:1"], True),
        (["memory://m", "wss://a.test"], True),
        (["grpc://127.0.0.1:1", "ws://[::1]:1", "memory://m"], False),
    ],
)
def test_client_knows_whether_it_dials_with_tls(servers: list[str], expected: bool) -> None:
    assert decode_client_settings({**CLIENT, "servers": servers}).servers_with_tls is expected


def with_entry(kind: str, **tls: str) -> dict[str, Any]:
    files = {"certificate": "c", "key": "k", **tls}
    return {**CLIENT, "entry": {kind: {"listen": "127.0.0.1:1", "tls": files}}}


def test_only_a_grpc_entry_decides_for_good_whether_it_asks_for_certificates() -> None:
    for kind in ("http", "grpc"):
        before = decode_client_settings(with_entry(kind))
        after = decode_client_settings(with_entry(kind, client_ca="ca"))
        if kind == "http":
            check_client_succession(before, after)
        else:
            with pytest.raises(ConfigurationError, match=r"^entry\.grpc\.tls\.client_ca: expected it to come or go"):
                check_client_succession(before, after)


@pytest.mark.parametrize(
    ("targets", "verify", "expected"),
    [
        (("https://a.test",), False, True),
        (("http://a.test", "https://b.test"), False, True),
        (("https://a.test",), True, False),
        (("http://a.test",), False, False),
    ],
)
def test_who_is_dialled_without_proof_is_told(targets: tuple[str, ...], verify: bool, expected: bool) -> None:
    assert accepts_any_certificate(targets, UpstreamTlsSettings(verify=verify)) is expected


@pytest.mark.parametrize("body", ["QUJD=QQ=", "QUJ", "="])
def test_certificates_of_an_upstream_are_whole(body: str) -> None:
    text = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    found = Findings()
    check_upstream_tls(UpstreamTlsSettings(ca=text), "tls", found)

    assert [str(each).startswith("tls.ca: expected certificates in PEM") for each in found.mistakes] == [True]


def test_grpc_targets_without_proof_are_refused_as_what_they_are() -> None:
    upstream = {"targets": ["grpcs://a.test:1"], "tls": {"verify": False}}
    expected = "tls.verify: expected true for grpcs: targets; gRPC always verifies, got false"
    message = mistake_of_a_server({"groups": {"web": {"upstreams": {"app": upstream}}}})
    assert message == f"groups.web.upstreams.app.{expected}"
