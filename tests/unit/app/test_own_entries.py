"""Whether an address leads back to an entry of this process."""

from __future__ import annotations

import socket

import pytest

from tunnel.adapters.process import is_local_address
from tunnel.app.direct_policy import DirectPolicy
from tunnel.app.own_entries import OwnEntries
from tunnel.domain.errors import ErrorCode, SessionError

OURS = {"127.0.0.1", "127.0.0.2", "::1", "192.0.2.5"}


def own(*addresses: str) -> OwnEntries:
    return OwnEntries(lambda: addresses, OURS.__contains__)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_entry_on_one_address_is_reached_by_each_spelling_of_it(address: str) -> None:
    assert own("127.0.0.1:9080").reached_by(address, 9080)


@pytest.mark.parametrize(("address", "port"), [("127.0.0.2", 9080), ("127.0.0.1", 9081), ("::1", 9080), ("", 9080)])
def test_entry_on_one_address_is_not_reached_by_others(address: str, port: int) -> None:
    assert not own("127.0.0.1:9080").reached_by(address, port)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "192.0.2.5", "::1", "0.0.0.0", "::"])
@pytest.mark.parametrize("listen", ["0.0.0.0:9080", "[::]:9080"])
def test_entry_on_all_addresses_is_reached_by_every_one_of_this_machine(listen: str, address: str) -> None:
    assert own(listen).reached_by(address, 9080)
    assert not own(listen).reached_by(address, 9081)


def test_entry_on_all_addresses_is_not_reached_by_those_of_others() -> None:
    assert not own("0.0.0.0:9080").reached_by("192.0.2.6", 9080)


def test_link_local_address_is_compared_without_its_zone() -> None:
    assert own("[fe80::1]:9080").reached_by("fe80::1%eth0", 9080)


def test_every_entry_counts_and_is_asked_for_when_it_matters() -> None:
    addresses = ["127.0.0.1:1"]
    entries = OwnEntries(lambda: addresses, OURS.__contains__)
    assert not entries.reached_by("127.0.0.1", 2)
    addresses.append("127.0.0.1:2")
    assert entries.reached_by("127.0.0.1", 2)


def test_system_tells_which_addresses_are_this_machines() -> None:
    assert is_local_address("127.0.0.1")
    assert is_local_address("0.0.0.0")
    assert not is_local_address("192.0.2.1")  # RFC 5737: nobody's
    assert not is_local_address("no address")
    if socket.has_ipv6:
        assert not is_local_address("2001:db8::1")  # RFC 3849: nobody's


def test_policy_refuses_the_way_back_before_it_is_dialled() -> None:
    policy = DirectPolicy(("*.internal.test",), own("127.0.0.1:80").reached_by)
    assert policy.permits("a.internal.test", 80, "10.0.0.7")
    assert policy.permits("a.internal.test", 81, "127.0.0.1")
    assert not policy.permits("elsewhere.test", 80, "127.0.0.1")
    with pytest.raises(SessionError) as caught:
        policy.permits("a.internal.test", 80, "127.0.0.1")
    assert caught.value.code is ErrorCode.LOOP_DETECTED
    assert "127.0.0.1" not in caught.value.message
