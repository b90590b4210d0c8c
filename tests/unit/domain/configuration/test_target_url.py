"""Targets of upstreams, taken apart."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration import ListenAddress, TargetUrl, parse_listen, parse_target
from tunnel.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("target", "expected", "authority"),
    [
        ("http://127.0.0.1:3000", TargetUrl("http", "127.0.0.1", 3000), "127.0.0.1:3000"),
        ("http://App.test", TargetUrl("http", "app.test", 80), "app.test"),
        ("https://app.test", TargetUrl("https", "app.test", 443), "app.test"),
        ("http://[::1]:81", TargetUrl("http", "::1", 81), "[::1]:81"),
        ("https://[::1]", TargetUrl("https", "::1", 443), "[::1]"),
        ("unix:/run/app.sock", TargetUrl("unix", "", 0, "/run/app.sock"), "localhost"),
        ("asgi:shop.main:app", TargetUrl("asgi", application="shop.main:app"), "localhost"),
        ("wsgi:shop:site.app", TargetUrl("wsgi", application="shop:site.app"), "localhost"),
        ("asgi:shop:make()", TargetUrl("asgi", application="shop:make()"), "localhost"),
        ("app:shop", TargetUrl("app", "", 0, "", "shop"), "localhost"),
    ],
)
def test_target_is_taken_apart(target: str, expected: TargetUrl, authority: str) -> None:
    assert parse_target(target) == expected
    assert parse_target(target).authority == authority


@pytest.mark.parametrize("target", ["HTTP://127.0.0.1:3000", "Https://app.test", "UNIX:/run/app.sock"])
def test_scheme_of_a_target_is_in_lower_case(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^p: expected a scheme in lower case, such as \"http:\", got"):
        parse_target(target, "p")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("asgi:shop", 'a module and an attribute of it, such as "asgi:shop.main:app"'),
        ("asgi://shop:app", 'a module and an attribute of it, such as "asgi:shop.main:app"'),
        ("wsgi:shop:app?", 'a module and an attribute of it, such as "wsgi:shop.main:app"'),
        ("asgi:shop:app(1)", 'a module and an attribute of it, such as "asgi:shop.main:app"'),
        ("asgi:../shop:app", 'a module and an attribute of it, such as "asgi:shop.main:app"'),
        ("ASGI:shop:app", 'a scheme in lower case, such as "http:"'),
        ("app:3000", 'the name of an application given in code, such as "app:shop"'),
        ("app:", 'the name of an application given in code, such as "app:shop"'),
    ],
)
def test_application_is_named_by_module_and_attribute(target: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_target(target, "p")
    assert str(caught.value).startswith(f"p: expected {expected}")


@pytest.mark.parametrize("target", ["http://127.0.0.1:3000/", "http://app.test/api", "https://app.test?", "http://a#"])
def test_target_has_nothing_after_its_authority(target: str) -> None:
    with pytest.raises(ConfigurationError, match="without path, query and fragment"):
        parse_target(target)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:7000", "edge.test:443"])
def test_listen_address_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_listen(text)) == text


def test_listen_address_holds_ipv6_without_brackets() -> None:
    assert parse_listen("[::1]:7000") == ListenAddress("::1", 7000)


def test_scheme_of_websockets_is_that_of_http_for_targets() -> None:
    with pytest.raises(
        ConfigurationError, match='expected "https://", whose targets answer WebSockets too, got "wss://a"'
    ):
        parse_target("wss://a")
