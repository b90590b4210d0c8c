"""The life of a tunnel as a table.

A tunnel outlives its links: losing one detaches it, and another may be attached while ``resume_s`` lasts.

Source: docs/reference/protocol.md, tunnel states.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["TRANSITIONS", "TunnelInput", "TunnelState"]


class TunnelState(IntEnum):
    CONNECTING = 0
    ATTACHED = 1
    DRAINING = 2
    """Attached, and one side takes no more sessions."""
    DETACHED = 3
    """Its link was lost; another may be attached."""
    DETACHED_DRAINING = 4
    """As detached, and one side takes no more sessions."""
    ENDED = 5


class TunnelInput(IntEnum):
    REGISTERED = 0
    GO_AWAY = 1
    """Sent or received."""
    LINK_LOST = 2
    """The link ended without a close, and the tunnel is kept."""
    RESUMED = 3
    ENDED = 4
    """Closed, failed, superseded, revoked, or given up."""


_S = TunnelState
_I = TunnelInput

TRANSITIONS: Final[dict[tuple[TunnelState, TunnelInput], TunnelState]] = {
    (_S.CONNECTING, _I.REGISTERED): _S.ATTACHED,
    (_S.CONNECTING, _I.ENDED): _S.ENDED,
    (_S.ATTACHED, _I.GO_AWAY): _S.DRAINING,
    (_S.ATTACHED, _I.LINK_LOST): _S.DETACHED,
    (_S.ATTACHED, _I.ENDED): _S.ENDED,
    (_S.DRAINING, _I.GO_AWAY): _S.DRAINING,
    (_S.DRAINING, _I.LINK_LOST): _S.DETACHED_DRAINING,
    (_S.DRAINING, _I.ENDED): _S.ENDED,
    (_S.DETACHED, _I.GO_AWAY): _S.DETACHED_DRAINING,
    (_S.DETACHED, _I.RESUMED): _S.ATTACHED,
    (_S.DETACHED, _I.ENDED): _S.ENDED,
    (_S.DETACHED_DRAINING, _I.GO_AWAY): _S.DETACHED_DRAINING,
    (_S.DETACHED_DRAINING, _I.RESUMED): _S.DRAINING,
    (_S.DETACHED_DRAINING, _I.ENDED): _S.ENDED,
    (_S.ENDED, _I.ENDED): _S.ENDED,
}
