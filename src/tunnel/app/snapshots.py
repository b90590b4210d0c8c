"""The configurations that a server ships to its groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tunnel.domain.configuration import GroupSettings, GroupSnapshot, MiddlewareSettings
from tunnel.domain.errors import ErrorCode, RegistrationRefused

__all__ = ["CLAIM_SNAPSHOT", "PublishedSnapshot", "Snapshots"]


class PublishedSnapshot(msgspec.Struct, frozen=True):
    """One group's configuration, encoded once.

    Args:
        version: Of the settings that brought it; those that left it as it was have higher ones.
        hash: Of ``encoded``; what changes with it.
        encoded: As shipped.
    """

    version: int
    hash: str
    encoded: bytes


def _of_claims() -> PublishedSnapshot:
    nothing = GroupSnapshot()
    return PublishedSnapshot(1, nothing.hash, nothing.encode())


CLAIM_SNAPSHOT: Final = _of_claims()
"""Told to clients that serve a claim: nothing, for what they serve it by is their own."""


class Snapshots:
    """Every group's configuration. Immutable: a reload makes others.

    Args:
        groups: By name.
        version: Of the settings these groups come from.
        middleware: What the groups' rules may name, by name.
        previous: Those before. Groups that are still the same keep what they had, the version too, so that a client
            which has it is seen to be up to date.
    """

    def __init__(
        self,
        groups: Mapping[str, GroupSettings],
        version: int = 1,
        previous: Snapshots | None = None,
        *,
        middleware: Mapping[str, MiddlewareSettings] = {},
    ) -> None:
        self._by_group: dict[str, PublishedSnapshot] = {}
        for name, group in groups.items():
            snapshot = GroupSnapshot.of(group, middleware)
            encoded = snapshot.encode()
            before = None if previous is None else previous._by_group.get(name)
            if before is None or before.encoded != encoded:
                before = PublishedSnapshot(version, snapshot.hash, encoded)
            self._by_group[name] = before

    def of(self, group: str) -> PublishedSnapshot:
        """The configuration of ``group``.

        Raises:
            RegistrationRefused: ``forbidden``: there is no such group.
        """
        snapshot = self._by_group.get(group)
        if snapshot is None:
            # The same words as for a group that exists and is not the credential's: names are not to be probed.
            raise RegistrationRefused(ErrorCode.FORBIDDEN, f'this credential may not join the group "{group}"')
        return snapshot
