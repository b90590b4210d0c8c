"""The contract of authenticators.

An authenticator is put under it by a harness that issues credentials of its kind, and the thin class::

    class BadgeHarness(AuthenticatorHarness):
        def issue(self, grant: Grant) -> str: ...
        def revoke(self, name: str) -> None: ...
        def authenticator(self) -> Authenticator: ...

    class TestBadges(AuthenticatorContract):
        harness = BadgeHarness

That wrong credentials take the same time whatever is wrong with them cannot be told from outside without measuring
for hours, and is not among the rules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import anyio
from hypothesis import strategies as st

from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import PeerInfo, Principal
from tunnel.ports.authenticator import Authenticator
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.harness import Harness
from tunnel.testing.patience import expect_within

__all__ = ["AUTHENTICATOR", "AuthenticatorContract", "AuthenticatorHarness", "Grant"]

_PEER: Final = PeerInfo("memory", "192.0.2.1:40000")

_PART_CHARACTERS: Final = 6
"""A part of a credential this long in an error is no coincidence."""


@dataclass(frozen=True)
class Grant:
    """What a credential is to prove.

    Args:
        name: Of the principal.
        groups: Groups it may join.
        hosts: Hosts it may claim.
    """

    name: str
    groups: frozenset[str] = frozenset({"web"})
    hosts: tuple[str, ...] = ("*.laptop.test",)


class AuthenticatorHarness(Harness, ABC):
    """Issues credentials, and makes authenticators that know them."""

    @abstractmethod
    def issue(self, grant: Grant) -> str:
        """A new credential for ``grant``, in place of any that was issued for its name before.

        Returns:
            The credential, twelve characters or more.
        """

    @abstractmethod
    def amend(self, grant: Grant) -> None:
        """Let the credential of that name be worth ``grant`` from now on."""

    @abstractmethod
    def revoke(self, name: str) -> None:
        """Let the credential of ``name`` prove nothing from now on."""

    @abstractmethod
    def authenticator(self) -> Authenticator:
        """An authenticator that knows what was issued and revoked by now: a new one, or the same each time."""


AUTHENTICATOR: Final = Contract[AuthenticatorHarness]("authenticator")

PRINCIPAL: Final = AUTHENTICATOR.state(
    "A-PRINCIPAL", "A credential proves the principal it was issued for, with the groups and hosts granted to it."
)
UNKNOWN: Final = AUTHENTICATOR.state(
    "A-UNKNOWN", "Whatever is not exactly a credential is refused as `unauthenticated`, however odd or close it is."
)
SECRET: Final = AUTHENTICATOR.state("A-SECRET", "No refusal and no principal holds a credential or a part of one.")
CURRENT: Final = AUTHENTICATOR.state(
    "A-CURRENT", "A principal is worth today what its credential is granted today, not what it was granted before."
)
REVOKED: Final = AUTHENTICATOR.state(
    "A-REVOKED", "A revoked credential proves nothing, and the principal it proved before is worth nothing."
)
REPLACED: Final = AUTHENTICATOR.state(
    "A-REPLACED", "Another credential under the same name does not speak for the principal of the old one."
)
TOGETHER: Final = AUTHENTICATOR.state("A-TOGETHER", "Credentials that are shown at the same time do not mix.")


async def _proven(authenticator: Authenticator, credential: str) -> Principal:
    return await expect_within("authenticate", lambda: authenticator.authenticate(credential, _PEER))


async def _refusal(authenticator: Authenticator, credential: str) -> RegistrationRefused:
    try:
        principal = await _proven(authenticator, credential)
    except RegistrationRefused as refused:
        return refused
    raise AssertionError(f"{credential!r} proves {principal.name!r}")


def _matches(principal: Principal | None, grant: Grant) -> bool:
    return (
        principal is not None
        and principal.name == grant.name
        and principal.groups == grant.groups
        and principal.hosts == grant.hosts
    )


@AUTHENTICATOR.shows(PRINCIPAL)
async def credentials_prove_whom_they_were_issued_for(harness: AuthenticatorHarness) -> None:
    grants = [Grant("laptop"), Grant("desk", frozenset({"web", "db"}), ()), Grant("nobody", frozenset(), ())]
    credentials = [harness.issue(grant) for grant in grants]
    authenticator = harness.authenticator()
    for grant, credential in zip(grants, credentials, strict=True):
        principal = await _proven(authenticator, credential)
        assert _matches(principal, grant), f"{principal} instead of {grant}"


def _forgeries(credential: str, drawn: str) -> list[str]:
    return [
        "",
        drawn,
        credential[:-1],
        credential[1:],
        credential + drawn,
        drawn + credential,
        credential.swapcase() + "x" * (credential.swapcase() == credential),
        credential + "\0",
        f" {credential}",
        f"{credential}\n",
    ]


@AUTHENTICATOR.shows(UNKNOWN, drawn=st.text(st.characters(exclude_categories=()), min_size=1, max_size=40))
async def whatever_was_not_issued_is_refused(harness: AuthenticatorHarness, drawn: str) -> None:
    credential = harness.issue(Grant("laptop"))
    authenticator = harness.authenticator()
    for forged in _forgeries(credential, drawn):
        refused = await _refusal(authenticator, forged)
        assert refused.code is ErrorCode.UNAUTHENTICATED, f"{forged!r} is refused as {refused.code}"


@AUTHENTICATOR.shows(UNKNOWN)
async def where_nothing_was_issued_nobody_is_let_in(harness: AuthenticatorHarness) -> None:
    await _refusal(harness.authenticator(), "a-token-of-nobody")
    await _refusal(harness.authenticator(), "")


def _parts(credential: str) -> list[str]:
    return [credential[at : at + _PART_CHARACTERS] for at in range(len(credential) - _PART_CHARACTERS + 1)]


@AUTHENTICATOR.shows(SECRET)
async def credentials_are_not_told(harness: AuthenticatorHarness) -> None:
    credential = harness.issue(Grant("laptop"))
    authenticator = harness.authenticator()
    told = repr(await _proven(authenticator, credential))
    forged = credential[:-1] + ("A" if credential[-1] != "A" else "B")
    error: BaseException | None = await _refusal(authenticator, forged)
    while error is not None:
        told += f"{error} {error!r} {getattr(error, '__notes__', '')}"
        error = error.__cause__ or error.__context__
    assert not any(part in told for part in _parts(credential)), "a part of the credential was told"


@AUTHENTICATOR.shows(CURRENT)
async def amended_grants_hold_for_who_is_in_already(harness: AuthenticatorHarness) -> None:
    credential = harness.issue(Grant("laptop"))
    harness.issue(Grant("desk"))
    principal = await _proven(harness.authenticator(), credential)
    assert _matches(harness.authenticator().current(principal), Grant("laptop")), "worth something else at once"
    amended = Grant("laptop", frozenset({"db"}), ("shop.test",))
    harness.amend(amended)
    today = harness.authenticator().current(principal)
    assert _matches(today, amended), f"{today} instead of {amended}"
    assert today is not None
    assert harness.authenticator().current(today) == today, "what is current is not current"


@AUTHENTICATOR.shows(REVOKED)
async def revoked_credentials_prove_nothing(harness: AuthenticatorHarness) -> None:
    credential = harness.issue(Grant("laptop"))
    other = harness.issue(Grant("desk"))
    before = harness.authenticator()
    principal, neighbour = await _proven(before, credential), await _proven(before, other)
    harness.revoke("laptop")
    authenticator = harness.authenticator()
    await _refusal(authenticator, credential)
    assert authenticator.current(principal) is None, "a revoked principal is still worth something"
    assert _matches(authenticator.current(neighbour), Grant("desk")), "another was revoked with it"


@AUTHENTICATOR.shows(REPLACED)
async def a_new_credential_does_not_speak_for_the_old_one(harness: AuthenticatorHarness) -> None:
    old = harness.issue(Grant("laptop"))
    principal = await _proven(harness.authenticator(), old)
    renewed = harness.issue(Grant("laptop"))
    authenticator = harness.authenticator()
    assert authenticator.current(principal) is None, "whoever has the old credential is still let in"
    assert _matches(await _proven(authenticator, renewed), Grant("laptop")), "the new credential is worth nothing"


@AUTHENTICATOR.shows(TOGETHER)
async def credentials_shown_together_do_not_mix(harness: AuthenticatorHarness) -> None:
    grants = [Grant(f"laptop-{number}") for number in range(8)]
    credentials = [harness.issue(grant) for grant in grants]
    authenticator = harness.authenticator()
    proven: dict[int, Principal] = {}

    async def prove(number: int) -> None:
        proven[number] = await _proven(authenticator, credentials[number])

    async with anyio.create_task_group() as visitors:
        for number in range(len(grants)):
            visitors.start_soon(prove, number)
    for number, grant in enumerate(grants):
        assert _matches(proven[number], grant), f"{proven[number].name} instead of {grant.name}"


class AuthenticatorContract(ContractTests[AuthenticatorHarness]):
    """What every authenticator must do; a subclass says which harness, and may choose the event loop."""

    contract = AUTHENTICATOR
