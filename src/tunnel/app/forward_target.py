"""What one client opens, served by the server's own upstreams."""

from __future__ import annotations

from tunnel.app.accounted_target import AccountedTarget
from tunnel.app.attempt import Attempt
from tunnel.app.forward_router import ForwardRouter, Found
from tunnel.app.ledger import Ledger
from tunnel.domain.direction import Direction
from tunnel.domain.envelopes import Opening
from tunnel.domain.errors import SessionError
from tunnel.domain.registry import MemberKey
from tunnel.ports.target import Stream

__all__ = ["ForwardTarget", "ForwardTargets"]


class ForwardTarget(AccountedTarget):
    """Handles the sessions that one tunnel's client opens, as the rules for its group say.

    Args:
        router: Finds their upstreams.
        group: Which group the client registered for; its credential let it.
        member: ``PRINCIPAL/CLIENT_ID``, for the record.
        ledger: Keeps account.
    """

    def __init__(self, router: ForwardRouter, *, group: str, member: str, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._router = router
        self._group = group
        self._member = member

    async def handle(self, stream: Stream) -> None:
        try:
            await super().handle(stream)
        except SessionError as exc:
            # Told to the peer here and not by the tunnel, which would record the failure once more.
            stream.reset(exc)

    def find(self, head: Opening, attempt: Attempt) -> Found:
        attempt.direction = Direction.TO_SERVER
        attempt.group = self._group
        attempt.member = self._member
        found = self._router.find(head, self._group)
        attempt.rule = found.rule
        attempt.upstream = found.upstream
        found.check(attempt.protocol)
        return found


class ForwardTargets:
    """Makes the targets of tunnels.

    Args:
        router: Finds upstreams.
        ledger: Keeps account.
    """

    def __init__(self, router: ForwardRouter, ledger: Ledger) -> None:
        self._router = router
        self._ledger = ledger

    def serves(self, group: str) -> bool:
        """Whether sessions of the group's clients are taken at all."""
        return self._router.serves(group)

    def of(self, client: MemberKey, group: str) -> ForwardTarget:
        """What handles the sessions that ``client`` opens, registered for ``group``."""
        return ForwardTarget(self._router, group=group, member=client.name, ledger=self._ledger)
