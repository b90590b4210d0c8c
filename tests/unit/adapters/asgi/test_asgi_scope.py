"""Scopes of conversations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from asgi_kit import get, shaking

from tunnel.adapters.asgi.scope import http_scope, websocket_scope
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError


def test_scope_has_all_that_the_specification_asks_for():
    head = get(b"/caf%C3%A9/a%2Fb", headers=(b"X-Forwarded-For", b"203.0.113.9", b"x-forwarded-proto", b"https"))
    scope = http_scope(msgspec.structs.replace(head, query=b"a=1&b=%20"), {"pool": 1})
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/café/a/b",
        "raw_path": b"/caf%C3%A9/a%2Fb",
        "query_string": b"a=1&b=%20",
        "root_path": "",
        "headers": [(b"host", b"app.test"), (b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")],
        "client": ("203.0.113.9", 0),
        "server": ("app.test", 443),
        "state": {"pool": 1},
        "extensions": {"http.response.trailers": {}},
    }


def test_scope_of_a_websocket_has_its_schemes_and_subprotocols():
    headers = (b"x-forwarded-proto", b"https", b"sec-websocket-protocol", b"chat, news")
    scope = websocket_scope(shaking(*headers), {})
    assert (scope["type"], scope["scheme"]) == ("websocket", "wss")
    assert scope["subprotocols"] == ["chat", "news"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert "method" not in scope


@pytest.mark.parametrize(
    ("headers", "client", "scheme"),
    [
        ((), None, "http"),
        ((b"x-forwarded-for", b"unknown"), None, "http"),
        ((b"x-forwarded-for", b"2001:db8::1, 10.0.0.1"), ("2001:db8::1", 0), "http"),
        ((b"forwarded", b'for="[2001:db8::1]";proto=https'), ("2001:db8::1", 0), "https"),
        ((b"x-forwarded-proto", b"HTTPS, http"), None, "https"),
    ],
)
def test_visitor_and_scheme_are_those_the_ingress_told(headers: tuple[bytes, ...], client: Any, scheme: str):
    scope = http_scope(get(headers=headers), {})
    assert (scope["client"], scope["scheme"]) == (client, scheme)


@pytest.mark.parametrize(
    ("host", "server"),
    [
        (b"app.test:8080", ("app.test", 8080)),
        (b"[2001:db8::1]", ("2001:db8::1", 80)),
        (b"[2001:db8::1]:81", ("2001:db8::1", 81)),
        (b"", None),
        (b"a:b:c", None),
    ],
)
def test_server_is_the_authority(host: bytes, server: Any):
    assert http_scope(HttpRequest("GET", host=host), {})["server"] == server


def test_path_that_is_not_utf8_is_told_all_the_same():
    scope = http_scope(get(b"/%ff"), {})
    assert (scope["path"], scope["raw_path"]) == ("/\ufffd", b"/%ff")


def test_field_without_a_value_is_refused():
    with pytest.raises(SessionError) as caught:
        http_scope(HttpRequest("GET", headers=(b"host",)), {})
    assert caught.value.code is ErrorCode.BAD_REQUEST
