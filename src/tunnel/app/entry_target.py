"""Where conversations enter a client."""

from __future__ import annotations

from collections.abc import Callable

from tunnel.app.accounted_target import AccountedTarget, Destination
from tunnel.app.attempt import Attempt
from tunnel.app.ledger import Ledger
from tunnel.domain.envelopes import Opening

__all__ = ["EntryTarget"]


class EntryTarget(AccountedTarget):
    """Gives what comes in at an entry to one destination, and keeps account of it.

    Args:
        destination: The server, or whatever stands in for it while it cannot be reached.
        group: Tells which group this client serves, for the record: the server's rules go by it.
        ledger: Keeps account.
    """

    def __init__(self, destination: Destination, *, group: Callable[[], str], ledger: Ledger) -> None:
        super().__init__(ledger)
        self._destination = destination
        self._group = group

    def find(self, head: Opening, attempt: Attempt) -> Destination:
        attempt.group = self._group()
        return self._destination
