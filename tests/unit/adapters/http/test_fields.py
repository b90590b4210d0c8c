"""Header fields as flat tuples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.adapters.http.fields import pairs, strip_hop_by_hop, tokens, values, without

PLAIN = (b"Host", b"a.test", b"Accept", b"*/*", b"Cookie", b"a=1", b"cookie", b"b=2", b"Trailer", b"Digest")


def test_headers_without_hop_by_hop_fields_come_back_as_the_same_tuple():
    assert strip_hop_by_hop(PLAIN) is PLAIN
    assert strip_hop_by_hop(()) == ()


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"keep-alive",
        b"PROXY-CONNECTION",
        b"Proxy-Authenticate",
        b"Proxy-Authorization",
        b"TE",
        b"Transfer-Encoding",
        b"uPgRaDe",
    ],
)
def test_hop_by_hop_field_is_removed_whatever_its_case(name):
    assert strip_hop_by_hop((*PLAIN[:2], name, b"x", *PLAIN[2:])) == PLAIN


def test_fields_named_by_connection_are_removed_before_and_after_it():
    headers = (b"X-One", b"1", b"Connection", b"close, x-one", b"x-two", b"2", b"connection", b"X-TWO,", b"X-3", b"3")
    assert strip_hop_by_hop(headers) == (b"X-3", b"3")


def test_connection_cannot_remove_what_every_recipient_needs():
    headers = (b"Host", b"a", b"Content-Length", b"2", b"X-Forwarded-For", b"::1", b"Connection")
    named = b"host, content-length, X-Forwarded-For"
    assert strip_hop_by_hop((*headers, named)) == headers[:-1]


def test_connection_cannot_remove_what_is_told_of_the_visitor_or_names_the_request():
    headers = (b"x-request-id", b"1", b"x-real-ip", b"::1", b"x-forwarded-port", b"80", b"x-forwarded-user", b"a")
    named = b"x-request-id, X-Real-IP, x-forwarded-port, x-forwarded-user"
    assert strip_hop_by_hop((*headers, b"connection", named)) == headers


def test_values_finds_repeated_fields_whatever_their_case():
    assert values(PLAIN, b"cookie") == [b"a=1", b"b=2"]
    assert values(PLAIN, b"absent") == []


def test_tokens_are_lower_case_without_blanks_and_empty_members():
    assert tokens([b"Close , ,keep-alive", b"\tTE"]) == {b"close", b"keep-alive", b"te"}


def test_without_keeps_the_tuple_when_nothing_matches():
    assert without(PLAIN, frozenset({b"absent"})) is PLAIN
    assert without(PLAIN, frozenset({b"cookie", b"trailer"})) == PLAIN[:4]


NAMES = st.sampled_from([b"Connection", b"connection", b"TE", b"X-A", b"x-a", b"X-B", b"Host", b"Upgrade"])
VALUES = st.sampled_from([b"", b"x-a", b"X-A, host", b"close", b"x-b,x-b"])


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_stripping_keeps_a_subsequence_and_is_idempotent(fields):
    headers = tuple(item for pair in fields for item in pair)
    stripped = strip_hop_by_hop(headers)
    rest = iter(pairs(headers))
    assert all(pair in rest for pair in pairs(stripped))
    assert strip_hop_by_hop(stripped) is stripped
    assert values(stripped, b"host") == values(headers, b"host")
