"""The normal form of claims, and what has none."""

from __future__ import annotations

import pytest

from tunnel.domain.claims.claim import Claim, group_label
from tunnel.domain.claims.normal_form import normal_claim
from tunnel.domain.errors import ConfigurationError

LONGEST_HOST = ".".join(["a" * 63] * 3 + ["b" * 61])


@pytest.mark.parametrize(
    ("host", "path_prefix", "claim"),
    [
        ("Demo.Example.TEST", "/", Claim("demo.example.test", "")),
        ("a", "/x/", Claim("a", "/x")),
        ("xn--bcher-kva.test", "/pkg.Service", Claim("xn--bcher-kva.test", "/pkg.Service")),
        ("a_b-c.test", "/~u/(v)", Claim("a_b-c.test", "/~u/(v)")),
        (None, "/api", Claim("", "/api")),
        (LONGEST_HOST, "/", Claim(LONGEST_HOST, "")),
        ("a.test", "/" + "x" * 255, Claim("a.test", "/" + "x" * 255)),
    ],
)
def test_hosts_are_in_lower_case_and_prefixes_without_a_slash_behind(
    host: str | None, path_prefix: str, claim: Claim
) -> None:
    assert normal_claim(host, path_prefix) == claim


@pytest.mark.parametrize(
    ("host", "path_prefix", "message"),
    [
        ("*.a.test", "/", "claim.host: expected a host name, without wildcard and no IPv6 address"),
        ("[::1]", "/", "claim.host: expected a host name, without wildcard and no IPv6 address"),
        ("a.test:80", "/", "claim.host: expected a host without port; an IPv6 address stands in brackets, like [::1]"),
        ("bücher.test", "/", "claim.host: expected an ASCII host name; write an international one in its xn-- form"),
        ("a.test.", "/", None),
        ("a..test", "/", None),
        ("", "/", None),
        (" a.test", "/", None),
        ("a.test\n", "/", None),
        ("a" * 64, "/", None),
        ("a.test", "", "claim.path_prefix: expected a path that starts with /"),
        ("a.test", "x", "claim.path_prefix: expected a path that starts with /"),
        ("a.test", "/x?y", "claim.path_prefix: expected a path without ? and #"),
        ("a.test", "/x//y", "claim.path_prefix: expected a path without empty segments (//)"),
        ("a.test", "//", "claim.path_prefix: expected a path without empty segments (//)"),
        ("a.test", "/x\n", None),
        ("a.test", "/%41", None),
        ("a.test", "/ä", None),
        ("a.test", "/a b", None),
        (
            "a.test",
            "/" + "x" * 256,
            "claim.path_prefix: expected at most 256 characters that stand in a URL as they are",
        ),
    ],
)
def test_what_has_no_normal_form_is_refused_by_its_key(host: str, path_prefix: str, message: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        normal_claim(host, path_prefix, "claim")

    assert caught.value.key_path == ("claim.host" if path_prefix == "/" else "claim.path_prefix")
    if message is not None:
        assert str(caught.value) == message


def test_groups_of_claims_have_one_label() -> None:
    claim = Claim("a.test", "/x")

    assert str(claim) == "a.test/x"
    assert claim.group == "claim:a.test/x"
    assert Claim("a.test").group == "claim:a.test/"
    assert [group_label(each) for each in (claim.group, "claim", "web")] == ["claim:*", "claim", "web"]
