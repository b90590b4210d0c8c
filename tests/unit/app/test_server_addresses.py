from __future__ import annotations

from tunnel.app.server_addresses import ServerAddresses

ADDRESSES = ("grpc://a", "ws://a", "grpc://b")


def test_any_server_is_looked_for_in_order_of_preference() -> None:
    assert ServerAddresses(ADDRESSES).in_order() == ADDRESSES


def test_one_server_is_looked_for_where_it_was_seen_and_after_five_seconds_everywhere() -> None:
    addresses = ServerAddresses(ADDRESSES)
    addresses.answered("grpc://a", "one")
    addresses.answered("grpc://b", "two")
    assert addresses.of("two", lost_for_s=4.9) == ("grpc://b",)
    assert addresses.of("two", lost_for_s=5.0) == ("grpc://b", "grpc://a", "ws://a")


def test_address_belongs_to_the_server_that_answered_last() -> None:
    addresses = ServerAddresses(ADDRESSES)
    addresses.answered("grpc://a", "one")
    addresses.answered("grpc://a", "two")
    assert addresses.of("one", lost_for_s=0.0) == ()
    assert addresses.of("two", lost_for_s=0.0) == ("grpc://a",)
