"""A number of bytes that may be promised, shared by many."""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """Bytes promised to peers, never above a limit; a parent's budget bounds all its children together.

    Args:
        limit_bytes: What may be reserved at the same time.
        parent: Also charged for whatever is reserved here; None for the outermost.
    """

    __slots__ = ("_parent", "limit_bytes", "reserved_bytes")

    def __init__(self, limit_bytes: int, parent: Budget | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.reserved_bytes = 0
        self._parent = parent

    def reserve(self, size_bytes: int) -> bool:
        """Take ``size_bytes``; False, with nothing taken, when that would exceed this limit or a parent's."""
        reserved = self.reserved_bytes + size_bytes
        parent = self._parent
        if reserved > self.limit_bytes or (parent is not None and not parent.reserve(size_bytes)):
            return False
        self.reserved_bytes = reserved
        return True

    def reserve_spare(self, size_bytes: int) -> bool:
        """As ``reserve``, but leaves half of every limit to whoever has nothing yet."""
        if self.reserved_bytes + size_bytes > self.limit_bytes // 2:
            return False
        if self._parent is not None and not self._parent.reserve_spare(size_bytes):
            return False
        self.reserved_bytes += size_bytes
        return True

    def reserve_for_peer(self, size_bytes: int) -> bool:
        """As ``reserve``, for what a peer asks for: leaves half of every parent's limit to what this side starts.

        So one peer, however it fills its own limit, keeps nobody else from being served.
        """
        outer = self._parent
        while outer is not None:
            if outer.reserved_bytes + size_bytes > outer.limit_bytes // 2:
                return False
            outer = outer._parent
        return self.reserve(size_bytes)

    def release(self, size_bytes: int) -> None:
        """Give back what was reserved."""
        assert size_bytes <= self.reserved_bytes, "more released than reserved"
        self.reserved_bytes -= size_bytes
        if self._parent is not None:
            self._parent.release(size_bytes)
