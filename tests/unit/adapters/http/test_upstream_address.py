"""Targets as configured."""

from __future__ import annotations

import pytest

from tunnel.adapters.http.upstream_address import UpstreamAddress
from tunnel.domain.configuration import parse_target
from tunnel.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("target", "host", "port", "authority", "tls"),
    [
        ("http://a.test", "a.test", 80, b"a.test", False),
        ("http://A.test:8080", "a.test", 8080, b"a.test:8080", False),
        ("https://a.test", "a.test", 443, b"a.test", True),
        ("http://[::1]:3000", "::1", 3000, b"[::1]:3000", False),
        ("http://127.0.0.1:3000", "127.0.0.1", 3000, b"127.0.0.1:3000", False),
        ("https://[::1]", "::1", 443, b"[::1]", True),
    ],
)
def test_url_target(target, host, port, authority, tls):
    assert UpstreamAddress.parse(target) == UpstreamAddress(target, host, port, authority, tls=tls)


def test_socket_file_target():
    assert UpstreamAddress.parse("unix:/run/app.sock") == UpstreamAddress(
        "unix:/run/app.sock", "", 0, b"localhost", path="/run/app.sock"
    )


@pytest.mark.parametrize(
    "target",
    [
        "",
        "a.test:80",
        "ftp://a.test",
        "http://",
        "http://:80",
        "http://a.test:0",
        "http://a.test:70000",
        "http://a.test:x",
        "http://[::1",
        "http://a.test/",
        "HTTP://a.test",
        "Unix:/run/app.sock",
        "unix://run/app.sock",
        "http://a.test/api",
        "http://a.test?x",
        "http://a.test?",
        "http://a.test#x",
        "http://user:secret@a.test",
        "http://user:secret@a.test/path",
        "http://user:secret@a.test:x",
        "http://a b.test",
        "unix:",
        "unix:app.sock",
        "unix:/a\0b",
    ],
)
def test_what_is_no_target_is_a_configuration_error_without_secrets(target):
    with pytest.raises(ConfigurationError) as raised:
        UpstreamAddress.parse(target)
    with pytest.raises(ConfigurationError):
        parse_target(target)
    assert "secret" not in str(raised.value)
