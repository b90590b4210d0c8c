from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.hosts import normal_host


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"", b""),
        (b"a.test", b"a.test"),
        (b"A.Test", b"a.test"),
        (b"a.test:80", b"a.test"),
        (b"a.test:65535", b"a.test"),
        (b"a.test:", b"a.test"),
        (b"a.test.", b"a.test"),
        (b"A.test.:8080", b"a.test"),
        (b"localhost", b"localhost"),
        (b"127.0.0.1:80", b"127.0.0.1"),
        (b"[::1]", b"[::1]"),
        (b"[::1]:80", b"[::1]"),
        (b"[0:0:0:0:0:0:0:1]:80", b"[::1]"),
        (b"[2001:DB8::A]", b"[2001:db8::a]"),
        (b".".join([b"a" * 63] * 3 + [b"b" * 61]) + b".:65535", b".".join([b"a" * 63] * 3 + [b"b" * 61])),
    ],
)
def test_hosts_have_one_normal_form(authority: bytes, expected: bytes) -> None:
    assert normal_host(authority) == expected


@pytest.mark.parametrize(
    "authority",
    [
        b".",
        b":80",
        b"a..test",
        b".a.test",
        b"a.test..",
        b"a.test:80:80",
        b"a.test:http",
        b"a.test:65536",
        b"a.test:-1",
        b"a.test:000080",
        b"user@a.test",
        b"a.test/x",
        b"a test",
        b"a.test\n",
        b"*.test",
        b"caf\xc3\xa9.test",
        b"%61.test",
        b"::1",
        b"[::1",
        b"::1]",
        b"[]",
        b"[::1]x",
        b"[a.test]",
        b"[1.2.3.4]",
        b"[fe80::1%25eth0]",
        b"a" * 64,
        b".".join([b"a" * 63] * 4),
        b"a." * 10_000,
    ],
)
def test_malformed_hosts_are_bad_requests(authority: bytes) -> None:
    with pytest.raises(SessionError) as caught:
        normal_host(authority)
    assert caught.value.code is ErrorCode.BAD_REQUEST


@given(st.binary(max_size=40) | st.text("aA.-_:[]0f1%@", max_size=40).map(str.encode))
def test_normal_form_is_stable_or_the_host_is_refused(authority: bytes) -> None:
    try:
        host = normal_host(authority)
    except SessionError:
        return
    assert normal_host(host) == host
    assert host == host.lower()
