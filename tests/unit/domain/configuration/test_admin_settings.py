"""Where operators may look inside: never a network without a token."""

from __future__ import annotations

import tomllib

import pytest

from tunnel.domain.configuration import decode_client_settings, decode_server_settings
from tunnel.domain.errors import ConfigurationError

SERVER = '[transports.websocket]\nlisten = "127.0.0.1:7001"\n'
CLIENT = 'group = "web"\ntoken = "t"\nservers = ["ws://127.0.0.1:7001"]\n'
HASH = "a" * 64


def mistake(table: str) -> str:
    texts = set()
    for decode, base in ((decode_server_settings, SERVER), (decode_client_settings, CLIENT)):
        with pytest.raises(ConfigurationError) as caught:
            decode(tomllib.loads(base + table))
        texts.add(str(caught.value))
    # Both sides say the same.
    assert len(texts) == 1
    return texts.pop()


@pytest.mark.parametrize("listen", ["127.0.0.1:8090", "127.9.9.9:0", "[::1]:8090", "localhost:8090", "LocalHost:8090"])
def test_loopback_needs_no_token(listen: str) -> None:
    settings = decode_server_settings(tomllib.loads(f'{SERVER}[admin]\nlisten = "{listen}"\n'))
    assert settings.admin is not None
    assert (settings.admin.listen, settings.admin.token_sha256) == (listen, None)


@pytest.mark.parametrize("listen", ["0.0.0.0:8090", "10.0.0.7:8090", "[::]:8090", "edge.example.test:8090"])
def test_a_network_needs_a_token(listen: str) -> None:
    assert mistake(f'[admin]\nlisten = "{listen}"\ninsecure = true\n') == (
        f'admin.listen: expected a loopback address, or a token in admin.token_sha256, got "{listen}"'
    )


def test_a_token_does_not_cross_a_network_in_plain_text_unless_told_to() -> None:
    table = f'[admin]\nlisten = "0.0.0.0:8090"\ntoken_sha256 = "{HASH}"\n'
    assert mistake(table) == (
        "admin.listen: expected a loopback address, admin.tls, or admin.insecure = true: the token would cross the "
        'network in plain text, got "0.0.0.0:8090"'
    )
    settings = decode_server_settings(tomllib.loads(f"{SERVER}{table}insecure = true\n"))
    assert settings.admin is not None


@pytest.mark.parametrize("wrong", ["tnl_secret", HASH[:-1], ""])
def test_a_token_in_place_of_its_hash_is_not_repeated(wrong: str) -> None:
    text = mistake(f'[admin]\nlisten = "127.0.0.1:8090"\ntoken_sha256 = "{wrong}"\n')
    assert text == "admin.token_sha256: expected 64 hexadecimal digits, as `tunnel token new` prints them"


def test_its_address_is_its_own() -> None:
    with pytest.raises(ConfigurationError, match=r"transports\.websocket\.listen does not use already"):
        decode_server_settings(tomllib.loads(f'{SERVER}[admin]\nlisten = "127.0.0.1:7001"\n'))


PAIR = 'certificate = "server.pem", key = "server.key"'


def test_a_token_may_cross_a_network_in_tls() -> None:
    table = f'[admin]\nlisten = "0.0.0.0:8090"\ntls = {{ {PAIR} }}\n'
    for decode, base in ((decode_server_settings, SERVER), (decode_client_settings, CLIENT)):
        assert decode(tomllib.loads(f'{base}{table}token_sha256 = "{HASH}"\n')).admin is not None
    # A certificate of the server's own proves nothing of who looks.
    assert "or a token in admin.token_sha256" in mistake(table)


def test_insecure_with_tls_is_a_contradiction() -> None:
    assert mistake(f'[admin]\nlisten = "127.0.0.1:8090"\ninsecure = true\ntls = {{ {PAIR} }}\n') == (
        'admin.insecure: expected false or no such key, as "tls" is given, got true'
    )


def test_file_of_tls_needs_a_name() -> None:
    table = '[admin]\nlisten = "127.0.0.1:8090"\ntls = { certificate = "", key = "server.key" }\n'
    assert mistake(table).startswith("admin.tls.certificate: expected the name of a file")
