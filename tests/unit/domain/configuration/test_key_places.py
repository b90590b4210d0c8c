"""A key in the wrong table is told where it belongs."""

from __future__ import annotations

import msgspec
import pytest

from tunnel.domain.configuration import (
    ClientSettings,
    ServerSettings,
    decode_client_settings,
    decode_server_settings,
)
from tunnel.domain.configuration.key_places import CLIENT_KEYS, SERVER_KEYS, belongs
from tunnel.domain.errors import ConfigurationError


def keys_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(kind.__struct_encode_fields__)


def test_sides_are_those_of_the_settings() -> None:
    assert keys_of(ServerSettings) - keys_of(ClientSettings) == SERVER_KEYS
    assert keys_of(ClientSettings) - keys_of(ServerSettings) == CLIENT_KEYS


@pytest.mark.parametrize(
    ("key", "at_top", "told"),
    [
        ("upstreams", True, '; "upstreams" belongs in groups.NAME or in forward'),
        ("tokens", True, '; "tokens" belongs in auth'),
        ("tls", True, '; "tls" belongs in transports.grpc, in transports.websocket or others'),
        ("targets", False, '; "targets" belongs in groups.NAME.upstreams.NAME or in forward.upstreams.NAME'),
        ("rules", False, '; "rules" belongs at the top of the file, in groups.NAME or others'),
        ("client_id", True, '; "client_id" belongs in a client\'s file'),
        ("client_id", False, ""),
        ("quux", True, ""),
    ],
)
def test_server_is_told_where_a_key_belongs(key: str, at_top: bool, told: str) -> None:
    assert belongs(key, ServerSettings, at_top=at_top) == told


@pytest.mark.parametrize(
    ("key", "at_top", "told"),
    [
        ("ingress", True, '; "ingress" belongs in a server\'s file'),
        ("insecure", False, '; "insecure" belongs at the top of the file or in admin'),
        ("resume_s", True, '; "resume_s" belongs in limits'),
    ],
)
def test_client_is_told_where_a_key_belongs(key: str, at_top: bool, told: str) -> None:
    assert belongs(key, ClientSettings, at_top=at_top) == told


def test_mistake_says_where_the_key_belongs_unless_it_looks_like_another() -> None:
    with pytest.raises(ConfigurationError) as server:
        decode_server_settings({"transports": {"memory": {"name": "a"}}, "tokens": {}, "rule": []})
    with pytest.raises(ConfigurationError) as client:
        decode_client_settings({"group": "g", "servers": ["memory://a"], "token": "t", "tls": {"insecure": True}})

    assert str(server.value.mistakes[0]).endswith('; "tokens" belongs in auth')
    assert str(server.value.mistakes[1]).endswith('; did you mean "rules"?')
    assert str(client.value).endswith('; "insecure" belongs at the top of the file or in admin')


def test_file_of_the_other_side_is_named_for_keys_at_the_top_only() -> None:
    with pytest.raises(ConfigurationError) as top:
        decode_server_settings({"transports": {"memory": {"name": "a"}}, "client_id": "a"})
    with pytest.raises(ConfigurationError) as within:
        decode_server_settings({"transports": {"memory": {"name": "a", "client_id": "a"}}})

    assert str(top.value).endswith('; "client_id" belongs in a client\'s file')
    assert not str(within.value).endswith("file")


def test_list_of_tables_that_is_no_table_either_is_told_without_their_header() -> None:
    with pytest.raises(ConfigurationError) as raised:
        decode_server_settings({"transports": {"memory": {"name": "a"}}, "rules": "a"})

    assert "expected a list, got" in str(raised.value)
