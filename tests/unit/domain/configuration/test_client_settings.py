"""Client settings: what loads, the exact line each mistake gives, and that the token is never seen."""

from __future__ import annotations

import pickle
import tomllib

import pytest

from tunnel.domain.configuration import ClientSettings, Secret, ServerUrl, decode_client_settings, parse_server_url
from tunnel.domain.errors import ConfigurationError

COMPLETE = """
client_id = "laptop-1"
group = "web"
token_env = "TUNNEL_TOKEN"
servers = ["grpc://127.0.0.1:7000", "ws://127.0.0.1:7001"]
allow_targets = ["127.0.0.0/8", "*.internal.test:443"]
"""
SERVER = 'expected a URL such as "grpc://127.0.0.1:7000", "ws://127.0.0.1:7001" or "memory://NAME"'
HOST_AND_PORT = SERVER.replace("expected", "expected a host and a port,")
IN_CLEAR = 'or "insecure = true": the token would travel in clear'
CREDENTIAL = 'expected exactly one of "token", "token_env" and "token_file"'


def decode(text: str) -> ClientSettings:
    return decode_client_settings(tomllib.loads(text))


def mistake_in(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        decode(text)
    return str(caught.value)


def test_complete_example_loads() -> None:
    settings = decode(COMPLETE)
    assert settings.client_id == "laptop-1"
    assert settings.servers == ("grpc://127.0.0.1:7000", "ws://127.0.0.1:7001")
    assert settings.token is None
    assert settings.policy().union.permits("api.internal.test", 443, "10.0.0.1")


def test_default_policy_is_loopback_only() -> None:
    settings = decode('group = "web"\ntoken = "t"\nservers = ["memory://edge"]')
    assert settings.client_id is None
    assert settings.allow_targets == ("127.0.0.0/8", "[::1]")


def test_one_url_given_as_text_is_told_as_one_mistake() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ClientSettings(group="web", token=Secret("t"), servers="grpc://127.0.0.1:7000")  # type: ignore[arg-type]
    assert str(caught.value) == 'servers: expected a sequence of URLs, got "grpc://127.0.0.1:7000"'


MISTAKES = [
    ('group = "web"', "", 'missing the required key "group", or the table [claim] in its place'),
    ('group = "web"', 'group = ""', 'group: expected a name of 1 to 128 printable characters, got ""'),
    ('"laptop-1"', '"a\\nb"', 'client_id: expected a name of 1 to 128 printable characters, got "a\\nb"'),
    ("servers =", "server =", 'server: unknown key; expected one of "admin", "allow_targets", "claim", "client_id", '
     '"entry", "fallback", '
     '"group", "insecure", "limits", "proxy", "servers", "tls", "token", "token_env", "token_file", "upstreams"; '
     'did you mean "servers"?'),
    ('["grpc://127.0.0.1:7000", "ws://127.0.0.1:7001"]', "[]", 'servers: expected at least one URL such as '
     '"grpc://127.0.0.1:7000", got an empty list'),
    ('["grpc://127.0.0.1:7000", "ws://127.0.0.1:7001"]', '"grpc://a:1"', 'servers: expected a list, got "grpc://a:1"'),
    ("ws://127.0.0.1:7001", "127.0.0.1:7001", f'servers[1]: {SERVER}, got "127.0.0.1:7001"; '
     'did you mean "grpc://127.0.0.1:7001"?'),
    ("ws://127.0.0.1:7001", "http://127.0.0.1:7001", f'servers[1]: {SERVER}, got "http://127.0.0.1:7001"; '
     'did you mean "ws://127.0.0.1:7001"?'),
    ("grpc://127.0.0.1:7000", "grpc://edge", f'servers[0]: {HOST_AND_PORT}, got "grpc://edge"'),
    ("grpc://127.0.0.1:7000", "grpc://:7000", f'servers[0]: {HOST_AND_PORT}, got "grpc://:7000"'),
    ("grpc://127.0.0.1:7000", "grpc://edge:99999", f'servers[0]: {SERVER}, got "grpc://edge:99999"'),
    ("grpc://127.0.0.1:7000", "grpc://edge:1/x", "servers[0]: expected a URL without query and fragment, and with a "
     'path for ws:// and wss:// only, got "grpc://edge:1/x"'),
    ("grpc://127.0.0.1:7000", "memory://", f'servers[0]: {SERVER}, got "memory://"'),
    ("grpc://127.0.0.1:7000", "grpc://secret@edge:1", f"servers[0]: {SERVER}, without user name and password"),
    ("grpc://127.0.0.1:7000", "grpcs://edge", f'servers[0]: {HOST_AND_PORT}, got "grpcs://edge"'),
    ("grpc://127.0.0.1:7000", "grpc://edge:1", f'servers[0]: expected "grpcs://", {IN_CLEAR}, got "grpc://edge:1"'),
    ("ws://127.0.0.1:7001", "ws://edge", f'servers[1]: expected "wss://", {IN_CLEAR}, got "ws://edge"'),
    ('token_env = "TUNNEL_TOKEN"', "", f"{CREDENTIAL}, got none of them"),
    ('token_env = "TUNNEL_TOKEN"', 'token = "tnl_hush"\ntoken_file = "f"', f'token_file: {CREDENTIAL}, got "token" and '
     '"token_file"'),
    ('token_env = "TUNNEL_TOKEN"', 'token_env = ""', "token_env: expected a value that is not empty"),
    ('token_env = "TUNNEL_TOKEN"', 'token = ""', "token: expected a value that is not empty"),
    ('token_env = "TUNNEL_TOKEN"', "token = 123456", "token: expected a string"),
    ('token_env = "TUNNEL_TOKEN"', 'token = ["tnl_hush"]', "token: expected a string"),
    ("127.0.0.0/8", "127.0.0.1/8", 'allow_targets[0]: expected a network, address, host or "*.suffix" with an optional '
     'port, or "unix:/PATH", such as "127.0.0.0/8" or "*.internal.test:443", got "127.0.0.1/8"; did you mean '
     '"127.0.0.0/8"?'),
    ("test:443", "test:0", 'allow_targets[1]: expected a port from 1 to 65535, got "*.internal.test:0"'),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES)
def test_mistake_is_one_exact_line(right: str, wrong: str, message: str) -> None:
    assert right in COMPLETE
    assert mistake_in(COMPLETE.replace(right, wrong, 1)) == message


PLANNED = [
    ("links = 1", "links"),
    ('[upstreams.app]\ntargets = ["http://a"]\nhealth = {}', "upstreams.app.health"),
]


@pytest.mark.parametrize(("added", "path"), PLANNED)
def test_key_of_a_later_version_says_so(added: str, path: str) -> None:
    assert mistake_in(COMPLETE + added) == f"{path}: this key is not built yet in this version"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("grpc://127.0.0.1:7000", ServerUrl("grpc", "127.0.0.1", 7000)),
        ("grpc://[::1]:7000", ServerUrl("grpc", "::1", 7000)),
        ("ws://edge.test", ServerUrl("ws", "edge.test", 80, "/")),
        ("ws://Edge.test:81/tunnel", ServerUrl("ws", "edge.test", 81, "/tunnel")),
        ("grpcs://edge.test:7000", ServerUrl("grpcs", "edge.test", 7000)),
        ("wss://edge.test", ServerUrl("wss", "edge.test", 443, "/")),
        ("wss://edge.test:81/tunnel", ServerUrl("wss", "edge.test", 81, "/tunnel")),
        ("memory://Edge One".replace(" ", "_"), ServerUrl("memory", "Edge_One")),
    ],
)
def test_server_urls_are_taken_apart(url: str, expected: ServerUrl) -> None:
    assert parse_server_url(url) == expected


