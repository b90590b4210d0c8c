"""Maps tokens to principals by their SHA-256."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from tunnel.domain.configuration import TokenSettings
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import PeerInfo, Principal
from tunnel.ports.authenticator import Authenticator

__all__ = ["TokenAuthenticator"]

_ID_BYTES: Final = 16
"""Enough to tell the tokens of a server apart."""


class TokenAuthenticator(Authenticator):
    """Knows the tokens of ``[auth.tokens]``.

    A token has 256 random bits, so one round of SHA-256 keeps it; the hash of a credential is compared in constant time
    with that of every token, so that the time taken tells nothing about which of them came close.

    Args:
        tokens: By name of the principal.
    """

    def __init__(self, tokens: Mapping[str, TokenSettings]) -> None:
        self._known: Final = tuple(
            (token.sha256.lower().encode(), _principal(name, token)) for name, token in tokens.items()
        )
        self._by_name: Final = {principal.name: principal for _, principal in self._known}

    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        # What cannot be encoded is hashed all the same, lest its refusal take another path.
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest().encode()
        proven: Principal | None = None
        for known, principal in self._known:
            if hmac.compare_digest(known, digest):
                proven = principal
        if proven is None or not credential:
            raise RegistrationRefused(ErrorCode.UNAUTHENTICATED, "unknown token")
        return proven

    def current(self, principal: Principal) -> Principal | None:
        """The principal of the same name, as long as its token is the same; another token under that name revokes."""
        today = self._by_name.get(principal.name)
        return today if today is not None and today.credential_id == principal.credential_id else None


def _principal(name: str, token: TokenSettings) -> Principal:
    # A hash of the hash: what is configured does not leave this module, not even in a repr.
    credential_id = hashlib.blake2b(token.sha256.lower().encode(), digest_size=_ID_BYTES).hexdigest()
    return Principal(name=name, groups=frozenset(token.groups), hosts=tuple(token.hosts), credential_id=credential_id)
