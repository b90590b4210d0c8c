"""``[[ingress.tcp]]`` and the upstreams it leads to: what is taken, and how mistakes are told."""

from __future__ import annotations

import tomllib

import pytest

from tunnel.domain.configuration import (
    ClientPolicy,
    GroupSnapshot,
    ServerSettings,
    TargetUrl,
    TcpIngressSettings,
    UpstreamSettings,
    decode_server_settings,
    parse_target,
)
from tunnel.domain.errors import ConfigurationError

COMPLETE = """
[transports.memory]
name = "edge"

[[ingress.tcp]]
listen = "127.0.0.1:8022"
group = "web"
upstream = "ssh"

[groups.web.upstreams.ssh]
targets = ["tcp://127.0.0.1:22", "tcp://[::1]:22"]

[groups.web.upstreams.app]
targets = ["http://127.0.0.1:3000"]
"""
SECOND = '[[ingress.tcp]]\nlisten = "127.0.0.1:8023"\ngroup = "web"\nupstream = "ssh"\n'


def decode(text: str) -> ServerSettings:
    return decode_server_settings(tomllib.loads(text))


def mistake_in(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        decode(text)
    return str(caught.value)


def test_listener_is_called_as_its_upstream_unless_it_has_a_name() -> None:
    settings = decode(COMPLETE + SECOND + 'name = "inside"\nmax_connections = 5\n')

    assert settings.ingress.tcp == (
        TcpIngressSettings(listen="127.0.0.1:8022", group="web", upstream="ssh"),
        TcpIngressSettings(listen="127.0.0.1:8023", group="web", upstream="ssh", name="inside", max_connections=5),
    )
    assert [each.entrance for each in settings.ingress.tcp] == ["tcp-ssh", "tcp-inside"]


def test_upstream_that_only_tcp_uses_is_shipped() -> None:
    snapshot = GroupSnapshot.of(decode(COMPLETE).groups["web"])

    assert GroupSnapshot.decode(snapshot.encode()).upstreams["ssh"].tcp


def test_target_is_a_host_and_a_port() -> None:
    assert parse_target("tcp://db.internal.test:5432") == TargetUrl("tcp", "db.internal.test", 5432)
    assert parse_target("tcp://[::1]:22").authority == "[::1]:22"


@pytest.mark.parametrize(
    "target", ["tcp://127.0.0.1", "tcp://127.0.0.1:22/", "tcp://a:1?x", "tcp://a:1#x", "tcp://a:0"]
)
def test_target_without_a_port_or_with_more_is_a_mistake(target: str) -> None:
    assert "groups.web.upstreams.ssh.targets[0]: expected" in mistake_in(COMPLETE.replace("tcp://127.0.0.1:22", target))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('group = "web"', 'group = "wbe"'), 'ingress.tcp[0].group: unknown group "wbe"; expected "web"; did you mean'),
        (('upstream = "ssh"', 'upstream = "shs"'), 'ingress.tcp[0].upstream: unknown upstream "shs"; expected one of'),
        (
            ('upstream = "ssh"', 'upstream = "app"'),
            'ingress.tcp[0].upstream: expected an upstream whose targets are "tcp://HOST:PORT", got "app"',
        ),
        (('listen = "127.0.0.1:8022"', 'listen = "8022"'), "ingress.tcp[0].listen: expected an address"),
        (('upstream = "ssh"', 'upstream = "ssh"\nname = ""'), "ingress.tcp[0].name: expected a name"),
        (('upstream = "ssh"', 'upstream = "ssh"\nmax_connections = 0'), "ingress.tcp[0].max_connections: expected"),
        (
            ('"tcp://[::1]:22"', '"http://[::1]:22"'),
            'groups.web.upstreams.ssh.targets[1]: expected either "tcp://" for all targets or for none',
        ),
        (
            ('"tcp://[::1]:22"', '"TCP://[::1]:22"'),
            "groups.web.upstreams.ssh.targets[1]: expected a scheme in lower case",
        ),
    ],
)
def test_mistake_names_its_key(change: tuple[str, str], message: str) -> None:
    assert mistake_in(COMPLETE.replace(*change, 1)).startswith(message)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (
            SECOND,
            "ingress.tcp[1].name: expected a name that no other TCP listener has; without one it is the upstream's",
        ),
        (
            SECOND.replace("8023", "8022") + 'name = "other"\n',
            "ingress.tcp[1].listen: expected an address that ingress.tcp[0].listen does not",
        ),
        (
            '[[groups.web.rules]]\npath_prefix = "/"\nupstream = "ssh"\n',
            "groups.web.rules[0].upstream: expected an upstream that speaks HTTP",
        ),
        (
            "[groups.web.upstreams.ssh.ejection]\nstatuses = [502]\n",
            "groups.web.upstreams.ssh.ejection.statuses: TCP has",
        ),
        ("[groups.web.upstreams.ssh.tls]\nverify = false\n", "groups.web.upstreams.ssh.tls: this is of HTTP"),
    ],
)
def test_contradiction_names_its_key(added: str, message: str) -> None:
    assert mistake_in(COMPLETE + added).startswith(message)


@pytest.mark.parametrize("line", ['host_header = "target"', "first_byte_timeout_s = 1"])
def test_setting_of_http_is_a_mistake(line: str) -> None:
    changed = COMPLETE.replace('"tcp://[::1]:22"]', f'"tcp://[::1]:22"]\n{line}')
    key = line.partition(" ")[0]
    assert mistake_in(changed) == f'groups.web.upstreams.ssh.{key}: this is of HTTP, and the targets are "tcp://"'


def test_key_that_tcp_does_not_have_is_a_mistake() -> None:
    line = 'balance = "consistent_hash"\nhash_on = "cookie:id"'
    changed = COMPLETE.replace('"tcp://[::1]:22"]', f'"tcp://[::1]:22"]\n{line}')
    assert mistake_in(changed).startswith('groups.web.upstreams.ssh.hash_on: expected "address"')


@pytest.mark.parametrize(
    ("own", "expected"), [("http://127.0.0.1:1", "TCP targets"), ("tcp://127.0.0.1:1", "HTTP targets")]
)
def test_own_upstream_speaks_what_the_one_it_replaces_does(own: str, expected: str) -> None:
    name = "ssh" if own.startswith("http") else "app"
    policy = ClientPolicy(["127.0.0.0/8", "[::1]"], {name: UpstreamSettings(targets=(own,))})

    with pytest.raises(ConfigurationError, match=rf"upstreams\.{name}\.targets: expected {expected}"):
        policy.applied_to(GroupSnapshot.of(decode(COMPLETE).groups["web"]))


def test_own_tcp_upstream_takes_the_place_of_another() -> None:
    own = UpstreamSettings(targets=("tcp://10.0.0.1:22",))
    policy = ClientPolicy(["127.0.0.0/8", "[::1]"], {"ssh": own})

    applied = policy.applied_to(GroupSnapshot.of(decode(COMPLETE).groups["web"]))

    assert applied.upstreams["ssh"] is own
    assert policy.of(own).permits("10.0.0.1", 22, "10.0.0.1")
    assert not policy.of(own).permits("10.0.0.1", 23, "10.0.0.1")
