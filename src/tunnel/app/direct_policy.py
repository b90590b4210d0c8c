"""What may be dialled past the tunnel: what the settings permit, and never an entry of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tunnel.domain.configuration import TargetPolicy
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["DirectPolicy"]


class DirectPolicy(TargetPolicy):
    """A policy that refuses circles. Immutable.

    Asked by the adapters for the very address that is dialled next, so that no name, alias or change of a name leads
    around it.

    Args:
        patterns: What is permitted.
        leads_back: Whether a connection to an address and a port would come in at an entry of this process.
    """

    __slots__ = ("_leads_back",)

    def __init__(self, patterns: Iterable[str], leads_back: Callable[[str, int], bool]) -> None:
        super().__init__(patterns, "fallback.allow")
        self._leads_back: Final = leads_back

    def permits(self, host: str, port: int, address: str) -> bool:
        """As of ``TargetPolicy``.

        Raises:
            SessionError: ``loop_detected``: the address is an entry of this process. Of a name that has other
                addresses too, none is dialled: whoever gave it this one did not mean those.
        """
        permitted = super().permits(host, port, address)
        if permitted and self._leads_back(address, port):
            detail = f"{host} port {port} is {address}, where this client listens itself"
            raise SessionError(ErrorCode.LOOP_DETECTED, "the request would come back here", detail=detail)
        return permitted
