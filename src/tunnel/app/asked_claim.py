"""What a client asks to serve, and what it was granted."""

from __future__ import annotations

from typing import Final

from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.grant import Grant
from tunnel.domain.envelopes import RegisterResponse
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, RegistrationRefused

__all__ = ["AskedClaim", "no_claims"]

_NO_GROUP: Final = 'this credential may not join the group ""'
"""What a server says to a claim that has not heard of claims: it only sees that no group is named."""


class AskedClaim:
    """A claim over all registrations of a client: a host that the server chose is asked for again from then on.

    Args:
        asked: In normal form; without a host the server is to choose.
        before: What was granted to an earlier registration of this process that asked the same; None for none.
    """

    def __init__(self, asked: Claim, before: Grant | None = None) -> None:
        self.asked = asked
        self.next = asked if before is None else Claim(before.host, asked.path_prefix)
        """What to ask for."""
        self.grant: Grant | None = None
        """What was granted last; None before the first answer."""

    def answered(self, response: RegisterResponse) -> Grant:
        """What the server grants that has accepted a registration.

        Raises:
            RegistrationRefused: ``forbidden``: it does not know what a claim is.
            LinkError: ``VIOLATED``: it granted something else.
        """
        claim = response.claim
        if claim is None:
            raise no_claims()
        if not claim.host or claim.path_prefix != self.next.path_prefix or self.next.host not in ("", claim.host):
            raise LinkError(LinkEnd.VIOLATED, "the server granted another claim than it was asked for")
        self.next = claim
        self.grant = Grant(host=claim.host, path_prefix=claim.path_prefix or "/", url=response.public_url or None)
        return self.grant

    def begins_anew(self, refusal: RegistrationRefused) -> bool:
        """Whether the server is to choose another host, the one chosen before having been refused just now.

        That happens where another server is asked, or somebody has taken the host while this client was away.
        """
        if refusal.code is not ErrorCode.FORBIDDEN or self.next == self.asked:
            return False
        self.next = self.asked
        return True

    def ignored_by(self, refusal: RegistrationRefused) -> bool:
        """Whether a server that refused a registration has not understood that this is claimed."""
        return refusal.code is ErrorCode.FORBIDDEN and refusal.reason == _NO_GROUP


def no_claims() -> RegistrationRefused:
    """The refusal by a server that has not heard of claims."""
    return RegistrationRefused(ErrorCode.FORBIDDEN, "this server knows no claims; it is of an earlier version")
