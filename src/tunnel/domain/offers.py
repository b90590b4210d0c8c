"""Which configurations a client was told of and has not answered, as the server keeps account of them."""

from __future__ import annotations

from typing import Final

__all__ = ["Offers"]

_MAX_OFFERS: Final = 1000
"""Without an answer. No client that reads has so many; the oldest is forgotten."""


class Offers:
    """Configurations offered on one link, each answered once at most.

    Answers come in the order of the offers, and some need none: a client is not told of one that was replaced before it
    was sent, and says nothing of one that was replaced before its answer was. So an answer settles all offers before
    it. The same contents may be offered again under a higher version, by a server that went back to them.
    """

    __slots__ = ("_digests",)

    def __init__(self) -> None:
        self._digests: dict[int, str] = {}

    def __contains__(self, version: int) -> bool:
        """Whether this version waits for an answer."""
        return version in self._digests

    def clear(self) -> None:
        """Another link: what was offered before is void."""
        self._digests.clear()

    def add(self, version: int, digest: str) -> None:
        """Offer one more.

        Args:
            version: At least 1, above all before.
            digest: As ``GroupSnapshot.hash``.
        """
        self._digests[version] = digest
        if len(self._digests) > _MAX_OFFERS:
            del self._digests[next(iter(self._digests))]

    def answered(self, version: int, digest: str) -> int:
        """The version that was answered, whose turn is over with that; 0 for none, or one whose turn was over before.

        Args:
            version: As the client says; 0 when it had the configuration before it was offered.
            digest: As the client says.
        """
        for offered, known in self._digests.items():
            if known == digest and version in (0, offered):
                self._digests = {each: known for each, known in self._digests.items() if each > offered}
                return offered
        return 0
