"""What people write when they expose something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.configuration import parse_target
from tunnel.domain.configuration.exposed_target import ExposedTarget, claimed_target, is_target, target_url
from tunnel.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("3000", "http://127.0.0.1:3000"),
        (":3000", "http://127.0.0.1:3000"),
        ("65535", "http://127.0.0.1:65535"),
        ("localhost:3000", "http://localhost:3000"),
        ("10.0.0.7:80", "http://10.0.0.7:80"),
        ("[::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
        ("https://app.internal", "https://app.internal"),
        ("grpc://127.0.0.1:50051", "grpc://127.0.0.1:50051"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("asgi:shop.main:app", "asgi:shop.main:app"),
        ("wsgi:shop.main:app", "wsgi:shop.main:app"),
    ],
)
def test_target_is_understood(text: str, url: str) -> None:
    assert target_url(text) == url
    assert is_target(url)
    parse_target(url)


@pytest.mark.parametrize("text", ["main:app", "shop.main:app", "shop.main:site.app", "main:make()", "app:app"])
def test_name_of_an_application_stays_a_name(text: str) -> None:
    assert target_url(text) == text
    assert not is_target(text)


@pytest.mark.parametrize(
    "text",
    ["", "app", "0", "65536", "99999999", "3000x", "-1", "host:", "host:0", "host:70000", "a b:c", "3x:app", "::1"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^TARGET: expected a port such as"):
        target_url(text, "TARGET")


@given(st.integers(1, 65535))
def test_every_port_is_one_of_this_machine(port: int) -> None:
    assert target_url(str(port)) == target_url(f":{port}") == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3000", ExposedTarget("3000")),
        ("demo.example.test=3000", ExposedTarget("3000", "demo.example.test")),
        ("demo.example.test/api=:3000", ExposedTarget(":3000", "demo.example.test", "/api")),
        ("/api/v1=main:app", ExposedTarget("main:app", None, "/api/v1")),
        ("demo.example.test/=3000", ExposedTarget("3000", "demo.example.test", "/")),
        ("=3000", ExposedTarget("3000")),
        ("unix:/run/a=b.sock", ExposedTarget("unix:/run/a=b.sock")),
        ("demo.test=unix:/run/a=b.sock", ExposedTarget("unix:/run/a=b.sock", "demo.test")),
    ],
)
def test_claim_before_a_target_is_told_from_it(text: str, expected: ExposedTarget) -> None:
    assert claimed_target(text) == expected
