"""Authenticators with one mistake each. Their twin is that of tokens, which keeps every rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio.lowlevel
import msgspec
from contract.test_authenticators import TokenHarness

from tunnel.adapters.token_auth import TokenAuthenticator
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import PeerInfo, Principal
from tunnel.ports.authenticator import Authenticator
from tunnel.testing import authenticator as rules
from tunnel.testing.authenticator import AUTHENTICATOR
from tunnel.testing.mutants import Mutant


class Around(Authenticator):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: TokenAuthenticator) -> None:
        self.twin = twin

    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        return await self.twin.authenticate(credential, peer)

    def current(self, principal: Principal) -> Principal | None:
        return self.twin.current(principal)


class Stingy(Around):
    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        return msgspec.structs.replace(await super().authenticate(credential, peer), hosts=())


class Generous(Around):
    """Takes no groups for any."""

    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        proven = await super().authenticate(credential, peer)
        return msgspec.structs.replace(proven, groups=proven.groups or frozenset({"web"}))


class Trimming(Around):
    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        return await super().authenticate(credential.strip(), peer)


class Talkative(Around):
    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        try:
            return await super().authenticate(credential, peer)
        except RegistrationRefused as refused:
            raise RegistrationRefused(ErrorCode.UNAUTHENTICATED, f"nobody has {credential[:8]}...") from refused


class Conservative(Around):
    def current(self, principal: Principal) -> Principal | None:
        return principal if super().current(principal) is not None else None


class Forgiving(Around):
    def current(self, principal: Principal) -> Principal | None:
        return super().current(principal) or (None if self.named(principal.name) else principal)

    def named(self, name: str) -> bool:
        return name in self.twin._by_name


class ByName(Around):
    def current(self, principal: Principal) -> Principal | None:
        return self.twin._by_name.get(principal.name)


class Sharing(Around):
    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        self._credential = credential
        await anyio.lowlevel.checkpoint()
        return await super().authenticate(self._credential, peer)


def _harness(made: Callable[[TokenAuthenticator], Authenticator]) -> Callable[[], TokenHarness]:
    class Harness(TokenHarness):
        def authenticator(self) -> Authenticator:  # type: ignore[override]
            return made(super().authenticator())

    return Harness


TWINS: Final = (_harness(Around),)

MUTANTS: Final = (
    Mutant("lets into a group who may join none", AUTHENTICATOR, rules.PRINCIPAL, _harness(Generous)),
    Mutant(
        "forgets the hosts",
        AUTHENTICATOR,
        rules.PRINCIPAL,
        _harness(Stingy),
        others=frozenset({rules.REPLACED, rules.TOGETHER}),
    ),
    Mutant("trims white space", AUTHENTICATOR, rules.UNKNOWN, _harness(Trimming)),
    Mutant("quotes the credential it refuses", AUTHENTICATOR, rules.SECRET, _harness(Talkative)),
    Mutant("keeps to what was granted at first", AUTHENTICATOR, rules.CURRENT, _harness(Conservative)),
    Mutant("lets in who was revoked", AUTHENTICATOR, rules.REVOKED, _harness(Forgiving)),
    Mutant("goes by the name alone", AUTHENTICATOR, rules.REPLACED, _harness(ByName)),
    Mutant("keeps the credential where others find it", AUTHENTICATOR, rules.TOGETHER, _harness(Sharing)),
)
