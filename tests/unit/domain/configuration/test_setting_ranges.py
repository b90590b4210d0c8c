"""What numbers settings take, and what they are when nothing is said."""

from __future__ import annotations

import copy
from functools import reduce
from typing import Any

import pytest

from tunnel.domain.configuration import decode_client_settings, decode_server_settings
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.limits import GIB, KIB, MIB

SERVER: dict[str, Any] = {
    "transports": {"memory": {"name": "m"}, "grpc": {"listen": "127.0.0.1:1"}, "websocket": {"listen": "127.0.0.1:2"}},
    "ingress": {
        "http": {"listen": "127.0.0.1:3"},
        "grpc": {"listen": "127.0.0.1:4"},
        "tcp": {"0": {"listen": "127.0.0.1:5", "group": "web", "upstream": "ssh"}},
    },
    "groups": {
        "web": {
            "ejection": {},
            "weights": {},
            "upstreams": {
                "app": {"targets": ["http://a.test"], "ejection": {}, "tls": {}},
                "ssh": {"targets": ["tcp://a.test:22"]},
            },
        }
    },
    "claims": {},
    "limits": {},
    "access_log": {},
    "admin": {"listen": "127.0.0.1:6"},
}
CLIENT: dict[str, Any] = {
    "group": "web",
    "token": "t",
    "servers": ["memory://m"],
    "entry": {"http": {"listen": "127.0.0.1:1"}, "grpc": {"listen": "127.0.0.1:2"}},
    "fallback": {},
    "limits": {},
}

A_MILLION = 1_000_000
APP = "groups.web.upstreams.app"

# (key path, default, smallest, greatest); where settings bound each other, the others are as said behind it
SERVER_NUMBERS: list[tuple[str, float | None, float, float | None, dict[str, float]]] = [
    ("ingress.http.max_body_bytes", None, 0, None, {}),
    ("ingress.http.max_header_bytes", 64 * KIB, KIB, MIB, {}),
    ("ingress.http.max_message_bytes", 16 * MIB, KIB, GIB, {}),
    ("ingress.http.upload_stall_s", 60, 0, 86_400, {}),
    ("ingress.grpc.max_message_bytes", 64 * MIB, KIB, GIB, {}),
    ("ingress.grpc.max_header_bytes", 64 * KIB, KIB, MIB, {}),
    ("ingress.tcp.0.max_connections", 1000, 1, A_MILLION, {}),
    ("claims.max_claims", 10_000, 0, A_MILLION, {}),
    ("claims.max_claims_per_principal", 100, 0, A_MILLION, {}),
    ("claims.wait_for_client_s", 5, 0, 3600, {}),
    ("claims.max_waiting", 100, 0, A_MILLION, {}),
    ("groups.web.ejection.after_failures", 5, 0, A_MILLION, {}),
    ("groups.web.ejection.base_s", 10, 0.1, 3600, {"groups.web.ejection.max_s": 3600}),
    ("groups.web.ejection.max_s", 300, 0.1, 3600, {"groups.web.ejection.base_s": 0.1}),
    ("groups.web.ejection.slow_return_s", 10, 0, 3600, {}),
    ("groups.web.ejection.max_ejected_percent", 50, 0, 100, {}),
    ("groups.web.weights.laptop", None, 0, 1000, {}),
    ("groups.web.wait_for_client_s", 0, 0, 3600, {}),
    ("groups.web.max_waiting", 1000, 0, A_MILLION, {}),
    (f"{APP}.keepalive_s", 4, 0, 3600, {}),
    (f"{APP}.max_connections", 1000, 1, A_MILLION, {}),
    (f"{APP}.max_message_bytes", None, KIB, GIB, {}),
    ("limits.session_window_bytes", 64 * KIB, 8 * KIB, 16 * MIB, {"limits.session_window_max_bytes": 16 * MIB}),
    ("limits.session_window_max_bytes", 4 * MIB, 8 * KIB, 16 * MIB, {"limits.session_window_bytes": 8 * KIB}),
    ("limits.tunnel_receive_bytes", 256 * MIB, MIB, GIB, {}),
    ("limits.replay_window_bytes", 8 * MIB, 256 * KIB, 256 * MIB, {}),
    ("limits.max_header_bytes", 64 * KIB, KIB, MIB, {}),
    ("limits.max_headers", 200, 1, 10_000, {}),
    ("limits.max_sessions", 20_000, 1, A_MILLION, {}),
    ("limits.max_links", 16, 1, 1000, {}),
    ("limits.heartbeat_s", 5, 0.1, 300, {}),
    ("limits.handshake_s", 10, 0.1, 300, {}),
    ("limits.connect_s", 5, 0.1, 300, {}),
    ("limits.resume_s", 30, 0, 3600, {}),
    ("limits.drain_s", 10, 0, 3600, {}),
    ("limits.drain_delay_s", 0, 0, 3600, {}),
]
CLIENT_NUMBERS: list[tuple[str, float | None, float, float | None, dict[str, float]]] = [
    ("entry.http.upload_stall_s", 60, 0, 86_400, {}),
    ("entry.wait_for_server_s", 0, 0, 3600, {}),
    ("entry.max_waiting", 1000, 0, A_MILLION, {}),
]
# Of these the smallest is not taken itself.
ABOVE: list[tuple[str, float | None, float, float]] = [
    ("access_log.sample", 1, 0, 1),
    (f"{APP}.connect_timeout_s", 5, 0, 3600),
    (f"{APP}.first_byte_timeout_s", None, 0, 3600),
]


