"""Consistent hashing: keys and members on one circle."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from struct import unpack
from typing import Final

__all__ = ["POINTS_PER_MEMBER", "HashRing"]

POINTS_PER_MEMBER: Final = 160
"""Points; the shares of equal members differ by a standard deviation of about 1 in sqrt(160), or 8 %."""

_CIRCLE: Final = 1 << 64
_POINTS_PER_HASH: Final = 8
"""Points of 64 bits that one BLAKE2b digest of 64 bytes holds."""


class HashRing:
    """Finds the member that a key belongs to, among those present.

    Every member has the same number of points on a circle, and a key is a point too. Going up from the key:

    1. The distance to a member is that to the first of its points.
    2. It counts divided by the member's weight, and the member with the smallest quotient has the key.
    3. Distances only grow on the way, so the search ends where even the heaviest member could not win any more. When
       all weigh the same that is the first point.

    A quotient depends on key and member alone. Hence a member that comes takes keys from others and moves none between
    them; one that leaves gives up its own only; a greater weight only attracts. Distances being near to exponentially
    distributed, shares are in proportion to weights, without more points for more weight. The hash is BLAKE2b, the same
    in every process; it takes no secret, so whoever chooses keys can choose members.

    Members who are absent stay on the circle and are passed over: coming and going costs nothing here. ``retain``
    takes them off.
    """

    __slots__ = ("_members", "_owners", "_points")

    def __init__(self) -> None:
        self._points: list[int] = []
        self._owners: dict[int, str] = {}
        self._members: set[str] = set()

    def __len__(self) -> int:
        """How many members are on the circle."""
        return len(self._members)

    def add(self, names: Iterable[str]) -> None:
        """Put members on the circle. Those that are there already stay as they are."""
        fresh = set(names) - self._members
        if not fresh:
            return
        self._members |= fresh
        for name in fresh:
            for point in _points_of(name):
                taken_by = self._owners.get(point)
                if taken_by is None:
                    self._points.append(point)
                # Should two members ever share a point, who came first must make no difference.
                if taken_by is None or name < taken_by:
                    self._owners[point] = name
        self._points.sort()

    def retain(self, names: Collection[str]) -> None:
        """Take all but these off the circle."""
        self._members.clear()
        self._owners.clear()
        self._points.clear()
        self.add(names)

    def owner(self, key: bytes, weights: Mapping[str, int], heaviest: int) -> str:
        """Who ``key`` belongs to.

        Args:
            key: Any bytes.
            weights: Of the members present, at least one; all are on the circle.
            heaviest: The greatest of the weights.
        """
        start = int.from_bytes(blake2b(key, digest_size=8).digest(), "little")
        best, best_distance, best_weight = "", _CIRCLE, 1
        for point in self._from(start):
            distance = (point - start) % _CIRCLE
            # Quotients are compared multiplied out, as integers.
            if best and distance * best_weight >= best_distance * heaviest:
                break
            name = self._owners[point]
            weight = weights.get(name)
            if weight is None:
                continue
            if not best or distance * best_weight < best_distance * weight:
                best, best_distance, best_weight = name, distance, weight
                if weight == heaviest:
                    break
        return best

    def _from(self, start: int) -> Iterator[int]:
        points = self._points
        first = bisect_left(points, start)
        for position in range(first, len(points)):
            yield points[position]
        for position in range(first):
            yield points[position]


def _points_of(name: str) -> Iterator[int]:
    encoded = name.encode(errors="surrogatepass")
    for number in range(POINTS_PER_MEMBER // _POINTS_PER_HASH):
        yield from unpack("<8Q", blake2b(encoded, salt=number.to_bytes(2, "little")).digest())
