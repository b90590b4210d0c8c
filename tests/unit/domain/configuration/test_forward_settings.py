"""``[forward]`` of a server and ``[entry]`` of a client: what may be written there."""

from __future__ import annotations

import tomllib

import pytest

from tunnel.domain.configuration import OPERATORS_CHOICE, decode_client_settings, decode_server_settings
from tunnel.domain.errors import ConfigurationError

SERVER = """
[transports.memory]
name = "edge"
[groups.web]
[forward.upstreams.app]
targets = ["http://10.0.0.7:80"]
[forward.upstreams.ssh]
targets = ["tcp://10.0.0.8:22"]
"""

CLIENT = """
group = "web"
token = "t"
servers = ["memory://edge"]
[admin]
listen = "127.0.0.1:9000"
"""

# (forward rule, the whole message)
FORWARD = [
    ("", 'forward.rules[0]: missing the required key "upstream"'),
    (
        'upstream = "ap"',
        'forward.rules[0].upstream: unknown upstream "ap"; expected one of "app", "ssh"; did you mean "app"?',
    ),
    (
        'upstream = "app"\ngroup = "web"',
        'forward.rules[0].group: expected an "upstream"; "groups" names those whose clients may use the rule, '
        'got "web"',
    ),
    (
        'upstream = "app"\ngroups = ["wbe"]',
        'forward.rules[0].groups[0]: unknown group "wbe"; expected "web"; did you mean "web"?',
    ),
    (
        'upstream = "app"\nhost = "a b"',
        "forward.rules[0].host: expected labels of letters, digits, - and _, at most 63 each and 253 in all, joined by "
        "single dots",
    ),
    (
        'upstream = "ssh"',
        'forward.rules[0].protocol: expected "tcp", as the targets of that upstream are "tcp://"',
    ),
    (
        'upstream = "app"\nprotocol = "tcp"',
        'forward.rules[0].upstream: expected an upstream whose targets are "tcp://HOST:PORT", as "protocol" is '
        '"tcp", got "app"',
    ),
    (
        'upstream = "ssh"\nprotocol = "tcp"\nhost = "a.test"',
        "forward.rules[0].host: nothing is known of TCP but the upstream that an entry names, "
        'and "protocol" is "tcp"',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "message"), FORWARD)
def test_mistake_in_a_forward_rule_is_one_exact_line(rule: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode_server_settings(tomllib.loads(f"{SERVER}\n[[forward.rules]]\n{rule}"))
    assert str(caught.value) == message


def test_groups_are_of_forward_rules_alone() -> None:
    with pytest.raises(ConfigurationError, match=r"rules\[0\]\.groups: unknown key"):
        decode_server_settings(tomllib.loads(f'{SERVER}\n[[rules]]\ngroup = "web"\ngroups = ["web"]'))


def test_mistake_in_a_forward_upstream_names_it() -> None:
    with pytest.raises(ConfigurationError, match=r"^forward\.upstreams\.b\.targets: expected at least one target"):
        decode_server_settings(tomllib.loads(f"{SERVER}\n[forward.upstreams.b]\ntargets = []"))


def test_forward_rule_without_groups_is_for_nobody() -> None:
    settings = decode_server_settings(tomllib.loads(f'{SERVER}\n[[forward.rules]]\nupstream = "app"'))
    assert settings.forward.rules[0].groups == ()


# (entries, the whole message)
ENTRY = [
    ("[entry.http]", 'entry.http: missing the required key "listen"'),
    ('[entry.http]\nlisten = "x"', "entry.http.listen: "),
    ('[entry.http]\nlisten = "127.0.0.1:9000"', "admin.listen: expected an address that entry.http"),
    ('[entry.http]\nlisten = "127.0.0.1:1"\npublic_url = "http://a"', "entry.http.public_url: unknown key"),
    ('[entry.http]\nlisten = "127.0.0.1:1"\ntrusted_proxies = ["a"]', "entry.http.trusted_proxies[0]: "),
    ('[entry.grpc]\nlisten = "127.0.0.1:1"\nhost = "a b"', "entry.grpc.host: expected a host name without port"),
    ('[[entry.tcp]]\nlisten = "127.0.0.1:1"\nupstream = ""', "entry.tcp[0].upstream: "),
    (
        '[[entry.tcp]]\nlisten = "127.0.0.1:1"\nupstream = "a"\n[[entry.tcp]]\nlisten = "127.0.0.1:1"\nupstream = "b"',
        "entry.tcp[1].listen: expected an address that entry.tcp[0].listen does not use",
    ),
    (
        '[[entry.tcp]]\nlisten = "127.0.0.1:1"\nupstream = "a"\n[[entry.tcp]]\nlisten = "127.0.0.1:2"\nupstream = "a"',
        "entry.tcp[1].name: expected a name that no other TCP listener has",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("added", "message"), ENTRY)
def test_mistake_in_an_entry_names_the_key(added: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode_client_settings(tomllib.loads(CLIENT + added))
    assert str(caught.value).startswith(message)


def test_operators_choice_permits_every_target() -> None:
    for target in ("http://10.0.0.7", "unix:/run/app.sock", "tcp://db.internal.test:5432", "http://[::1]:80"):
        OPERATORS_CHOICE.check(target)
    assert OPERATORS_CHOICE.permits("db.internal.test", 5432, "10.0.0.7")


@pytest.mark.parametrize("target", ["asgi:shop.main:app", "wsgi:shop.main:make()", "app:shop"])
def test_forward_upstream_may_be_in_the_servers_process(target: str) -> None:
    settings = decode_server_settings(tomllib.loads(SERVER.replace("http://10.0.0.7:80", target)))
    assert settings.forward.upstreams["app"].targets == (target,)
    OPERATORS_CHOICE.check(target)


def test_application_of_a_forward_upstream_that_is_malformed_names_the_key() -> None:
    with pytest.raises(ConfigurationError, match="a module and an attribute") as caught:
        decode_server_settings(tomllib.loads(SERVER.replace("http://10.0.0.7:80", "asgi:shop")))
    assert caught.value.key_path == "forward.upstreams.app.targets[0]"
