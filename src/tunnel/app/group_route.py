"""The way of a listener's visitors to the one group that they are for."""

from __future__ import annotations

from typing import Self

from tunnel.app.routes import Routes
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.telemetry import SessionFailed, Telemetry

__all__ = ["GroupRoute"]


class GroupRoute(ProxyTarget):
    """Hands each conversation to a group, by its name when the conversation begins.

    Args:
        routes: Knows the groups.
        group: The name.
        telemetry: Told of conversations that failed, other than by one end's cutting them off.
    """

    def __init__(self, routes: Routes, group: str, telemetry: Telemetry) -> None:
        self._routes = routes
        self._group = group
        self._telemetry = telemetry

    def follow(self, successor: Self) -> None:
        """Lead to another group from the next conversation on."""
        self._group = successor._group

    async def handle(self, stream: Stream) -> None:
        try:
            group = self._routes.group(self._group)
            if group is None:
                raise SessionError(ErrorCode.NO_CLIENT, "no client is connected", detail=f"group {self._group} is gone")
            await group.handle(stream)
        except SessionError as exc:
            if exc.code is not ErrorCode.CANCELLED:
                self._telemetry.record(SessionFailed(exc.code.value, exc.message, exc.detail))
            raise
