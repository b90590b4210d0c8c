"""Keys that are documented for a later version: naming one is an error that says so, not an unknown key."""

from __future__ import annotations

from typing import Final

__all__ = ["PLANNED_CLIENT_KEYS", "PLANNED_SERVER_KEYS", "PlannedKeys"]

KeyPath = tuple[str | int, ...]

_LIMITS: Final = ("limits.max_message_bytes",)


class PlannedKeys:
    """A set of key paths, in which ``*`` stands for any one key or index.

    Args:
        patterns: Dotted paths, ``groups.*.rules.*.methods``.
    """

    __slots__ = ("_patterns",)

    def __init__(self, *patterns: str) -> None:
        self._patterns: Final = frozenset(tuple(pattern.split(".")) for pattern in patterns)

    def __contains__(self, path: KeyPath) -> bool:
        return any(
            len(pattern) == len(path) and all(want in ("*", have) for want, have in zip(pattern, path, strict=True))
            for pattern in self._patterns
        )


PLANNED_SERVER_KEYS: Final = PlannedKeys(
    "auth.jwt",
    "auth.mtls",
    "forward.upstreams.*.health",
    "groups.*.upstreams.*.health",
    *_LIMITS,
)

PLANNED_CLIENT_KEYS: Final = PlannedKeys("links", "upstreams.*.health", *_LIMITS)
