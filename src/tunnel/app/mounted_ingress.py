"""A server's ingress below somebody else's ASGI server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["MountedIngress"]


class MountedIngress:
    """The ASGI application that others mount, which stays the same object while what is behind it is replaced.

    Args:
        application: What it is at first.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application
        """Serves from the next call on."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection scope."""
        await self.application(scope, receive, send)
