from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.balancing import HashKey, HashSource
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, TcpOpen


def key(text: str, *headers: bytes) -> bytes:
    return HashKey.parse(text).of(HttpRequest("GET", headers=headers))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("address", HashKey(HashSource.ADDRESS)),
        ("header:X-Tenant", HashKey(HashSource.HEADER, b"x-tenant")),
        ("cookie:Session_Id", HashKey(HashSource.COOKIE, b"Session_Id")),
    ],
)
def test_source_is_read(text: str, expected: HashKey) -> None:
    assert HashKey.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Address",
        "address:x",
        "header",
        "header:",
        "header:a b",
        "header:a:b",
        "cookie:",
        "cookie:é",
        "q:a",
        " address",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="none of address, header:NAME, cookie:NAME"):
        HashKey.parse(text)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), b""),
        ((b"x-other", b"1"), b""),
        ((b"x-tenant", b"acme"), b"acme"),
        ((b"accept", b"x-tenant", b"X-Tenant", b" acme\t"), b"acme"),
        ((b"x-tenant", b"acme", b"x-tenant", b"other"), b"acme"),
        ((b"x-tenant", b""), b""),
    ],
)
def test_header_is_the_first_of_its_name(headers: tuple[bytes, ...], expected: bytes) -> None:
    assert key("header:X-Tenant", *headers) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), b""),
        ((b"cookie", b"sid=abc"), b"abc"),
        ((b"Cookie", b"a=1; sid=abc==; b=2"), b"abc=="),
        ((b"cookie", b"a=1", b"cookie", b"sid=abc"), b"abc"),
        ((b"accept", b"sid=no", b"cookie", b"sid=abc", b"x-other", b"sid=no"), b"abc"),
        ((b"cookie", b"sid=abc; sid=def"), b"abc"),
        ((b"cookie", b"SID=abc; xsid=1; sid"), b""),
        ((b"cookie", b"a=sid=abc"), b""),
        ((b"set-cookie", b"sid=abc"), b""),
    ],
)
def test_cookie_is_found_by_its_exact_name(headers: tuple[bytes, ...], expected: bytes) -> None:
    assert key("cookie:sid", *headers) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"x-forwarded-for", b"203.0.113.7", b"203.0.113.7"),
        (b"x-forwarded-for", b"203.0.113.7, 10.0.0.1, 10.0.0.2", b"203.0.113.7"),
        (b"x-forwarded-for", b"203.0.113.7:4711 , 10.0.0.1", b"203.0.113.7"),
        (b"X-Forwarded-For", b"2001:DB8::1", b"2001:db8::1"),
        (b"x-forwarded-for", b"[2001:db8::1]:4711", b"2001:db8::1"),
        (b"x-forwarded-for", b"unknown", b""),
        (b"x-forwarded-for", b"", b""),
        (b"forwarded", b"for=203.0.113.7;host=app.test;proto=http", b"203.0.113.7"),
        (b"forwarded", b'proto=http; For="[2001:db8::1]:4711", for=10.0.0.1', b"2001:db8::1"),
        (b"forwarded", b'by=10.0.0.9;for="203.0.113.7:80"', b"203.0.113.7"),
        (b"forwarded", b"for=_hidden, for=10.0.0.1", b"_hidden"),
        (b"forwarded", b"for=unknown;proto=http", b""),
        (b"forwarded", b"host=wait-for=it", b""),
        (b"x-real-ip", b"203.0.113.7", b""),
    ],
)
def test_address_is_the_visitors_without_port(name: bytes, value: bytes, expected: bytes) -> None:
    assert key("address", name, value) == expected


def test_address_of_either_style_is_the_same_key() -> None:
    x = key("address", b"x-forwarded-for", b"2001:db8::1")
    assert x == key("address", b"forwarded", b'for="[2001:db8::1]";proto=https')
    assert x == key("address", b"forwarded", b"for=10.0.0.1", b"x-forwarded-for", b"2001:db8::1")


@given(
    st.sampled_from(["address", "header:forwarded", "cookie:for"]),
    st.sampled_from([b"x-forwarded-for", b"forwarded", b"cookie"]),
    st.text(alphabet='for=[]:;," \tunkw0.\\-_', max_size=30),
)
def test_any_value_is_a_key_or_none(text: str, name: bytes, value: str) -> None:
    assert key(text, name, value.encode()) in value.encode().lower()


@pytest.mark.parametrize(
    ("peer", "expected"),
    [("203.0.113.7:4711", b"203.0.113.7"), ("[2001:db8::1]:4711", b"2001:db8::1"), ("203.0.113.7", b"203.0.113.7")],
)
def test_key_of_a_connection_is_its_address_without_port(peer: str, expected: bytes) -> None:
    assert HashKey.parse("address").of(TcpOpen("ssh", peer=peer)) == expected


@pytest.mark.parametrize("text", ["header:x-tenant", "cookie:sid"])
def test_connection_has_no_other_key_than_its_address(text: str) -> None:
    assert HashKey.parse(text).of(TcpOpen("ssh", peer="203.0.113.7:4711")) == b""


@pytest.mark.parametrize("text", ["address", "header:x-tenant", "cookie:sid"])
def test_bare_call_has_no_key(text: str) -> None:
    metadata = (b"x-tenant", b"acme", b"x-forwarded-for", b"203.0.113.7", b"cookie", b"sid=abc")
    assert HashKey.parse(text).of(GrpcFrame(GrpcFrameType.METADATA, "s", "m", metadata)) == b""
