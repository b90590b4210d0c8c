from __future__ import annotations

from tunnel.domain.identity import PeerInfo, Principal


def test_identity_joins_the_groups_that_are_listed_and_no_others() -> None:
    laptop = Principal("laptop", groups=frozenset({"web"}))

    assert laptop.may_join("web")
    assert not laptop.may_join("we")
    assert not laptop.may_join("")


def test_identity_of_which_nothing_is_said_may_do_nothing() -> None:
    nobody = Principal("nobody")

    assert not nobody.may_join("web")
    assert nobody.hosts == ()
    assert nobody.credential_id == ""


def test_peer_of_a_transport_without_addresses_has_neither_address_nor_certificate() -> None:
    assert (PeerInfo("memory").address, PeerInfo("memory").certificate) == ("", None)
