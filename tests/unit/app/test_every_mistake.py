"""Several mistakes in one file: all are told, each as if it were alone, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tunnel.app.settings import load_client_settings, server_source
from tunnel.domain.errors import ConfigurationError

GONE: Final = object()

SERVER: Final[dict[str, Any]] = {
    "transports": {
        "grpc": {"listen": "127.0.0.1:7000"},
        "websocket": {"listen": "127.0.0.1:7001"},
        "memory": {"name": "edge"},
    },
    "ingress": {
        "http": {"listen": "127.0.0.1:8080", "trusted_proxies": ["10.0.0.0/8"]},
        "grpc": {"listen": "127.0.0.1:8081"},
        "tcp": [
            {"listen": "127.0.0.1:8022", "group": "web", "upstream": "ssh"},
            {"listen": "127.0.0.1:8023", "group": "web", "upstream": "ssh", "name": "second"},
        ],
    },
    "auth": {"tokens": {"laptop": {"sha256": "a" * 64, "groups": ["web"], "hosts": ["*.laptop.test"]}}},
    "middleware": {"limit": {"use": "rate_limit", "requests": 5}, "plain": {"use": "headers"}},
    "rules": [
        {"host": "app.test", "path_prefix": "/a", "group": "web", "middleware": ["plain"]},
        {"host": "other.test", "path": "/b", "group": "api"},
    ],
    "groups": {
        "web": {
            "wait_for_client_s": 2,
            "rules": [{"path_prefix": "/", "upstream": "app", "methods": ["GET"]}],
            "upstreams": {
                "app": {"targets": ["http://a.test", "http://b.test"], "tls": {"verify": True}},
                "ssh": {"targets": ["tcp://127.0.0.1:22"]},
            },
        },
        "api": {"rules": [{"upstream": "api"}], "upstreams": {"api": {"targets": ["grpc://127.0.0.1:50051"]}}},
    },
    "forward": {
        "rules": [{"host": "billing.test", "upstream": "billing", "groups": ["web"]}],
        "upstreams": {"billing": {"targets": ["http://10.0.0.7:80"]}},
    },
    "claims": {"max_claims": 5},
    "limits": {"heartbeat_s": 1},
    "access_log": {"path": "-"},
    "admin": {"listen": "127.0.0.1:8090"},
}

CLIENT: Final[dict[str, Any]] = {
    "servers": ["grpc://127.0.0.1:7000", "ws://127.0.0.1:7001"],
    "group": "web",
    "client_id": "laptop-1",
    "token": "t",
    "allow_targets": ["127.0.0.0/8", "*.internal.test:443"],
    "upstreams": {"app": {"targets": ["http://127.0.0.1:3000"]}, "ssh": {"targets": ["tcp://127.0.0.1:22"]}},
    "entry": {
        "http": {"listen": "127.0.0.1:9080"},
        "grpc": {"listen": "127.0.0.1:9081", "direct": "grpc://10.0.0.9:50051"},
        "tcp": [{"listen": "127.0.0.1:9022", "upstream": "bastion"}],
        "wait_for_server_s": 1,
    },
    "fallback": {"direct": True, "allow": ["*.internal.test:80"]},
    "limits": {"heartbeat_s": 1},
    "admin": {"listen": "127.0.0.1:9090"},
}


class Slip(NamedTuple):
    """One mistake: what is written where, the key that is told, and what else has to be right for it to be one."""

    path: tuple[str | int, ...]
    value: object
    told: str
    beside: tuple[tuple[str | int, ...], ...]


def slip(path: str, value: object, told: str | None = None, *, beside: tuple[str, ...] = ()) -> Slip:
    segments = split(path)
    shown = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in segments).removeprefix(".")
    return Slip(segments, value, shown if told is None else told, tuple(map(split, beside)))


def split(path: str) -> tuple[str | int, ...]:
    return tuple(int(each) if each.isdigit() else each for each in path.split("."))


SERVER_SLIPS: Final = (
    slip("transports.grpc.insecur", True),
    slip("transports.grpc.listen", "nowhere"),
    slip("transports.grpc.listen", "0.0.0.0:7000", "transports.grpc.insecure", beside=("transports.grpc.insecur",)),
    slip("transports.websocket.listen", "127.0.0.1:8090", "admin.listen", beside=("admin.listen",)),
    slip("transports.memory.name", ""),
    slip("ingress.http.trusted_proxies.0", "proxy"),
    slip("ingress.http.max_header_bytes", "many"),
    slip("ingress.http.public_url", "ftp://x"),
    slip("ingress.http.tls", {"certificate": "absent.pem", "key": "present.pem"}, "ingress.http.tls.certificate"),
    slip("ingress.grpc.listen", GONE, "ingress.grpc"),
    slip("ingress.grpc.host", "a b"),
    slip("ingress.tcp.0.upstream", "shh"),
    slip("ingress.tcp.1.name", "a\nb"),
    slip("ingress.tcp.1.group", "wbe"),
    slip("auth.tokens.laptop.sha256", "the token itself"),
    slip("auth.tokens.laptop.groups.0", "wep"),
    slip("auth.tokens.laptop.hosts.0", "*"),
    slip("auth.tokens.laptop.host", "x"),
    slip("auth.jwt", {}),
    slip("middleware.limit.use", "rate_limits"),
    slip("middleware.limit.burst", "x", beside=("middleware.limit.use",)),
    slip("middleware.plain.options", 1),
    slip("rules.0.host", "app.test:80"),
    slip("rules.0.path_prefix", "a"),
    slip("rules.0.group", "wbe"),
    slip("rules.0.middleware.0", "plane"),
    slip("rules.0.query", {"q": {"regex": "("}}, "rules[0].query.q.regex"),
    slip("rules.1.pth", "/x"),
    slip("groups.api.rules.0.group", []),
    slip("groups.api.rules.0.grup", "web"),
    slip("rules.1.path", 5),
    slip("rules.1.protocol", "smtp"),
    slip("rules.1.group", GONE, "rules[1]"),
    slip("rules.1.upstream", "app", beside=("rules.1.group",)),
    slip("groups.web.rules.0.group", "web", beside=("groups.web.rules.0.upstream",)),
    slip("forward.rules.0.group", "web", beside=("forward.rules.0.upstream",)),
    slip("groups.web.wait_for_client_s", -1),
    slip("groups.web.balance", "leest_sessions"),
    slip("groups.web.ejection", {"base_s": 9, "max_s": 8}, "groups.web.ejection.max_s"),
    slip("groups.web.rules.0.methods.0", "G T"),
    slip("groups.web.rules.0.upstream", "ap"),
    slip("groups.web.upstreams.app.targets.0", "htp://a"),
    slip("groups.web.upstreams.app.targets.1", 5),
    slip("groups.web.upstreams.app.tls.ca", "no certificate"),
    slip("groups.web.upstreams.app.tls.server_name", "a b"),
    slip("groups.web.upstreams.app.host_header", "a b"),
    slip("groups.web.upstreams.ssh.targets", []),
    slip("groups.web.upstreams.ssh.ejection", {"statuses": [5]}, "groups.web.upstreams.ssh.ejection.statuses[0]"),
    slip("groups.api", []),
    slip("groups.api.upstreams.api.targets", GONE, "groups.api.upstreams.api"),
    slip("groups.api.upstreams.api.connect_timeout_s", 0),
    slip("forward.rules.0.upstream", "biling"),
    slip("forward.rules.0.groups.0", "wbe"),
    slip("forward.upstreams.billing.targets.0", "http://10.0.0.7:80/path"),
    slip("forward.upstreams.billing.hash_on", "name"),
    slip("claims.balance", "x"),
    slip("claims.max_claims", True),
    slip("limits", 5),
    slip("limits.heartbeat_s", "often"),
    slip("limits.session_window_max_bytes", 8192),
    slip("limits.tunnel_receive_bytes", 0),
    slip("access_log.format", "xml"),
    slip("access_log.path", ""),
    slip("admin.listen", "0.0.0.0:8090", beside=("admin.token_sha256",)),
    slip("admin.token_sha256", "the token itself"),
    slip("admni", {"listen": "127.0.0.1:1"}),
)

CLIENT_SLIPS: Final = (
    slip("servers.0", "grpc://edge.test:7000", beside=("insecure",)),
    slip("servers.1", "http://edge.test"),
    slip("servers", []),
    slip("group", 5),
    slip("gruop", "web"),
    slip("client_id", " "),
    slip("token", 5),
    slip("token_env", [], beside=("token_file",)),
    slip("token_file", "absent.token", beside=("token_env",)),
    slip("links", 1),
    slip("proxy", "ftp://x"),
    slip("insecure", "yes"),
    slip("allow_targets.0", "127.0.0.0/99"),
    slip("allow_targets.1", 5),
    slip("tls", {"ca": "absent.pem"}, "tls.ca"),
    slip("tls.server_name", "a b"),
    slip("upstreams.app.targets.0", "htp://x"),
    slip("upstreams.app.keepalive_s", "x"),
    slip("upstreams.ssh.host_header", "target", beside=("upstreams.ssh.targets.0",)),
    slip("upstreams.ssh.targets.0", "tcp://127.0.0.1"),
    slip("entry.http.listen", "127.0.0.1:9090", "admin.listen", beside=("admin.listen",)),
    slip("entry.http.direct", "tcp://127.0.0.1:1"),
    slip("entry.http.tls", {"certificate": "present.pem", "key": ""}, "entry.http.tls.key"),
    slip("entry.grpc.direct", 5),
    slip("entry.grpc.listen", "x"),
    slip("entry.tcp.0.upstream", GONE, "entry.tcp[0]"),
    slip("entry.tcp.0.name", ""),
    slip("entry.wait_for_server_s", -1),
    slip("fallback.allow.0", "unix:/x"),
    slip("fallback.direct", "yes"),
    slip("limits.max_headers", 0),
    slip("limits.max_message_bytes", 1),
    slip("admin.insecure", "no"),
    slip("admin.tls", {"certificate": "absent.pem", "key": "present.pem"}, "admin.tls.certificate"),
)


def toml(value: object) -> str:
    """A value in one line of TOML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return json.dumps(value)


