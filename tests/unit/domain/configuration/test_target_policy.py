"""What a client lets its server make it dial."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration import LOOPBACK_TARGETS, TargetPolicy
from tunnel.domain.errors import ConfigurationError

DEFAULT = TargetPolicy(LOOPBACK_TARGETS)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.9.9.9", "127.9.9.9"),
        ("localhost", "127.0.0.1"),
        ("localhost", "::1"),
        ("::1", "::1"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("anything.test", "127.0.0.1"),
    ],
)
def test_default_permits_loopback_whatever_the_name(host: str, address: str) -> None:
    assert DEFAULT.permits(host, 3000, address)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("localhost", "10.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("metadata.test", "169.254.169.254"),
        ("fe80::1", "fe80::1%eth0"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("localhost", "localhost"),
        ("localhost", ""),
    ],
)
def test_default_refuses_everything_else(host: str, address: str) -> None:
    assert not DEFAULT.permits(host, 80, address)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "address", "permitted"),
    [
        ("10.0.0.0/8:80", "10.1.2.3", 80, "10.1.2.3", True),
        ("10.0.0.0/8:80", "10.1.2.3", 81, "10.1.2.3", False),
        ("10.0.0.7", "10.0.0.7", 9, "10.0.0.7", True),
        ("10.0.0.7:80", "db.test", 80, "10.0.0.7", True),
        ("10.0.0.7", "10.0.0.8", 9, "10.0.0.8", False),
        ("fd00::/8", "fd00::1", 9, "fd00::1", True),
        ("[fd00::/8]:80", "fd00::1", 80, "fd00::1", True),
        ("[fd00::]/8:80", "fd00::1", 81, "fd00::1", False),
        ("[fd00::1]:80", "fd00::1", 80, "fd00::1", True),
        ("::1", "::1", 80, "::1", True),
        ("DB.internal.test", "db.Internal.test.", 1, "10.0.0.1", True),
        ("db.internal.test:5432", "db.internal.test", 1, "10.0.0.1", False),
        ("db.internal.test", "x.db.internal.test", 1, "10.0.0.1", False),
        ("*.internal.test:443", "a.b.internal.test", 443, "10.0.0.1", True),
        ("*.internal.test", "internal.test", 443, "10.0.0.1", False),
        ("*.internal.test", "evilinternal.test", 443, "10.0.0.1", False),
        ("0.0.0.0/0", "anything.test", 1, "8.8.8.8", True),
        ("0.0.0.0/0", "anything.test", 1, "2001:db8::1", False),
    ],
)
def test_pattern_decides(pattern: str, host: str, port: int, address: str, *, permitted: bool) -> None:
    assert TargetPolicy([pattern]).permits(host, port, address) is permitted


def test_no_pattern_permits_nothing() -> None:
    assert not TargetPolicy([]).permits("127.0.0.1", 80, "127.0.0.1")


@pytest.mark.parametrize(
    ("patterns", "target"),
    [
        (LOOPBACK_TARGETS, "http://127.0.0.1:3000"),
        (LOOPBACK_TARGETS, "https://[::1]"),
        (LOOPBACK_TARGETS, "http://localhost:3000"),
        (LOOPBACK_TARGETS, "http://may-resolve-to-loopback.test"),
        (["*.internal.test:443"], "https://a.internal.test"),
        (["127.0.0.0/8:80"], "http://localhost"),
        (["unix:/run/app.sock"], "unix:/run/app.sock"),
        (["asgi:shop.main:app"], "asgi:shop.main:app"),
        (["app:shop"], "app:shop"),
    ],
)
def test_snapshot_check_lets_pass_what_could_be_permitted(patterns: list[str], target: str) -> None:
    TargetPolicy(patterns).check(target)


@pytest.mark.parametrize(
    ("patterns", "target", "message"),
    [
        (LOOPBACK_TARGETS, "http://10.0.0.1", 'p: "http://10.0.0.1" is not permitted by allow_targets'),
        (["127.0.0.0/8:80"], "http://localhost:81", 'p: "http://localhost:81" is not permitted by allow_targets'),
        (["*.internal.test"], "http://app.test", 'p: "http://app.test" is not permitted by allow_targets'),
        (LOOPBACK_TARGETS, "unix:/run/app.sock", 'p: "unix:/run/app.sock" must be listed literally in allow_targets'),
        (["unix:/run/app.sock"], "unix:/run/../etc", 'p: "unix:/run/../etc" must be listed literally in allow_targets'),
        (LOOPBACK_TARGETS, "asgi:os:system", 'p: "asgi:os:system" must be listed literally in allow_targets'),
        (LOOPBACK_TARGETS, "wsgi:os:system", 'p: "wsgi:os:system" must be listed literally in allow_targets'),
        (LOOPBACK_TARGETS, "app:shop", 'p: "app:shop" must be listed literally in allow_targets'),
        (["asgi:shop:app"], "asgi:shop:app()", 'p: "asgi:shop:app()" must be listed literally in allow_targets'),
        (["app:shop"], "asgi:shop:app", 'p: "asgi:shop:app" must be listed literally in allow_targets'),
    ],
)
def test_snapshot_check_refuses_what_never_could(patterns: list[str], target: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TargetPolicy(patterns).check(target, "p")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "*:80",
        "10.0.0.1/8",
        "10.0.0.256",
        "a b",
        "http://a",
        "a:b",
        "a:70000",
        "[::1",
        "a.*.test",
        "[fd00::/8]/8",
        "asgi:shop",
        "app:3000",
    ],
)
def test_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^allow_targets\[1\]: "):
        TargetPolicy(["127.0.0.1", pattern])


def test_address_with_a_length_is_told_the_network_that_it_is_in() -> None:
    with pytest.raises(ConfigurationError, match=r'got "10\.0\.0\.1/8"; did you mean "10\.0\.0\.0/8"\?$'):
        TargetPolicy(["10.0.0.1/8"])
