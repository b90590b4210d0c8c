"""The way of a listener's visitors to the one group that they are for."""

from __future__ import annotations

from typing import Self

from tunnel.app.accounted_target import AccountedTarget
from tunnel.app.attempt import Attempt
from tunnel.app.group import Group
from tunnel.app.ledger import Ledger
from tunnel.app.routes import Routes
from tunnel.domain.envelopes import Opening
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["GroupRoute"]


class GroupRoute(AccountedTarget):
    """Hands each conversation to a group, by its name when the conversation begins.

    Args:
        routes: Knows the groups.
        group: The name.
        ledger: Keeps account.
    """

    def __init__(self, routes: Routes, group: str, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._routes = routes
        self._group = group

    def follow(self, successor: Self) -> None:
        """Lead to another group from the next conversation on."""
        self._group = successor._group

    def find(self, head: Opening, attempt: Attempt) -> Group:
        group = self._routes.group(self._group)
        if group is None:
            raise SessionError(ErrorCode.NO_CLIENT, "no client is connected", detail=f"group {self._group} is gone")
        return group
