"""A target behind the middleware of a rule."""

from __future__ import annotations

from tunnel.app.middleware_layer import MiddlewareChain
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["GuardedTarget"]


class GuardedTarget(ProxyTarget):
    """Gives conversations to a target through middleware.

    Args:
        target: The target.
        chain: The middleware.
    """

    __slots__ = ("_chain", "_target")

    def __init__(self, target: ProxyTarget, chain: MiddlewareChain) -> None:
        self._target = target
        self._chain = chain

    async def handle(self, stream: Stream) -> None:
        passage = self._chain.passage(self._target, stream.head)
        await (self._target if passage is None else passage).handle(stream)
