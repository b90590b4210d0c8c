"""Server settings: what loads, and the exact line each mistake gives."""

from __future__ import annotations

import json
import tomllib

import pytest

from tunnel.domain.configuration import (
    GroupSettings,
    GroupSnapshot,
    GrpcIngressSettings,
    GrpcTransportSettings,
    HttpIngressSettings,
    IngressSettings,
    MemoryTransportSettings,
    ServerSettings,
    TransportsSettings,
    UpstreamSettings,
    decode_server_settings,
)
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule, ValueMatch

SHA256 = "0123456789abcdef" * 4

COMPLETE = f"""
[transports.grpc]
listen = "127.0.0.1:7000"
[transports.websocket]
listen = "127.0.0.1:7001"
[ingress.http]
listen = "127.0.0.1:8080"
public_url = "http://127.0.0.1:8080"

[auth.tokens.laptop]
sha256 = "{SHA256}"
groups = ["web"]
hosts = ["*.laptop.test"]

[[rules]]
host = "app.example.test"
path_prefix = "/api"
group = "web"

[groups.web]
balance = "power_of_two"
wait_for_client_s = 2
[[groups.web.rules]]
path_prefix = "/"
upstream = "app"
[groups.web.upstreams.app]
targets = ["http://127.0.0.1:3000", "http://127.0.0.1:3001"]
balance = "round_robin"
"""

MINIMAL = '[transports.grpc]\nlisten = "127.0.0.1:7000"\n'


def decode(text: str) -> ServerSettings:
    return decode_server_settings(tomllib.loads(text))


