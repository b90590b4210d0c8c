"""The life of a session as a table: every state, every input, what comes of it.

A session has two directions that end by themselves, and a reset ends both. *Local* is what this side sends.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["TRANSITIONS", "SessionInput", "SessionState"]


class SessionState(IntEnum):
    UNOPENED = 0
    """Opened here, not yet handed to a link: the peer has not heard of it."""
    OPEN = 1
    LOCAL_ENDED = 2
    REMOTE_ENDED = 3
    CLOSED = 4


class SessionInput(IntEnum):
    OPENED = 0
    """The opening was framed, or arrived."""
    LOCAL_END = 1
    """An envelope with ``end`` was framed, or the peer wants no more of what this side sends."""
    REMOTE_END = 2
    """An envelope with ``end`` arrived, or this side wants no more."""
    RESET = 3
    """Either side sent an error, or the tunnel ended."""


_S = SessionState
_I = SessionInput

TRANSITIONS: Final[dict[tuple[SessionState, SessionInput], SessionState]] = {
    (_S.UNOPENED, _I.OPENED): _S.OPEN,
    (_S.UNOPENED, _I.RESET): _S.CLOSED,
    (_S.OPEN, _I.LOCAL_END): _S.LOCAL_ENDED,
    (_S.OPEN, _I.REMOTE_END): _S.REMOTE_ENDED,
    (_S.OPEN, _I.RESET): _S.CLOSED,
    (_S.LOCAL_ENDED, _I.REMOTE_END): _S.CLOSED,
    (_S.LOCAL_ENDED, _I.RESET): _S.CLOSED,
    (_S.REMOTE_ENDED, _I.LOCAL_END): _S.CLOSED,
    (_S.REMOTE_ENDED, _I.RESET): _S.CLOSED,
}
"""What is not listed cannot happen, or is the peer's mistake."""
