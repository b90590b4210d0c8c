"""Tokens prove principals, and nothing else does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import pytest

from tunnel.adapters.token_auth import TokenAuthenticator
from tunnel.domain.configuration import TokenSettings
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import PeerInfo, Principal

PEER = PeerInfo(transport="memory")


def entry(token: str, groups: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> TokenSettings:
    return TokenSettings(sha256=hashlib.sha256(token.encode()).hexdigest(), groups=groups, hosts=hosts)


def authenticate(credential: str, tokens: dict[str, TokenSettings]) -> Principal:
    return asyncio.run(TokenAuthenticator(tokens).authenticate(credential, PEER))


def test_token_proves_its_principal() -> None:
    tokens = {"a": entry("tnl_a", ("web",), ("*.a.test",)), "b": entry("tnl_b")}
    principal = authenticate("tnl_a", tokens)
    assert (principal.name, principal.groups, principal.hosts) == ("a", frozenset({"web"}), ("*.a.test",))
    assert authenticate("tnl_b", tokens).name == "b"


def test_letter_case_of_the_hash_does_not_matter() -> None:
    upper = TokenSettings(sha256=entry("tnl_a").sha256.upper())
    assert authenticate("tnl_a", {"a": upper}).name == "a"


@pytest.mark.parametrize("credential", ["", "tnl_", "tnl_a ", "TNL_A", "\udcff", entry("tnl_a").sha256, "x" * 100_000])
def test_anything_else_is_unknown_and_not_repeated(credential: str) -> None:
    with pytest.raises(RegistrationRefused) as caught:
        authenticate(credential, {"a": entry("tnl_a")})
    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert str(caught.value) == "unauthenticated: unknown token"


def test_nothing_is_known_without_tokens() -> None:
    with pytest.raises(RegistrationRefused):
        authenticate("tnl_a", {})


def test_empty_credential_is_refused_even_if_its_hash_is_configured() -> None:
    with pytest.raises(RegistrationRefused):
        authenticate("", {"a": entry("")})


def test_every_token_is_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        nonlocal compared
        compared += 1
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    tokens = {name: entry(name) for name in "abcd"}
    assert authenticate("a", tokens).name == "a"
    assert compared == 4


def test_principal_shows_neither_its_token_nor_the_hash_of_it() -> None:
    principal = authenticate("tnl_a", {"a": entry("tnl_a")})
    assert "tnl_a" not in repr(principal)
    assert entry("tnl_a").sha256 not in repr(principal)


def test_principal_is_worth_what_its_token_is_worth_now() -> None:
    before = authenticate("tnl_a", {"a": entry("tnl_a", ("web",)), "b": entry("tnl_b")})
    now = TokenAuthenticator({"a": entry("tnl_a", ("api",))}).current(before)
    assert now is not None
    assert now.groups == {"api"}


@pytest.mark.parametrize(
    "tokens",
    [{}, {"b": entry("tnl_a")}, {"a": entry("tnl_new")}, {"a": entry("tnl_new"), "b": entry("tnl_a")}],
    ids=["gone", "renamed", "another token", "another token, and its own under another name"],
)
def test_principal_whose_token_is_gone_is_worth_nothing(tokens: dict[str, TokenSettings]) -> None:
    before = authenticate("tnl_a", {"a": entry("tnl_a")})
    assert TokenAuthenticator(tokens).current(before) is None


def test_the_case_in_which_a_hash_is_written_revokes_nothing() -> None:
    before = authenticate("tnl_a", {"a": entry("tnl_a")})
    upper = TokenSettings(sha256=entry("tnl_a").sha256.upper())
    assert TokenAuthenticator({"a": upper}).current(before) == before
