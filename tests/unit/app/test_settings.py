"""Loading settings, the token included."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from support.certificates import Authority

from tunnel.app.client import Client
from tunnel.app.settings import (
    default_client_id,
    doubts,
    load_client_settings,
    load_server_settings,
    read_server_settings,
    settings_kind,
)
from tunnel.app.tls_files import beside, tls_files
from tunnel.domain.configuration import ListenerTlsSettings, Secret
from tunnel.domain.errors import ConfigurationError

CLIENT = 'group = "web"\nservers = ["grpc://127.0.0.1:7000"]\n'


@pytest.fixture
def client_file(tmp_path: Path) -> Path:
    return tmp_path / "client.toml"


def test_server_settings_load(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("transports: {memory: {name: edge}}")
    settings = load_server_settings(path)
    assert settings.transports.memory is not None
    assert settings.transports.memory.name == "edge"


def test_server_mistake_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('[transports.grpc]\nlisten = "7000"')
    with pytest.raises(ConfigurationError) as caught:
        load_server_settings(str(path))
    assert str(caught.value).startswith(f'{path}: transports.grpc.listen: expected an address "HOST:PORT"')


def test_token_comes_from_the_file_itself(client_file: Path) -> None:
    client_file.write_text(CLIENT + 'token = "tnl_hush"\nclient_id = "me"')
    settings = load_client_settings(client_file)
    assert (settings.token, settings.client_id) == (Secret("tnl_hush"), "me")


def test_token_comes_from_the_environment(client_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "tnl_hush")
    client_file.write_text(CLIENT + 'token_env = "MY_TOKEN"')
    settings = load_client_settings(client_file)
    assert (settings.token, settings.token_env) == (Secret("tnl_hush"), None)
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("content", ["tnl_hush", "tnl_hush\n", "tnl_hush\r\n"])
def test_token_comes_from_a_file_beside_the_configuration(client_file: Path, content: str) -> None:
    (client_file.parent / "token").write_bytes(content.encode())
    client_file.write_text(CLIENT + 'token_file = "token"')
    settings = load_client_settings(client_file)
    assert (settings.token, settings.token_file) == (Secret("tnl_hush"), None)


@pytest.mark.parametrize(("value", "state"), [(None, "is not set"), ("", "is empty")])
def test_missing_variable_is_one_line(
    client_file: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, state: str
) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_TOKEN", value)
    client_file.write_text(CLIENT + 'token_env = "MY_TOKEN"')
    with pytest.raises(ConfigurationError) as caught:
        load_client_settings(client_file)
    assert str(caught.value) == f'{client_file}: token_env: the environment variable "MY_TOKEN" {state}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\n", "to hold a token; it is empty"),
        (b"hush\xff", "to be UTF-8 text"),
        (b"hush" * 20_000, "to hold a token only"),
    ],
)
def test_unusable_token_file_is_one_line(client_file: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (client_file.parent / "token").write_bytes(content)
    client_file.write_text(CLIENT + 'token_file = "token"')
    with pytest.raises(ConfigurationError) as caught:
        load_client_settings(client_file)
    assert str(caught.value).startswith(f"{client_file}: token_file: ")
    assert str(caught.value).endswith(message)
    assert "hush" not in str(caught.value)


@pytest.mark.rule("H6")
def test_client_id_is_made_of_the_host_name(client_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "My Laptop.local")
    client_file.write_text(CLIENT + 'token = "t"')
    settings = load_client_settings(client_file)
    assert settings.client_id is None
    assert re.fullmatch(r"My-Laptop-[0-9a-f]{4}", Client(settings).client_id)


def test_client_id_survives_a_strange_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "")
    assert re.fullmatch(r"client-[0-9a-f]{4}", default_client_id())


def test_servers_at_the_top_make_it_a_clients_file(tmp_path: Path, client_file: Path) -> None:
    client_file.write_text(CLIENT)
    assert settings_kind(client_file) == "client"
    other = tmp_path / "server.json"
    other.write_text("{}")
    assert settings_kind(other) == "server"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('group = "web"\nserver = "wss://edge"', "client"),
        ('[claim]\nhost = "a.test"', "client"),
        ('group = "web"\n[groups.web]', "server"),
        ("[admin]", "server"),
        ("", "server"),
    ],
)
def test_kind_is_known_where_servers_are_missing_or_misspelt(tmp_path: Path, text: str, kind: str) -> None:
    path = tmp_path / "some.toml"
    path.write_text(text)

    assert settings_kind(path) == kind


# -- TLS


def test_tls_files_are_looked_up_beside_the_configuration_and_stay_where_they_are_absolute(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", "localhost")
    pair = f'certificate = "server.pem", key = "{tmp_path}/server.key"'
    path = tmp_path / "server.toml"
    path.write_text(f'[transports.grpc]\nlisten = "0.0.0.0:0"\ntls = {{ {pair} }}\n')

    transport = load_server_settings(path).transports.grpc

    assert transport is not None
    assert transport.tls == ListenerTlsSettings(certificate=f"{tmp_path}/server.pem", key=f"{tmp_path}/server.key")


def test_every_tls_file_is_followed(tmp_path: Path) -> None:
    pair = {"certificate": "a.pem", "key": "/k", "client_ca": "c.pem"}
    server = {
        "transports": {"grpc": {"tls": pair}, "memory": {"name": "m"}},
        "ingress": {"http": {"tls": {"key": "h.key"}}},
        "admin": {"tls": {"key": "admin.key"}},
    }
    names = ["a.pem", "/k", "c.pem", "h.key", "admin.key"]
    assert sorted(tls_files(server, tmp_path)) == sorted(str(tmp_path / name) for name in names)
    assert tls_files({"tls": {"ca": "ca.pem"}}, tmp_path) == [str(tmp_path / "ca.pem")]


@pytest.mark.parametrize("table", [{"tls": 1}, {"transports": {"grpc": {"tls": {"key": 1}}}}, {"ingress": [1]}])
def test_tables_of_the_wrong_shape_are_left_to_the_decoder(table: dict[str, object], tmp_path: Path) -> None:
    assert beside(table, tmp_path) == table
    assert tls_files(table, tmp_path) == []


def test_configuration_itself_is_not_altered_by_looking_files_up(tmp_path: Path) -> None:
    table = {"transports": {"grpc": {"listen": "a:1", "tls": {"key": "k", "certificate": ""}}}}
    placed = beside(table, tmp_path)
    assert table["transports"]["grpc"]["tls"] == {"key": "k", "certificate": ""}
    assert placed["transports"]["grpc"]["tls"] == {"key": str(tmp_path / "k"), "certificate": ""}  # type: ignore[index]


def test_unverified_upstream_is_a_doubt(client_file: Path) -> None:
    upstream = '[upstreams.app]\ntargets = ["https://localhost:1"]\ntls = { verify = false }\n'
    client_file.write_text(f'{CLIENT}token = "t"\n{upstream}')
    settings = load_client_settings(client_file)
    assert doubts(settings) == [("upstreams.app.tls.verify", "any certificate is accepted")]


def test_unverified_forward_upstream_is_a_doubt(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    upstream = '[forward.upstreams.app]\ntargets = ["https://localhost:1"]\ntls = { verify = false }\n'
    path.write_text(f'[transports.memory]\nname = "edge"\n{upstream}')
    expected = [("forward.upstreams.app.tls.verify", "any certificate is accepted")]
    assert doubts(load_server_settings(path)) == expected


def test_rule_that_leads_to_what_answers_another_protocol_is_a_doubt(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    rule = '[[groups.web.rules]]\nservice = "a.B"\nupstream = "app"\n'
    upstream = '[groups.web.upstreams.app]\ntargets = ["http://localhost:1"]\n'
    path.write_text(f'[transports.memory]\nname = "edge"\n{rule}{upstream}')
    expected = "it matches gRPC calls only, and its upstream answers HTTP and WebSocket only"
    assert doubts(load_server_settings(path)) == [("groups.web.rules[0]", expected)]


def test_rules_can_be_read_where_the_certificates_are_not(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('[transports.grpc]\nlisten = "0.0.0.0:0"\ntls = { certificate = "none.pem", key = "none.key" }\n')
    assert read_server_settings(path).transports.grpc is not None
    with pytest.raises(ConfigurationError, match=r"transports\.grpc\.tls\.certificate: .*none\.pem cannot be read"):
        load_server_settings(path)