WRITERS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    ".toml": lambda table: "".join(f"{key} = {toml(value)}\n" for key, value in table.items()),
    ".yaml": lambda table: yaml.safe_dump(table, sort_keys=False),
    ".json": json.dumps,
}


def spoiled(table: dict[str, Any], slips: tuple[Slip, ...]) -> dict[str, Any]:
    """``table`` with these mistakes."""
    table = copy.deepcopy(table)
    for each in slips:
        *around, last = each.path
        inner: Any = table
        for key in around:
            inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
        if each.value is GONE:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(each.value)
    return table


class World:
    """A directory with a file, and what is said of that."""

    def __init__(self, directory: Path, table: dict[str, Any], load: Callable[[Path], object]) -> None:
        self._directory = directory
        self._table = table
        self._load = load
        self._alone: dict[tuple[object, str], list[tuple[str, str]]] = {}
        (directory / "present.pem").touch()

    def told(self, *slips: Slip, ending: str = ".json") -> tuple[ConfigurationError, ...]:
        path = self._directory / f"settings{ending}"
        path.write_text(WRITERS[ending](spoiled(self._table, slips)))
        try:
            self._load(path)
        except ConfigurationError as error:
            assert {each.source for each in error.mistakes} == {str(path)}  # noqa: PT017 - looked at by the caller
            return error.mistakes
        return ()

    def alone(self, wrong: Slip) -> list[tuple[str, str]]:
        place = (wrong.path, wrong.told)
        if place not in self._alone:
            self._alone[place] = self.lines(wrong)
        return self._alone[place]

    def lines(self, *slips: Slip, ending: str = ".json") -> list[tuple[str, str]]:
        return sorted((each.key_path, each.expected) for each in self.told(*slips, ending=ending))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("server"), SERVER, lambda path: server_source(path, own_kinds=False).load())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("client"), CLIENT, load_client_settings)


