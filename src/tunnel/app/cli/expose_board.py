"""What ``tunnel expose`` shows: each exposed target and how it is connected, and the requests that came."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Final, NamedTuple

from tunnel.app.served_target import ServedSession

__all__ = ["Board", "Exposition", "Line", "State", "failed", "in_words"]

KEPT_LINES: Final = 200
"""Requests that are remembered; more than any screen shows."""

_HTTP_FAILURE: Final = 500
_GRPC_FAILURES: Final = frozenset({2, 4, 13, 14, 15})
"""Codes of gRPC that blame the server, as 5xx does: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS."""


class State(StrEnum):
    """Whether visitors reach a target."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class Line(NamedTuple):
    """A request as it is listed.

    Args:
        time_s: When it was over, in seconds of Unix time.
        target: Which target it was for, as written.
        session: What is known of it.
    """

    time_s: float
    target: str
    session: ServedSession


class Exposition:
    """One target, as whoever looks on knows it.

    Args:
        target: As written.
        since: Seconds of Unix time.
    """

    def __init__(self, target: str, since: float) -> None:
        self.target: Final = target
        self.url = ""
        """Where visitors find it; empty before it is granted, and where the server cannot tell."""
        self.state = State.CONNECTING
        self.since = since
        """When it came into that state, in seconds of Unix time."""
        self.reason = ""
        """Why it is not connected, as far as that is known."""

    def enter(self, state: State, now: float, reason: str = "") -> bool:
        """Change the state; the time of a state that goes on stays.

        Returns:
            Whether it is another than before.
        """
        self.reason = reason
        if state is self.state:
            return False
        self.state, self.since = state, now
        return True


class Board:
    """All targets, totals, and the latest requests.

    Args:
        targets: As written.
        now: Seconds of Unix time.
    """

    def __init__(self, targets: tuple[str, ...], now: float) -> None:
        self.expositions: Final = tuple(Exposition(target, now) for target in targets)
        self.lines: Final[deque[Line]] = deque(maxlen=KEPT_LINES)
        """The latest last."""
        self.open = 0
        """Requests under way."""
        self.requests = 0
        """That are over."""
        self.failures = 0
        """Of these, those that failed at this end."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self.note = ""
        """The last that went wrong, in words."""

    def begin(self) -> None:
        """A request came."""
        self.open += 1

    def end(self, line: Line) -> None:
        """A request is over."""
        session = line.session
        self.open -= 1
        self.requests += 1
        self.failures += failed(session)
        self.received_bytes += session.received_bytes
        self.sent_bytes += session.sent_bytes
        self.lines.append(line)


def failed(session: ServedSession) -> bool:
    """Whether whoever exposes a target should have a look at this."""
    if session.outcome != "ok":
        return session.outcome != "cancelled"
    if session.protocol == "grpc":
        return session.status in _GRPC_FAILURES
    return session.protocol == "http" and session.status >= _HTTP_FAILURE


def in_words(session: ServedSession) -> str:
    """The status of a request, or why it has none: at most ten characters or so."""
    if session.outcome == "ok" or (session.status and session.protocol != "tcp"):
        return str(session.status) if session.protocol != "tcp" else "ok"
    return "left" if session.outcome == "cancelled" else session.outcome
