"""``[transports.websocket] on_ingress``: what it needs, and what it does without."""

from __future__ import annotations

from typing import Any

import pytest

from tunnel.domain.configuration import decode_server_settings
from tunnel.domain.configuration.server import check_succession
from tunnel.domain.errors import ConfigurationError

TLS = {"certificate": "server.pem", "key": "server.key"}
LOOPBACK, PUBLIC = "127.0.0.1:8080", "0.0.0.0:8080"
INSECURE = (
    'transports.websocket.insecure: expected "tls", or "insecure = true": tokens would travel in clear, since this '
    "address is not loopback"
)


def table(websocket: dict[str, Any], http: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"transports": {"websocket": websocket}, "ingress": {} if http is None else {"http": http}}


@pytest.mark.parametrize(
    ("websocket", "http"),
    [
        pytest.param({"on_ingress": True}, {"listen": LOOPBACK}, id="loopback"),
        pytest.param({"on_ingress": True}, {"listen": PUBLIC, "tls": TLS}, id="with TLS"),
        pytest.param({"on_ingress": True, "insecure": True}, {"listen": PUBLIC}, id="asked for"),
        pytest.param({"on_ingress": True}, None, id="mounted"),
        pytest.param({"on_ingress": True, "listen": "127.0.0.1:7001"}, {"listen": LOOPBACK}, id="both"),
        pytest.param({"on_ingress": True, "listen": "0.0.0.0:7001", "tls": TLS}, {"listen": LOOPBACK}, id="own TLS"),
        pytest.param(
            {"on_ingress": True, "listen": "0.0.0.0:7001", "tls": TLS, "insecure": True},
            {"listen": PUBLIC},
            id="own TLS, plain ingress asked for",
        ),
        pytest.param({"listen": "127.0.0.1:7001"}, {"listen": PUBLIC}, id="off"),
    ],
)
def test_links_may_come_in_on_the_ingress(websocket: dict[str, Any], http: dict[str, Any] | None) -> None:
    settings = decode_server_settings(table(websocket, http))

    assert settings.transports.websocket is not None
    assert settings.transports.websocket.on_ingress is websocket.get("on_ingress", False)


@pytest.mark.parametrize(
    ("websocket", "http", "message"),
    [
        ({}, None, 'transports.websocket.listen: expected an address "HOST:PORT", or "on_ingress = true"'),
        ({"on_ingress": True}, {"listen": PUBLIC}, INSECURE),
        ({"on_ingress": True, "listen": "0.0.0.0:7001", "tls": TLS}, {"listen": PUBLIC}, INSECURE),
        ({"on_ingress": True, "listen": "0.0.0.0:7001"}, {"listen": PUBLIC, "tls": TLS}, INSECURE),
        (
            {"on_ingress": True, "tls": TLS},
            {"listen": LOOPBACK},
            'transports.websocket.tls: expected no such key without "listen": on the ingress its own "tls" counts',
        ),
        (
            {"listen": "0.0.0.0:7001", "tls": TLS, "insecure": True},
            {"listen": PUBLIC},
            'transports.websocket.insecure: expected false or no such key, as "tls" is given, got true',
        ),
    ],
)
def test_tokens_travel_in_clear_only_where_that_was_asked_for(
    websocket: dict[str, Any], http: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode_server_settings(table(websocket, http))

    assert str(caught.value) == message


def test_a_listener_of_its_own_may_come_and_go() -> None:
    one = decode_server_settings(table({"on_ingress": True}, {"listen": LOOPBACK}))
    other = decode_server_settings(table({"listen": "127.0.0.1:7001", "tls": TLS}, {"listen": LOOPBACK}))

    check_succession(one, other)
    check_succession(other, one)
