"""What may be dialled where the operator alone chooses the targets."""

from __future__ import annotations

from typing import Final

from tunnel.domain.configuration.target_policy import TargetPolicy

__all__ = ["OPERATORS_CHOICE"]


class _OperatorsChoice(TargetPolicy):
    """Permits every target."""

    __slots__ = ()

    def permits(self, host: str, port: int, address: str) -> bool:
        return True

    def check(self, target: str, path: str = "") -> None:
        """Everything may be named."""


OPERATORS_CHOICE: Final[TargetPolicy] = _OperatorsChoice(())
"""Of the upstreams in a server's own file: whoever writes there may dial from there anyway. What clients say never
becomes a target, so it need not be judged."""
