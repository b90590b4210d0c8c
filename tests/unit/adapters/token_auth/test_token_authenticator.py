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
    assert authenticate("tnl_a", tokens) == Principal("a", frozenset({"web"}), ("*.a.test",))
    assert authenticate("tnl_b", tokens) == Principal("b")


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
