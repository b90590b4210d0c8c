"""Tokens of those that sent a conversation on directly."""

from __future__ import annotations

import pytest

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, Opening, TcpOpen
from tunnel.domain.hops import has_passed, with_hop

HTTP = HttpRequest("GET", headers=(b"host", b"a.test"))
CALL = GrpcFrame(GrpcFrameType.METADATA.value, "pkg.S", "M", (b"grpc-timeout", b"1S"))


@pytest.mark.parametrize("head", [HTTP, CALL])
def test_conversation_is_known_again_by_whoever_sent_it_on_and_by_nobody_else(head: Opening) -> None:
    sent_on = with_hop(head, b"mine")
    assert has_passed(sent_on, b"mine")
    assert not has_passed(sent_on, b"theirs")
    assert not has_passed(head, b"mine")


def test_token_is_found_among_others_and_in_any_of_several_fields() -> None:
    head = HttpRequest("GET", headers=(b"tunnel-hops", b"one, mine", b"a", b"b", b"tunnel-hops", b"two"))
    assert all(has_passed(head, token) for token in (b"one", b"mine", b"two"))


@pytest.mark.parametrize("headers", [(b"x-hops", b"mine"), (b"mine", b"tunnel-hops"), (b"a", b"tunnel-hops")])
def test_what_stands_elsewhere_is_no_token(headers: tuple[bytes, ...]) -> None:
    assert not has_passed(HttpRequest("GET", headers=headers), b"mine")


def test_what_was_said_before_is_kept_in_its_place() -> None:
    sent_on = with_hop(CALL, b"mine")
    assert isinstance(sent_on, GrpcFrame)
    # The deadline has to stay first, where whoever reads the opening looks for it.
    assert sent_on.metadata == (b"grpc-timeout", b"1S", b"tunnel-hops", b"mine")


def test_tcp_has_no_place_for_a_token() -> None:
    head = TcpOpen("ssh")
    assert with_hop(head, b"mine") is head
    assert not has_passed(head, b"mine")
