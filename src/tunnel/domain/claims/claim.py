"""A host, and a part of its paths, that a client wants to serve or serves.

Source: docs/reference/claims.md.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["CLAIM_PREFIX", "CLAIM_RULE", "EVERY_CLAIM", "Claim", "group_label"]

CLAIM_PREFIX: Final = "claim:"
"""Begins the name of every claim's group, and of no configured one."""

CLAIM_RULE: Final = "claim"
"""Stands for the rule, where one is told, of conversations that a claim attracted."""

EVERY_CLAIM: Final = "claim:*"
"""Stands for the groups of all claims where few names are wanted; no host has an asterisk."""


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """As register and register_response carry it.

    Args:
        host: In lower case, without port and trailing dot; empty: the server chooses.
        path_prefix: Whole segments without a trailing slash; empty: all paths.
    """

    host: str = ""
    path_prefix: str = ""

    @property
    def group(self) -> str:
        """Name of the group of those who serve it."""
        return f"{CLAIM_PREFIX}{self}"

    def __str__(self) -> str:
        return f"{self.host}{self.path_prefix or '/'}"


def group_label(group: str) -> str:
    """What stands for a group among the labels of metrics, which clients must not be able to multiply."""
    return EVERY_CLAIM if group.startswith(CLAIM_PREFIX) else group