def mistake_in(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        decode(text)
    return str(caught.value)


def test_complete_example_loads() -> None:
    settings = decode(COMPLETE)
    assert settings.transports.grpc is not None
    assert settings.transports.grpc.listen == "127.0.0.1:7000"
    assert settings.transports.memory is None
    assert settings.ingress.http is not None
    assert settings.ingress.http.max_header_bytes == 65536
    assert settings.auth.tokens["laptop"].hosts == ("*.laptop.test",)
    assert settings.rules == (Rule(host="app.example.test", path_prefix="/api", group="web"),)
    group = settings.groups["web"]
    assert (group.balance, group.wait_for_client_s, group.max_waiting) == ("power_of_two", 2.0, 1000)
    assert group.upstreams["app"] == UpstreamSettings(
        targets=("http://127.0.0.1:3000", "http://127.0.0.1:3001"), balance="round_robin"
    )


def test_smallest_server_has_the_documented_defaults() -> None:
    settings = decode(MINIMAL)
    assert settings == ServerSettings(
        transports=TransportsSettings(grpc=GrpcTransportSettings(listen="127.0.0.1:7000"))
    )
    upstream = UpstreamSettings(targets=("http://a",))
    assert (upstream.connect_timeout_s, upstream.first_byte_timeout_s, upstream.keepalive_s) == (5.0, None, 4.0)
    assert GroupSettings().balance == upstream.balance == "power_of_two"


def test_settings_built_in_code_are_checked_too() -> None:
    with pytest.raises(ConfigurationError, match=r'^rules\[0\]\.group: unknown group "web"'):
        ServerSettings(
            transports=TransportsSettings(memory=MemoryTransportSettings(name="m")), rules=(Rule(group="web"),)
        )


def test_server_without_ingress_is_allowed_for_mounting() -> None:
    assert decode(MINIMAL).ingress.http is None


def test_port_zero_may_be_listened_on_twice() -> None:
    both = '[transports.grpc]\nlisten = "127.0.0.1:0"\n[transports.websocket]\nlisten = "127.0.0.1:0"'
    assert decode(both).transports.websocket is not None


@pytest.mark.parametrize("listen", ["[::1]:7000", "127.9.9.9:0", "localhost:65535"])
def test_listen_addresses_that_are_right(listen: str) -> None:
    decode(MINIMAL.replace("127.0.0.1:7000", listen))


LISTEN = 'expected an address "HOST:PORT" such as "127.0.0.1:7000" or "[::1]:7000"'
TARGET = 'expected a URL such as "http://127.0.0.1:3000"'
FIRST_TARGET = "groups.web.upstreams.app.targets[0]"
NO_PATH = "expected a target without path, query and fragment; requests keep their own"

# (what is replaced in COMPLETE, by what, the whole message)
MISTAKES = [
    ("[transports.grpc]", "[transport.grpc]", 'transport: unknown key; expected one of "access_log", "admin", "auth", '
     '"claims", "forward", "groups", "ingress", "limits", "middleware", "rules", "transports"; '
     'did you mean "transports"?'),
    ("[transports.grpc]", "[transports.grcp]", 'transports.grcp: unknown key; expected one of "grpc", "memory", '
     '"websocket"; did you mean "grpc"?'),
    ("[transports.grpc]", "[transports.quic]", 'transports.quic: unknown key; expected one of "grpc", "memory", '
     '"websocket"'),
    ('listen = "127.0.0.1:7000"', 'port = 7000', 'transports.grpc.port: unknown key; expected one of '
     '"insecure", "listen", "tls"'),
    ('listen = "127.0.0.1:7000"', "", 'transports.grpc: missing the required key "listen"'),
    ('listen = "127.0.0.1:7000"', "listen = 7000", "transports.grpc.listen: expected a string, got 7000"),
    ('"127.0.0.1:7000"', '"7000"', f'transports.grpc.listen: {LISTEN}, got "7000"'),
    ('"127.0.0.1:7000"', '":7000"', f'transports.grpc.listen: {LISTEN}, got ":7000"'),
    ('"127.0.0.1:7000"', '"127.0.0.1:65536"', f'transports.grpc.listen: {LISTEN}, got "127.0.0.1:65536"'),
    ('"127.0.0.1:7000"', '"::1:7000"', f'transports.grpc.listen: {LISTEN}, got "::1:7000"'),
    ('"127.0.0.1:7000"', '"[::x]:7000"', f'transports.grpc.listen: {LISTEN}, got "[::x]:7000"'),
    ('"127.0.0.1:7000"', '"127.0.0.1:-1"', f'transports.grpc.listen: {LISTEN}, got "127.0.0.1:-1"'),
    ('"127.0.0.1:7000"', '"grpc://127.0.0.1:7000"', f'transports.grpc.listen: {LISTEN}, got "grpc://127.0.0.1:7000"'),
    ('"127.0.0.1:7000"', '"127.0.0.1:7\\u0661"', f'transports.grpc.listen: {LISTEN}, got "127.0.0.1:7\u0661"'),
    ('"127.0.0.1:7001"', '"127.0.0.1:7000"', "transports.websocket.listen: expected an address that "
     'transports.grpc.listen does not use already, got "127.0.0.1:7000"'),
    ('"127.0.0.1:8080"', '"127.0.0.1:7001"', "ingress.http.listen: expected an address that "
     'transports.websocket.listen does not use already, got "127.0.0.1:7001"'),
    ("[ingress.http]", "[ingress]\nhttp = []\n[middleware.any]\nuse = 'any'",
     "ingress.http: expected a table, got an empty list"),
    ('"http://127.0.0.1:8080"', '"127.0.0.1:8080"', "ingress.http.public_url: expected a URL such as "
     '"https://edge.example.test", without a path, got "127.0.0.1:8080"'),
    ('"http://127.0.0.1:8080"', '"https://e.test/x"', "ingress.http.public_url: expected a URL such as "
     '"https://edge.example.test", without a path, got "https://e.test/x"'),
    ("public_url", "max_body_bytes = -1\npublic_url", "ingress.http.max_body_bytes: expected an integer of at least 0, "
     "got -1"),
    ("public_url", 'max_header_bytes = "64k"\npublic_url', "ingress.http.max_header_bytes: expected an integer from "
     '1024 to 1048576, got "64k"'),
    ("public_url", "max_header_bytes = true\npublic_url", "ingress.http.max_header_bytes: expected an integer from "
     "1024 to 1048576, got true"),
    ("public_url", 'forwarded = "y"\npublic_url', 'ingress.http.forwarded: expected one of "rfc7239", "x", got "y"'),
    ("public_url", 'trusted_proxies = "10.0.0.0/8"\npublic_url', "ingress.http.trusted_proxies: expected a list, got "
     '"10.0.0.0/8"'),
    ("public_url", 'trusted_proxies = ["10.0.0.1", "edge"]\npublic_url', "ingress.http.trusted_proxies[1]: expected an "
     'IP address or network such as "10.0.0.0/8", got "edge"'),
    (f'sha256 = "{SHA256}"', "", 'auth.tokens.laptop: missing the required key "sha256"'),
    (SHA256, "tnl_secret", "auth.tokens.laptop.sha256: expected 64 hexadecimal digits, as `tunnel token new` prints "
     "them"),
    ("[auth.tokens.laptop]", f'[auth.tokens."a b"]\nsha256 = "{SHA256.upper()}"\n[auth.tokens.laptop]',
     'auth.tokens.laptop.sha256: expected a token of its own; auth.tokens."a b" has the same'),
    ("[auth.tokens.laptop]", '[auth.tokens.""]', 'auth.tokens."": expected a name of 1 to 128 printable characters, '
     'got ""'),
    ('groups = ["web"]', 'groups = ["wbe"]', 'auth.tokens.laptop.groups[0]: unknown group "wbe"; expected "web"; did '
     'you mean "web"?'),
    ('groups = ["web"]', 'groups = "web"', 'auth.tokens.laptop.groups: expected a list, got "web"'),
    ('"*.laptop.test"', '"https://laptop.test"', 'auth.tokens.laptop.hosts[0]: expected a host such as '
     '"app.example.test" or "*.example.test", got "https://laptop.test"'),
    ('group = "web"', 'group = "api"', 'rules[0].group: unknown group "api"; expected "web"'),
    ('group = "web"', "", 'rules[0]: missing the required key "group"'),
    ('group = "web"', 'upstream = "app"', 'rules[0].upstream: expected a "group"; the rules of that group choose the '
     'upstream, got "app"'),
    ('path_prefix = "/api"', 'path_prefix = "api"', "rules[0].path_prefix: expected a path that starts with /"),
    ('path_prefix = "/api"', 'path_prefx = "/api"', 'rules[0].path_prefx: unknown key; expected one of "group", '
     '"headers", "host", "method", "methods", "middleware", "path", "path_prefix", "path_regex", "priority", '
     '"protocol", "query", "service", "upstream"; did you mean "path_prefix"?'),
    ('path_prefix = "/api"', 'priority = "1"', 'rules[0].priority: expected an integer, got "1"'),
    ("[[rules]]", "[rules]", "rules: expected a list, whose elements begin with [[rules]], got a table"),
    ('balance = "power_of_two"', 'balance = "fastest"', 'groups.web.balance: unknown strategy "fastest"; expected one '
     'of "consistent_hash", "least_sessions", "power_of_two", "random", "round_robin", "weighted"'),
    ("wait_for_client_s = 2", "wait_for_client_s = -1", "groups.web.wait_for_client_s: expected a number from 0 to "
     "3600, got -1"),
    ("wait_for_client_s = 2", "wait_for_client_s = nan", "groups.web.wait_for_client_s: expected a number from 0 to "
     "3600, got NaN"),
    ("wait_for_client_s = 2", 'wait_for_client_s = "2s"', "groups.web.wait_for_client_s: expected a number from 0 to "
     '3600, got "2s"'),
    ("wait_for_client_s = 2", "wait_for_client_s = 2026-01-01", "groups.web.wait_for_client_s: expected a number from "
     "0 to 3600, got a date"),
    ("wait_for_client_s = 2", "max_waiting = 0.5", "groups.web.max_waiting: expected an integer from 0 to 1000000, got "
     "0.5"),
    ('upstream = "app"', 'upstream = "shop"', 'groups.web.rules[0].upstream: unknown upstream "shop"; expected "app"'),
    ('upstream = "app"', "", 'groups.web.rules[0]: missing the required key "upstream"'),
    ('upstream = "app"', 'upstream = "app"\ngroup = "web"', 'groups.web.rules[0].group: expected an "upstream"; this '
     'rule is already inside a group, got "web"'),
    ('"http://127.0.0.1:3000"', '"127.0.0.1:3000"', f'{FIRST_TARGET}: {TARGET}, got "127.0.0.1:3000"'),
    ('"http://127.0.0.1:3000"', '"localhost:3000"', f'{FIRST_TARGET}: {TARGET}, got "localhost:3000"'),
    ('"http://127.0.0.1:3000"', '"http:127.0.0.1"', f'{FIRST_TARGET}: {TARGET}, got "http:127.0.0.1"'),
    ('"http://127.0.0.1:3000"', '"http://"', f'{FIRST_TARGET}: {TARGET}, got "http://"'),
    ('"http://127.0.0.1:3000"', '"http://a:0"', f'{FIRST_TARGET}: {TARGET}, got "http://a:0"'),
    ('"http://127.0.0.1:3000"', '"http://a:x"', f'{FIRST_TARGET}: {TARGET}, got "http://a:x"'),
    ('"http://127.0.0.1:3000"', '"http://a b"', f'{FIRST_TARGET}: {TARGET}, got "http://a b"'),
    ('"http://127.0.0.1:3000"', '"ftp://a"', f'{FIRST_TARGET}: {TARGET}, got "ftp://a"'),
    ('"http://127.0.0.1:3000"', '"http://a/app"', f'{FIRST_TARGET}: {NO_PATH}, got "http://a/app"'),
    ('"http://127.0.0.1:3000"', '"http://a?q"', f'{FIRST_TARGET}: {NO_PATH}, got "http://a?q"'),
    ('"http://127.0.0.1:3000"', '"http://me:secret@a"', f"{FIRST_TARGET}: {TARGET}, without user name and password"),
    ('"http://127.0.0.1:3000"', '"unix:app.sock"', f"{FIRST_TARGET}: expected the absolute path of a socket, such as "
     '"unix:/run/app.sock", got "unix:app.sock"'),
    ('"http://127.0.0.1:3000"', "3000", f"{FIRST_TARGET}: expected a string, got 3000"),
    ('["http://127.0.0.1:3000", "http://127.0.0.1:3001"]', "[]", "groups.web.upstreams.app.targets: expected at least "
     'one target such as "http://127.0.0.1:3000", got an empty list'),
    ('balance = "round_robin"', "connect_timeout_s = 0", "groups.web.upstreams.app.connect_timeout_s: expected a "
     "number above 0 and up to 3600, got 0"),
    ('balance = "round_robin"', "keepalive_s = false", "groups.web.upstreams.app.keepalive_s: expected a number from 0 "
     "to 3600, got false"),
    ('balance = "round_robin"', 'host_header = "a b"', "groups.web.upstreams.app.host_header: expected \"target\" or a "
     'host such as "app.example.test", got "a b"'),
    ("[[rules]]", "[limits]\nheartbeat_s = 0\n[[rules]]", "limits.heartbeat_s: expected a number from 0.1 to 300, got "
     "0"),
    ("[[rules]]", "[limits]\nsession_window_bytes = 8388608\n[[rules]]", "limits.session_window_max_bytes: expected at "
     "least session_window_bytes (8388608), got 4194304"),
    ("[[rules]]", "[limits]\nmax_frame_bytes = 1\n[[rules]]", 'limits.max_frame_bytes: unknown key; expected one of '
     '"connect_s", "drain_delay_s", "drain_s", "handshake_s", "heartbeat_s", "max_header_bytes", "max_headers", '
     '"max_links", "max_sessions", "replay_window_bytes", "resume_s", "session_window_bytes", '
     '"session_window_max_bytes", "tunnel_receive_bytes"; did you mean "max_header_bytes"?'),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES)
def test_mistake_is_one_exact_line(right: str, wrong: str, message: str) -> None:
    assert right in COMPLETE
    assert mistake_in(COMPLETE.replace(right, wrong, 1)) == message


def test_server_needs_a_transport() -> None:
    tables = "[transports.grpc], [transports.websocket] and [transports.memory]"
    assert mistake_in("[transports]") == f"transports: expected at least one of {tables}"
    assert mistake_in("") == 'missing the required key "transports"'


def test_memory_transport_needs_a_name() -> None:
    expected = 'transports.memory.name: expected a name of 1 to 128 printable characters, got ""'
    assert mistake_in('[transports.memory]\nname = ""') == expected


def test_group_that_does_not_exist_says_how_to_add_one() -> None:
    expected = 'rules[0].group: unknown group "web"; there is none; add [groups.NAME]'
    assert mistake_in(MINIMAL + '[[rules]]\ngroup = "web"') == expected


# (text added, key path of what is not built)
PLANNED = [
    ('[forward.upstreams.b]\ntargets = ["http://a"]\nhealth = {}', "forward.upstreams.b.health"),
    ('[auth.jwt]\njwks = "x"', "auth.jwt"),
    ("[limits]\nmax_message_bytes = 1", "limits.max_message_bytes"),
]


@pytest.mark.parametrize(("added", "path"), PLANNED)
def test_key_of_a_later_version_says_so(added: str, path: str) -> None:
    assert mistake_in(MINIMAL + added) == f"{path}: this key is not built yet in this version"


PREDICATES = (
    'methods = ["GET"]\nservice = "a.B"\nheaders = { x-env = "blue", "x.y" = { present = true } }\n'
    'query = { "a b" = { regex = "[0-9]+" } }\ngroup = "web"\n[groups.web]'
)


def test_predicates_on_values_are_strings_or_tables() -> None:
    (rule,) = decode(MINIMAL + "[[rules]]\n" + PREDICATES).rules
    assert rule.methods == ("GET",)
    assert rule.headers == {"x-env": "blue", "x.y": ValueMatch(present=True)}
    assert rule.query == {"a b": ValueMatch(regex="[0-9]+")}


@pytest.mark.parametrize(
    ("value", "wrong", "expected"),
    [
        ('"blue"', "1", "headers.x-env: expected a string or a table, got 1"),
        ('"blue"', '["blue"]', "headers.x-env: expected a string or a table, got a list"),
        ("present = true", "present = 1", 'headers."x.y".present: expected true or false, got 1'),
        ("present = true", "presnt = true", 'headers."x.y".presnt: unknown key; expected one of "present", "regex"; '
         'did you mean "present"?'),
        ("present = true", "present = false", 'headers."x.y".present: expected true; '),
        ('"[0-9]+"', '"[0-9"', 'query."a b".regex: expected a pattern that RE2 takes: missing ]'),
        ('["GET"]', '"GET"', 'methods: expected a list, got "GET"'),
        ('["GET"]', '["GET", "A B"]', "methods[1]: expected a request method"),
        ('"a.B"', '"a/B"', "service: expected a service with its package"),
    ],
)  # fmt: skip
def test_mistakes_in_predicates_name_their_key(value: str, wrong: str, expected: str) -> None:
    assert mistake_in(MINIMAL + "[[rules]]\n" + PREDICATES.replace(value, wrong)).startswith(f"rules[0].{expected}")


def test_limits_become_what_is_announced() -> None:
    limits = decode(MINIMAL + "[limits]\nheartbeat_s = 1\nmax_sessions = 7").limits.limits()
    assert (limits.heartbeat_s, limits.max_sessions, limits.max_frame_bytes) == (1.0, 7, 262144)
    assert limits.resume_s == 30
    assert decode(MINIMAL + "[limits]\nresume_s = 0").limits.limits().resume_s == 0


def test_null_of_json_and_yaml_leaves_an_optional_key_out() -> None:
    table = tomllib.loads(MINIMAL)
    table["ingress"] = None
    with pytest.raises(ConfigurationError, match=r"^ingress: expected a table, got null$"):
        decode_server_settings(table)
    table["ingress"] = {"http": None}
    assert decode_server_settings(table).ingress.http is None


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        (
            {"targets": ["grpc://127.0.0.1"]},
            'targets[0]: expected a target with a port, such as "grpc://127.0.0.1:50051"',
        ),
        ({"targets": ["GRPC://127.0.0.1:1"]}, 'targets[0]: expected a scheme in lower case, such as "http:"'),
        ({"targets": ["grpc://a:1/path"]}, "targets[0]: expected a target without path"),
        (
            {"targets": ["grpc://a:1", "http://a:1"]},
            'targets[1]: expected targets of gRPC or of HTTP, not of both, got "http://a:1"',
        ),
        (
            {"targets": ["http://a:1", "grpcs://a:1"]},
            'targets[1]: expected targets of gRPC or of HTTP, not of both, got "grpcs://a:1"',
        ),
        (
            {"targets": ["grpcs://a:1"], "tls": {"verify": False}},
            "tls.verify: expected true for grpcs: targets; gRPC always verifies",
        ),
    ],
)
def test_targets_of_grpc_are_checked(upstream: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        GroupSnapshot.decode(json.dumps({"upstreams": {"app": upstream}}).encode())
    assert str(caught.value).startswith(f"upstreams.app.{message}")


@pytest.mark.parametrize("host", ["a.test:80", "*.test", "a..b", ""])
def test_host_of_the_grpc_ingress_is_a_name(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ingress\.grpc\.host: expected a host name without port"):
        ServerSettings(
            transports=TransportsSettings(memory=MemoryTransportSettings(name="m")),
            ingress=IngressSettings(grpc=GrpcIngressSettings(listen="127.0.0.1:0", host=host)),
        )


def test_ingresses_do_not_share_an_address() -> None:
    with pytest.raises(
        ConfigurationError, match=r"ingress\.grpc\.listen: expected an address that ingress\.http\.listen"
    ):
        ServerSettings(
            transports=TransportsSettings(memory=MemoryTransportSettings(name="m")),
            ingress=IngressSettings(
                http=HttpIngressSettings(listen="127.0.0.1:81"), grpc=GrpcIngressSettings(listen="127.0.0.1:81")
            ),
        )