def apart(slips: list[Slip]) -> bool:
    """Whether no mistake stands inside another, nor in what makes another one."""
    return not any(
        place[: len(one.path)] == one.path
        for one in slips
        for other in slips
        for place in (other.path, *other.beside)
        if one is not other
    )


def several(slips: tuple[Slip, ...]) -> st.SearchStrategy[tuple[Slip, ...]]:
    return (
        st.lists(st.sampled_from(slips), min_size=2, max_size=6, unique_by=lambda each: each.path)
        .filter(apart)
        .map(tuple)
    )


def test_mistakes_are_told_in_the_order_of_the_file(server: World) -> None:
    wrong = ("admni", "limits.heartbeat_s", "transports.grpc.listen", "rules[0].group", "rules[0].host", "rules[1]")
    slips = tuple(each for each in SERVER_SLIPS if each.told in wrong)

    for ending in WRITERS:
        assert [each.key_path for each in server.told(*slips[::-1], ending=ending)] == [
            "transports.grpc.listen",
            "rules[0].host",
            "rules[0].group",
            "rules[1]",
            "limits.heartbeat_s",
            "admni",
        ]


def test_what_follows_from_another_mistake_is_not_told(server: World) -> None:
    # The targets of an upstream are wrong, which rules and a TCP listener lead to, and a group, which others name.
    wrong = (
        slip("groups.web.upstreams.ssh.targets", ["htp://a"]),
        slip("groups.web.upstreams.app", 5),
        slip("groups.api", 5),
    )

    assert [each.key_path for each in server.told(*wrong)] == [
        "groups.web.upstreams.app",
        "groups.web.upstreams.ssh.targets[0]",
        "groups.api",
    ]