def with_values(table: dict[str, Any], values: dict[str, float]) -> dict[str, Any]:
    """A copy of the table with other numbers, lists put where keys are numbers."""
    changed = copy.deepcopy(table)
    for path, value in values.items():
        *way, key = path.split(".")
        reduce(dict.__getitem__, way, changed)[key] = value
    if "ingress" in changed:
        changed["ingress"]["tcp"] = list(changed["ingress"]["tcp"].values())
    return changed


def read(side: str, values: dict[str, float]) -> object:
    """The settings of a side with these values."""
    if side == "server":
        return decode_server_settings(with_values(SERVER, values))
    return decode_client_settings(with_values(CLIENT, values))


def value_at(settings: object, path: str) -> object:
    found: Any = settings
    for key in path.split("."):
        if key.isdigit():
            found = found[int(key)]
        elif isinstance(found, dict):
            found = found.get(key)
        else:
            found = getattr(found, key)
    return found


NUMBERS = [("server", *each) for each in SERVER_NUMBERS] + [("client", *each) for each in CLIENT_NUMBERS]


@pytest.mark.parametrize(
    ("side", "path", "default", "smallest", "greatest", "others"), NUMBERS, ids=[each[1] for each in NUMBERS]
)
def test_number_has_a_default_and_a_range(
    side: str, path: str, default: float | None, smallest: float, greatest: float | None, others: dict[str, float]
) -> None:
    assert value_at(read(side, {}), path) == default
    bounds = [(smallest, -1)] if greatest is None else [(smallest, -1), (greatest, 1)]
    for bound, outwards in bounds:
        assert value_at(read(side, {**others, path: bound}), path) == bound
        step = 0.001 if path.endswith("_s") else 1
        with pytest.raises(ConfigurationError, match=r"expected an? (number|integer)"):
            read(side, {**others, path: bound + outwards * step})


@pytest.mark.parametrize(("path", "default", "excluded", "greatest"), ABOVE, ids=[each[0] for each in ABOVE])
def test_number_may_come_near_what_it_must_be_above(
    path: str, default: float | None, excluded: float, greatest: float
) -> None:
    assert value_at(read("server", {}), path) == default
    for taken in (excluded + 0.001, greatest):
        assert value_at(read("server", {path: taken}), path) == taken
    for refused in (excluded, greatest + 0.001):
        with pytest.raises(ConfigurationError, match=f"expected a number above {excluded} and up to {greatest}, got"):
            read("server", {path: refused})


@pytest.mark.parametrize(("status", "taken"), [(399, False), (400, True), (599, True), (600, False)])
def test_statuses_of_failures_are_those_of_clients_and_servers(status: int, taken: bool) -> None:
    table = copy.deepcopy(SERVER)
    table["groups"]["web"]["ejection"]["statuses"] = [status]
    changed = with_values(table, {})
    if taken:
        assert decode_server_settings(changed).groups["web"].ejection.statuses == (status,)
    else:
        with pytest.raises(ConfigurationError, match=r"statuses\[0\]: expected an integer from 400 to 599"):
            decode_server_settings(changed)


@pytest.mark.parametrize(
    ("side", "path", "default"),
    [
        ("server", "transports.grpc.insecure", False),
        ("server", "transports.websocket.insecure", False),
        ("server", "transports.websocket.on_ingress", False),
        ("server", "admin.insecure", False),
        ("server", "groups.web.upstreams.app.tls.verify", True),
        ("client", "insecure", False),
        ("client", "fallback.direct", False),
        ("client", "fallback.route_header", True),
    ],
)
def test_what_is_off_or_on_unless_something_is_said(side: str, path: str, default: bool) -> None:
    assert value_at(read(side, {}), path) is default


EQUALS = [
    {"limits.session_window_bytes": MIB, "limits.session_window_max_bytes": MIB},
    {"limits.session_window_bytes": 2 * MIB, "limits.tunnel_receive_bytes": 2 * MIB},
    {"groups.web.ejection.base_s": 7, "groups.web.ejection.max_s": 7},
]


@pytest.mark.parametrize("values", EQUALS, ids=repr)
def test_numbers_that_bound_each_other_may_be_equal(values: dict[str, float]) -> None:
    settings = read("server", values)
    assert {path: value_at(settings, path) for path in values} == values


def test_a_tunnel_receives_at_least_one_window() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read("server", {"limits.session_window_bytes": 2 * MIB, "limits.tunnel_receive_bytes": 2 * MIB - 1})
    expected = "limits.tunnel_receive_bytes: expected at least session_window_bytes (2097152), got 2097151"
    assert str(caught.value) == expected


def test_limits_of_a_client_are_checked_too() -> None:
    with pytest.raises(ConfigurationError, match=r"limits\.session_window_max_bytes: expected at least"):
        read("client", {"limits.session_window_bytes": 2 * MIB, "limits.session_window_max_bytes": MIB})
