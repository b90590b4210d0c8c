from __future__ import annotations

import pytest

from tunnel.adapters.http.fields import pairs
from tunnel.adapters.http.forwarded import Forwarder
from tunnel.domain.envelopes import Headers
from tunnel.domain.errors import ConfigurationError


def forward(
    forwarder: Forwarder, headers: Headers = (), *, peer: str = "192.0.2.9", host: bytes = b"a.test"
) -> list[tuple[bytes, bytes]]:
    return list(pairs(forwarder.forward(headers, peer=peer, scheme="https", host=host)))


def test_x_style_tells_peer_scheme_and_host_after_the_other_fields() -> None:
    assert forward(Forwarder(), (b"accept", b"*/*")) == [
        (b"accept", b"*/*"),
        (b"x-forwarded-for", b"192.0.2.9"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"a.test"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x_forwarded_for",
        b"x-forwarded_for",
        b"forwarded",
        b"x-real-ip",
        b"x_real_ip",
    ],
)
@pytest.mark.parametrize("style", ["x", "rfc7239"])
def test_what_an_untrusted_peer_claims_is_replaced(name: bytes, style: str) -> None:
    forwarder = Forwarder(style, ["10.0.0.0/8"])  # type: ignore[arg-type]

    fields = forward(forwarder, (b"a", b"1", name, b"6.6.6.6", b"b", b"2"))

    assert fields[:2] == [(b"a", b"1"), (b"b", b"2")]
    assert not any(b"6.6.6.6" in value for _, value in fields)


def test_names_that_only_resemble_stay() -> None:
    headers = (b"x-real-estate", b"1", b"forwarded-by", b"2")

    assert forward(Forwarder(), headers)[:2] == list(pairs(headers))


def test_trusted_proxy_is_appended_to_and_its_other_claims_kept() -> None:
    headers = (
        b"x-forwarded-for",
        b"198.51.100.1",
        b"x-forwarded-proto",
        b"http",
        b"accept",
        b"*/*",
        b"x-forwarded-for",
        b"198.51.100.2",
        b"x-forwarded-host",
        b"outer.test",
        b"x-real-ip",
        b"198.51.100.1",
    )

    assert forward(Forwarder(trusted_proxies=["192.0.2.0/24"]), headers) == [
        (b"x-forwarded-proto", b"http"),
        (b"accept", b"*/*"),
        (b"x-forwarded-host", b"outer.test"),
        (b"x-real-ip", b"198.51.100.1"),
        (b"x-forwarded-for", b"198.51.100.1, 198.51.100.2, 192.0.2.9"),
    ]


def test_trusted_proxy_that_claims_nothing_gets_all_three() -> None:
    assert forward(Forwarder(trusted_proxies=["192.0.2.9"])) == [
        (b"x-forwarded-for", b"192.0.2.9"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"a.test"),
    ]


def test_rfc7239_style_sets_forwarded() -> None:
    assert forward(Forwarder("rfc7239")) == [(b"forwarded", b"for=192.0.2.9;host=a.test;proto=https")]


def test_rfc7239_quotes_addresses_and_authorities_with_colons() -> None:
    assert forward(Forwarder("rfc7239"), peer="2001:db8::1", host=b"a.test:8080") == [
        (b"forwarded", b'for="[2001:db8::1]";host="a.test:8080";proto=https')
    ]


def test_rfc7239_escapes_what_would_end_the_quotes() -> None:
    assert forward(Forwarder("rfc7239"), host=b'a";for=6.6.6.6') == [
        (b"forwarded", b'for=192.0.2.9;host="a\\";for=6.6.6.6";proto=https')
    ]


def test_rfc7239_appends_to_a_trusted_proxy() -> None:
    fields = forward(Forwarder("rfc7239", ["192.0.2.0/24"]), (b"forwarded", b"for=198.51.100.1"))

    assert fields == [
        (b"forwarded", b"for=198.51.100.1"),
        (b"forwarded", b"for=192.0.2.9;host=a.test;proto=https"),
    ]


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::7", True),
        ("11.0.0.1", False),
        ("2001:db9::7", False),
        ("", False),
        ("not an address", False),
    ],
)
def test_networks_of_both_families_match(peer: str, trusted: bool) -> None:
    forwarder = Forwarder(trusted_proxies=["10.0.0.0/8", "2001:db8::/32"])

    fields = dict(forward(forwarder, (b"x-forwarded-for", b"198.51.100.1"), peer=peer))

    assert fields[b"x-forwarded-for"].startswith(b"198.51.100.1, ") is trusted


def test_mapped_ipv4_peer_is_told_as_ipv4() -> None:
    assert dict(forward(Forwarder(), peer="::ffff:192.0.2.1"))[b"x-forwarded-for"] == b"192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "told"),
    [("fe80::1%eth0", b"fe80::1"), ("::ffff:192.0.2.1%2", b"192.0.2.1"), ("2001:db8::1", b"2001:db8::1")],
)
def test_zone_of_a_peer_is_nobody_elses_business(peer: str, told: bytes) -> None:
    assert dict(forward(Forwarder(), peer=peer))[b"x-forwarded-for"] == told
    assert Forwarder(trusted_proxies=["fe80::/10"]).trusts(peer) is peer.startswith("fe80")
    if b":" in told:
        told = b'"[%b]"' % told
    assert dict(forward(Forwarder("rfc7239"), peer=peer))[b"forwarded"].startswith(b"for=%b;" % told)


@pytest.mark.parametrize(
    ("style", "name", "value"),
    [("x", b"x-forwarded-for", b"unknown"), ("rfc7239", b"forwarded", b"for=unknown;host=a.test;proto=https")],
)
def test_peer_without_address_is_unknown(style: str, name: bytes, value: bytes) -> None:
    assert dict(forward(Forwarder(style), peer=""))[name] == value  # type: ignore[arg-type]


def test_request_without_host_tells_none() -> None:
    assert b"x-forwarded-host" not in dict(forward(Forwarder(), host=b""))
    assert forward(Forwarder("rfc7239"), host=b"") == [(b"forwarded", b"for=192.0.2.9;proto=https")]


def test_wrong_network_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"trusted_proxies.*'10\.0\.0\.0/99'"):
        Forwarder(trusted_proxies=["10.0.0.0/99"])
