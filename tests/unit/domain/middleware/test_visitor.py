from ipaddress import ip_address

import pytest

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, TcpOpen
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.middleware.visitor import Networks, scheme_of, visitor_of

NOBODY = Networks((), "x")
PROXIES = Networks(("10.0.0.0/8", "2001:db8::/32"), "x")


def request(*fields):
    return HttpRequest("GET", headers=fields)


@pytest.mark.parametrize(
    ("head", "peer", "trusted", "visitor"),
    [
        (request(b"x-forwarded-for", b"192.0.2.1"), "192.0.2.1", NOBODY, "192.0.2.1"),
        (request(b"x-forwarded-for", b"1.1.1.1, 10.0.0.9"), "10.0.0.9", NOBODY, "10.0.0.9"),
        (request(b"x-forwarded-for", b"6.6.6.6, 1.1.1.1, 10.0.0.9"), "", PROXIES, "1.1.1.1"),
        (request(b"x-forwarded-for", b"1.1.1.1", b"x-forwarded-for", b"10.0.0.9"), "", PROXIES, "1.1.1.1"),
        (request(b"x-forwarded-for", b"10.0.0.1, 10.0.0.9"), "", PROXIES, "10.0.0.1"),
        (request(b"x-forwarded-for", b"nonsense, 10.0.0.9"), "", PROXIES, "10.0.0.9"),
        (request(b"x-forwarded-for", b"unknown"), "192.0.2.1", NOBODY, None),
        (request(b"forwarded", b'for="[2001:db9::1]:99";proto=https'), "", NOBODY, "2001:db9::1"),
        (request(b"accept", b"1.1.1.1", b"X-Forwarded-For", b"192.0.2.1", b"x-b", b"6.6.6.6"), "", NOBODY, "192.0.2.1"),
        (
            request(b"accept", b"for=1.1.1.1", b"Forwarded", b"for=192.0.2.1", b"x", b"for=6.6.6.6"),
            "",
            NOBODY,
            "192.0.2.1",
        ),
        (request(b"x-forwarded-for", b"1.1.1.1, nonsense, 10.0.0.9"), "", PROXIES, "10.0.0.9"),
        (request(b"x-forwarded-for", b", ".join([b"1.1.1.1"] + [b"10.0.0.9"] * 31)), "", PROXIES, "1.1.1.1"),
        (request(b"x-forwarded-for", b", ".join([b"1.1.1.1"] + [b"10.0.0.9"] * 32)), "", PROXIES, "10.0.0.9"),
        (request(), "::ffff:192.0.2.1", NOBODY, "192.0.2.1"),
        (request(), "", NOBODY, None),
        (TcpOpen("ssh", peer="192.0.2.7:99"), "", NOBODY, "192.0.2.7"),
        (GrpcFrame(GrpcFrameType.METADATA, metadata=(b"x-forwarded-for", b"192.0.2.3")), "", NOBODY, "192.0.2.3"),
    ],
)
def test_visitor_is_the_last_that_is_no_trusted_proxy(head, peer, trusted, visitor):
    assert visitor_of(head, peer, trusted) == (None if visitor is None else ip_address(visitor))


@pytest.mark.parametrize(
    ("fields", "scheme"),
    [
        ((b"x-forwarded-proto", b"https"), b"https"),
        ((b"forwarded", b"for=1.1.1.1;proto=https"), b"https"),
        ((b"x-forwarded-proto", b"http"), b"http"),
        ((b"x-forwarded-proto", b"wss"), b"https"),
        ((b"accept", b"https", b"X-Forwarded-Proto", b"https", b"x-other", b"http"), b"https"),
        ((b"x-forwarded-proto", b"http", b"x-forwarded-proto", b"https"), b"https"),
        ((b"forwarded", b"proto=http"), b"http"),
        ((), b"http"),
    ],
)
def test_scheme_is_what_the_ingress_wrote(fields, scheme):
    assert scheme_of(request(*fields)) == scheme


def test_what_is_no_network_is_refused():
    with pytest.raises(ConfigurationError) as caught:
        Networks(("10.0.0.0/8", "localhost"), "allow")
    assert caught.value.key_path == "allow[1]"


def test_network_may_be_written_by_any_of_its_addresses():
    assert ip_address("10.1.0.1") in Networks(("10.1.2.3/16",), "allow")


def test_networks_are_true_when_any_is_given():
    assert PROXIES
    assert not NOBODY
