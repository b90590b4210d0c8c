"""Whatever a file holds, the outcome is settings, or one line that says what is wrong."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.domain.configuration import TargetPolicy, decode_client_settings, decode_server_settings
from tunnel.domain.errors import ConfigurationError

SERVER: dict[str, Any] = {
    "transports": {"grpc": {"listen": "127.0.0.1:0"}, "memory": {"name": "edge"}},
    "ingress": {"http": {"listen": "[::1]:0", "trusted_proxies": ["10.0.0.0/8"], "forwarded": "x"}},
    "auth": {"tokens": {"laptop": {"sha256": "a" * 64, "groups": ["web"], "hosts": ["*.laptop.test"]}}},
    "rules": [{"host": "app.test", "path_prefix": "/", "group": "web"}],
    "groups": {
        "web": {
            "rules": [{"path": "/x", "upstream": "app"}],
            "upstreams": {"app": {"targets": ["http://a"], "host_header": "target", "first_byte_timeout_s": 1}},
        }
    },
    "limits": {"heartbeat_s": 1},
}
CLIENT: dict[str, Any] = {
    "group": "web",
    "token": "t",
    "servers": ["ws://edge:1/x"],
    "allow_targets": ["[::1]:80", "*.test"],
    "client_id": "me",
}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(max_size=8), v, max_size=2))


@st.composite
def spoiled(draw: st.DrawFn, sound: dict[str, Any]) -> dict[str, Any]:
    """``sound`` with some nodes replaced, or keys added."""
    table = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 5))):
        spoil(draw, table)
    return table


def spoil(draw: st.DrawFn, table: dict[str, Any]) -> None:
    node: Any = table
    while True:
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        key = draw(st.sampled_from(keys)) if keys else "new"
        if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
            node = node[key]
            continue
        if isinstance(node, dict) and draw(st.booleans()):
            key = draw(st.text(max_size=8))
        node[key] = draw(values)
        return


def outcome_is_one_line(decode: Any, table: object) -> None:
    try:
        decode(table)
    except ConfigurationError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - most examples raise, not all


@given(spoiled(SERVER))
@example(SERVER)
def test_any_server_table_is_settings_or_one_line(table: dict[str, Any]) -> None:
    outcome_is_one_line(decode_server_settings, table)


@given(spoiled(CLIENT))
@example(CLIENT)
def test_any_client_table_is_settings_or_one_line(table: dict[str, Any]) -> None:
    outcome_is_one_line(decode_client_settings, table)


@given(
    st.text(alphabet="htpsunixgrcwm:/[]@.%*019af-\t \u0661", max_size=24),
    st.sampled_from(["servers", "allow_targets", "target", "listen", "public_url"]),
)
def test_any_address_is_settings_or_one_line(text: str, key: str) -> None:
    if key in CLIENT:
        outcome_is_one_line(decode_client_settings, {**CLIENT, key: [text]})
        return
    table = copy.deepcopy(SERVER)
    if key == "target":
        table["groups"]["web"]["upstreams"]["app"]["targets"] = [text]
    else:
        table["ingress"]["http"][key] = text
    outcome_is_one_line(decode_server_settings, table)


@given(st.text(max_size=20), st.integers(0, 65535), st.text(max_size=20))
def test_policy_never_raises_when_dialling(host: str, port: int, address: str) -> None:
    TargetPolicy(["127.0.0.0/8", "*.test"]).permits(host, port, address)
