"""What a harness of whatever port is."""

from __future__ import annotations

__all__ = ["Harness"]


class Harness:
    """Makes adapters of one kind, and whatever else the checks of its port need.

    Made without arguments, for each check anew, and closed after it. Belongs to no event loop: checks that draw
    examples use it on several, one after another.
    """

    def close(self) -> None:
        """Give back what is held for the checks."""
