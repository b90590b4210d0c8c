"""What a server answers to sessions that its clients open, while it has no rules for them."""

from __future__ import annotations

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["NoForwarding"]


class NoForwarding(ProxyTarget):
    """Denies every conversation: nobody may open any without a rule that says so."""

    async def handle(self, stream: Stream) -> None:
        raise SessionError(ErrorCode.FORBIDDEN, "this server forwards nothing for its clients")
