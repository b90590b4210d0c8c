"""The life of a link as a table, alike on both ends: who may say what, and when.

Source: docs/reference/protocol.md, handshake.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from tunnel.domain.errors import LinkEnd, LinkError

__all__ = ["TRANSITIONS", "LinkInput", "LinkLife", "LinkState"]


class LinkState(IntEnum):
    CONNECTED = 0
    """Transport up; the client's register is awaited."""
    REGISTERING = 1
    """Register was sent or received; the answer is awaited."""
    CONFIGURING = 2
    """Accepted; the client's word on its configuration is awaited."""
    OPEN = 3
    """Sessions may flow."""
    CLOSED = 4


class LinkInput(IntEnum):
    REGISTER = 0
    ACCEPTED = 1
    RESUMED = 2
    """Accepted as the continuation of a tunnel whose configuration stands."""
    CONFIGURED = 3
    CLOSED = 4


_S = LinkState
_I = LinkInput

TRANSITIONS: Final[dict[tuple[LinkState, LinkInput], LinkState]] = {
    (_S.CONNECTED, _I.REGISTER): _S.REGISTERING,
    (_S.REGISTERING, _I.ACCEPTED): _S.CONFIGURING,
    (_S.REGISTERING, _I.RESUMED): _S.OPEN,
    (_S.CONFIGURING, _I.CONFIGURED): _S.OPEN,
    (_S.OPEN, _I.CONFIGURED): _S.OPEN,
    **{(state, _I.CLOSED): _S.CLOSED for state in _S},
}
"""What is not listed is the peer's mistake and ends the link."""


class LinkLife:
    """Where one link is in its life."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = LinkState.CONNECTED

    def on(self, event: LinkInput) -> None:
        """Go on as the table says.

        Raises:
            LinkError: ``VIOLATED``: the peer said this at the wrong time.
        """
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise LinkError(LinkEnd.VIOLATED, f"{event.name.lower()} while {self.state.name.lower()}")
        self.state = state
