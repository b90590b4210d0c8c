"""What a credential may claim."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.grant import covers, granted, names_exactly, public_url
from tunnel.domain.claims.label import random_label
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import Principal

RANDOM = random.Random(7)


def principal(*hosts: str) -> Principal:
    return Principal("laptop", hosts=hosts)


@pytest.mark.parametrize(
    ("hosts", "host", "covered"),
    [
        ((), "a.test", False),
        (("a.test",), "a.test", True),
        (("A.Test",), "a.test", True),
        (("a.test",), "b.a.test", False),
        (("*.a.test",), "b.a.test", True),
        (("*.A.test",), "c.b.a.test", True),
        (("*.a.test",), "a.test", False),
        (("*.a.test",), ".a.test", False),
        (("*.a.test",), "xa.test", False),
        (("*.a.test",), "evila.test", False),
        (("*.a.test",), "b.a.test.evil", False),
        (("x.test", "*.a.test"), "b.a.test", True),
    ],
)
def test_wildcards_cover_one_label_or_more_and_never_the_bare_domain(
    hosts: tuple[str, ...], host: str, covered: bool
) -> None:
    assert covers(hosts, host) is covered


def test_a_wildcard_names_no_host_exactly() -> None:
    assert names_exactly(("*.a.test", "B.a.test"), "b.a.test")
    assert not names_exactly(("*.a.test",), "b.a.test")


def test_what_is_covered_is_granted_in_normal_form() -> None:
    assert granted(principal("*.a.test"), Claim("X.a.test", "/y/"), RANDOM) == Claim("x.a.test", "/y")


def test_host_left_out_is_below_the_first_wildcard() -> None:
    claim = granted(principal("exact.test", "*.One.test", "*.two.test"), Claim("", "/y"), RANDOM)

    assert re.fullmatch(r"[a-z]{5}-[a-z]{5}-[a-z]{5}\.one\.test", claim.host)
    assert claim.path_prefix == "/y"


@pytest.mark.parametrize(
    ("hosts", "asked", "reason"),
    [
        ((), Claim("a.test"), 'this credential may not claim the host "a.test"'),
        ((), Claim(), "this credential may not claim any host"),
        (
            ("a.test",),
            Claim(),
            "this credential has no wildcard host; claim one that it names, such as a.test",
        ),
        (("*.a.test",), Claim("*.a.test"), "claim.host: expected a host name, without wildcard and no IPv6 address"),
    ],
)
def test_what_is_not_covered_is_forbidden(hosts: tuple[str, ...], asked: Claim, reason: str) -> None:
    with pytest.raises(RegistrationRefused) as caught:
        granted(principal(*hosts), asked, RANDOM)

    assert (caught.value.code, caught.value.reason) == (ErrorCode.FORBIDDEN, reason)


def test_host_below_a_wildcard_may_be_as_long_as_a_host_can_be() -> None:
    label = len(random_label(random.Random(7)))
    suffix = "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * (253 - label - 1 - 3 * 64)

    claim = granted(principal(f"*.{suffix}"), Claim(), random.Random(7))

    assert len(claim.host) == 253


def test_wildcard_that_leaves_no_room_for_a_label_is_forbidden() -> None:
    suffix = ".".join(["a" * 60] * 4)

    with pytest.raises(RegistrationRefused):
        granted(principal(f"*.{suffix}"), Claim(), RANDOM)


@given(st.lists(st.integers(0, 2**16 - 1), min_size=3, max_size=3))
def test_every_number_has_a_label_of_its_own_that_can_be_read_back(numbers: list[int]) -> None:
    class Numbers:
        def random(self) -> float:
            raise AssertionError

        def randrange(self, stop: int, /) -> int:
            assert stop == 2**16
            return rest.pop(0)

    rest = list(numbers)
    label = random_label(Numbers())

    def read(quint: str) -> int:
        bits = 0
        for letter in quint:
            vowel = "aiou".find(letter)
            bits = bits << 2 | vowel if vowel >= 0 else bits << 4 | "bdfghjklmnprstvz".index(letter)
        return bits

    assert [read(quint) for quint in label.split("-")] == numbers


@pytest.mark.parametrize(
    ("base", "claim", "url"),
    [
        ("https://edge.test", Claim("a.test"), "https://a.test"),
        ("https://edge.test:8443", Claim("a.test", "/x"), "https://a.test:8443/x"),
        ("http://0.0.0.0:8080", Claim("a.test"), "http://a.test:8080"),
        ("http://[::1]:8080", Claim("a.test"), "http://a.test:8080"),
        ("http://edge.test:80", Claim("a.test"), "http://a.test:80"),
        (None, Claim("a.test"), None),
    ],
)
def test_url_has_scheme_and_port_of_the_ingress(base: str | None, claim: Claim, url: str | None) -> None:
    assert public_url(base, claim) == url