def test_key_that_may_be_meant_for_a_missing_one_is_told_alone(server: World) -> None:
    assert [each.key_path for each in server.told(slip("transports.memory", {"nmae": "edge"}))] == [
        "transports.memory.nmae"
    ]
    assert [each.key_path for each in server.told(slip("transports.memory", {"zzz": "edge"}))] == [
        "transports.memory.zzz"
    ]
    assert [each.key_path for each in server.told(slip("gruops", {}), slip("groups", GONE))] == ["gruops"]


def test_both_files_of_a_table_that_are_missing_are_told(server: World) -> None:
    tls = slip("ingress.http.tls", {"certificate": "a.pem", "key": "b.pem"})

    assert [each.key_path for each in server.told(tls)] == ["ingress.http.tls.certificate", "ingress.http.tls.key"]


def test_wrong_token_is_told_beside_the_others_and_is_not_shown(client: World) -> None:
    wrong = (slip("token", GONE), slip("token_env", "TUNNEL_TOKEN_THAT_IS_NOT_SET"), slip("limits.max_headers", 0))

    assert [each.key_path for each in client.told(*wrong)] == ["limits.max_headers", "token_env"]
    assert "hush" not in str(client.told(slip("token", ["hush"]), slip("proxy", "http://hush:hush@x:y")))


@pytest.mark.parametrize("ending", WRITERS)
def test_sound_files_are_sound(server: World, client: World, ending: str) -> None:
    assert server.told(ending=ending) == client.told(ending=ending) == ()


@pytest.mark.parametrize("wrong", SERVER_SLIPS, ids=lambda each: each.told)
def test_one_mistake_of_a_server_is_one_line(server: World, wrong: Slip) -> None:
    assert [each.key_path for each in server.told(wrong)] == [wrong.told]


@pytest.mark.parametrize("wrong", CLIENT_SLIPS, ids=lambda each: each.told)
def test_one_mistake_of_a_client_is_one_line(client: World, wrong: Slip) -> None:
    assert [each.key_path for each in client.told(wrong)] == [wrong.told]


def all_are_told_until_they_are_mended(world: World, slips: tuple[Slip, ...], ending: str) -> None:
    left = list(slips)
    while left:
        assert world.lines(*left, ending=ending) == sorted(line for each in left for line in world.alone(each))
        left.pop()


@given(slips=several(SERVER_SLIPS), ending=st.sampled_from([*WRITERS]))
def test_each_mistake_of_a_server_is_told_until_it_is_mended(
    server: World, slips: tuple[Slip, ...], ending: str
) -> None:
    all_are_told_until_they_are_mended(server, slips, ending)


@given(slips=several(CLIENT_SLIPS), ending=st.sampled_from([*WRITERS]))
def test_each_mistake_of_a_client_is_told_until_it_is_mended(
    client: World, slips: tuple[Slip, ...], ending: str
) -> None:
    all_are_told_until_they_are_mended(client, slips, ending)
