"""Who a credential belongs to."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from tunnel.domain.identity import PeerInfo, Principal

__all__ = ["Authenticator"]


class Authenticator(Protocol):
    """Maps credentials to principals."""

    @abstractmethod
    async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
        """The principal that ``credential`` proves.

        Takes the same time for any wrong credential. Neither the credential nor a part of it is ever in an error.

        Raises:
            RegistrationRefused: ``unauthenticated``: nobody's credential.
        """

    @abstractmethod
    def current(self, principal: Principal) -> Principal | None:
        """What the credential behind ``principal`` is worth by now. Looks it up, and asks nobody.

        Args:
            principal: As ``authenticate`` returned it, possibly of a predecessor with other settings.

        Returns:
            Who that credential proves today, with today's groups and hosts; None when it was revoked.
        """
