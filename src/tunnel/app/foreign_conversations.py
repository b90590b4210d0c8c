"""Conversations of protocols that the targets of an upstream do not answer."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tunnel.domain.configuration.target_protocols import answered
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.clock import Clock
from tunnel.ports.telemetry import ProtocolUnanswered, Telemetry

__all__ = ["ForeignConversations"]

_QUIET_S: Final = 60.0
"""Seconds after it was told. Whoever may call can do so a thousand times a second, and it is one mistake."""

_KNOWN: Final = frozenset({"http", "websocket", "grpc"})
_UNKNOWN: Final = "unknown"
"""Stands for what else a peer of the tunnel may write in the place of a protocol, of which there is no end."""


class ForeignConversations:
    """Refuses them, and tells of that now and then.

    A rule without ``protocol`` matches all of them, so that this is a mistake of the configuration or of the visitor,
    and speaks against no client and no target: it has the code of what no rule leads to.

    Args:
        upstream: To which they were led.
        protocols: What its targets answer.
        telemetry: Told of the first of each protocol, and then at most once a minute.
        clock: Time.
    """

    __slots__ = ("_clock", "_protocols", "_telemetry", "_told_at", "_untold", "_upstream")

    def __init__(self, upstream: str, protocols: frozenset[str], *, telemetry: Telemetry, clock: Clock) -> None:
        self._upstream = upstream
        self._protocols = protocols
        self._telemetry = telemetry
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def refusal(self, protocol: str) -> SessionError:
        """The error of one more conversation of ``protocol``, which is to be raised."""
        if protocol not in _KNOWN:
            protocol = _UNKNOWN
        now = self._clock.now()
        self._untold[protocol] += 1
        if now - self._told_at.get(protocol, -_QUIET_S) >= _QUIET_S:
            self._told_at[protocol] = now
            self._telemetry.record(ProtocolUnanswered(self._upstream, protocol, self._untold.pop(protocol)))
        message = f"what is at this route answers {answered(self._protocols)} only"
        return SessionError(ErrorCode.ROUTE_NOT_FOUND, message)