def test_token_is_never_shown() -> None:
    for settings in (
        decode(COMPLETE.replace('token_env = "TUNNEL_TOKEN"', 'token = "tnl_hush"')),
        ClientSettings(group="web", servers=("memory://m",), token="tnl_hush"),  # type: ignore[arg-type]
    ):
        assert isinstance(settings.token, Secret)
        assert settings.token.reveal() == "tnl_hush"
        assert "hush" not in repr(settings)
        assert "hush" not in f"{settings} {settings.token} {settings.token:>20} {settings.token!r}"
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(settings)


def test_equal_secrets_are_equal() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")


def test_secret_compares_with_secrets_only_and_shows_stars() -> None:
    assert Secret("a").__eq__("a") is NotImplemented
    assert (str(Secret("a")), repr(Secret("a")), f"{Secret('a'):>5}") == ("***", "Secret('***')", "  ***")


def test_proxy_given_as_text_becomes_a_secret() -> None:
    settings = ClientSettings(group="web", servers=("memory://m",), token=Secret("t"), proxy="http://me:hush@p.test:1")  # type: ignore[arg-type]
    assert settings.proxy == Secret("http://me:hush@p.test:1")
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("wrong", ["group = 1", 'group = ""', "servers = []", 'allow_targets = ["!"]'])
def test_errors_elsewhere_do_not_show_the_token(wrong: str) -> None:
    lines = {"group": 'group = "web"', "servers": 'servers = ["memory://m"]', "token": 'token = "tnl_hush"'}
    lines[wrong.partition(" ")[0]] = wrong
    assert "hush" not in mistake_in("\n".join(lines.values()))


def mistakes_in(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        decode_client_settings(tomllib.loads(text))
    return [each.key_path for each in caught.value.mistakes]


def test_proxy_is_judged_by_every_server_that_is_one() -> None:
    servers = '["grpc://edge.test:7000", "grpcs://edge.test:7000"]'

    assert mistakes_in(f'group = "web"\ntoken = "t"\nproxy = "socks5://proxy.test"\nservers = {servers}') == [
        "proxy",
        "servers[0]",
    ]


def test_token_that_is_no_text_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode_client_settings({"group": "web", "token": "\udcff", "servers": ["grpc://127.0.0.1:7000"]})

    assert str(caught.value) == "token: expected text that can be written in UTF-8"
