"""The configurations that a server ships to its groups."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tunnel.domain.configuration import GroupSettings, GroupSnapshot
from tunnel.domain.errors import ErrorCode, RegistrationRefused

__all__ = ["PublishedSnapshot", "Snapshots"]


class PublishedSnapshot(msgspec.Struct, frozen=True):
    """One group's configuration, encoded once."""

    version: int
    hash: str
    encoded: bytes


class Snapshots:
    """Every group's configuration.

    Args:
        groups: By name.
        version: Of all of them together.
    """

    def __init__(self, groups: Mapping[str, GroupSettings], version: int = 1) -> None:
        self._by_group = {}
        for name, group in groups.items():
            snapshot = GroupSnapshot.of(group)
            self._by_group[name] = PublishedSnapshot(version, snapshot.hash, snapshot.encode())

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
