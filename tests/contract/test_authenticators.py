"""Authenticators under their contract."""

from __future__ import annotations

import hashlib

from tunnel.adapters.token_auth import TokenAuthenticator
from tunnel.domain.configuration import TokenSettings
from tunnel.testing.authenticator import AuthenticatorContract, AuthenticatorHarness, Grant


class TokenHarness(AuthenticatorHarness):
    def __init__(self) -> None:
        self._numbers = 0
        self._tokens: dict[str, str] = {}
        self._grants: dict[str, Grant] = {}

    def issue(self, grant: Grant) -> str:
        self._numbers += 1
        self._grants[grant.name] = grant
        token = self._tokens[grant.name] = hashlib.sha256(b"%d" % self._numbers).hexdigest()
        return token

    def amend(self, grant: Grant) -> None:
        self._grants[grant.name] = grant

    def revoke(self, name: str) -> None:
        del self._tokens[name]

    def authenticator(self) -> TokenAuthenticator:
        return TokenAuthenticator(
            {
                name: TokenSettings(
                    sha256=hashlib.sha256(token.encode()).hexdigest(),
                    groups=tuple(self._grants[name].groups),
                    hosts=self._grants[name].hosts,
                )
                for name, token in self._tokens.items()
            }
        )


class TestTokenAuthenticator(AuthenticatorContract):
    harness = TokenHarness
