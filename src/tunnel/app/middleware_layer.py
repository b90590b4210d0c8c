"""Middleware at work: one layer around the next, and around what a rule leads to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from tunnel.domain.configuration import MiddlewareSettings
from tunnel.domain.envelopes import GrpcFrame, HttpRequest, Opening
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.kinds import PROTOCOLS
from tunnel.domain.refusal import Refusal
from tunnel.domain.refused_answer import refused_answer
from tunnel.ports.middleware import Middleware
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["MiddlewareChain", "MiddlewareLayer", "Passage"]


class MiddlewareLayer:
    """One middleware, shared by all rules that name it, and how many conversations are under way in it.

    It is closed when nobody holds it any more and the last conversation is over, so that it can be handed from one
    configuration to the next.

    Args:
        settings: What it was made of.
        middleware: The middleware.
        protocols: What it has a meaning for.
        close: Has the middleware closed in the background; called once.
    """

    __slots__ = ("_close", "_holders", "middleware", "protocols", "settings", "under_way")

    def __init__(
        self,
        settings: MiddlewareSettings,
        middleware: Middleware,
        *,
        protocols: frozenset[str],
        close: Callable[[Middleware], None],
    ) -> None:
        self.settings: Final = settings
        self.middleware: Final = middleware
        self.protocols: Final = protocols
        self.under_way = 0
        self._holders = 0
        self._close: Callable[[Middleware], None] | None = close

    def hold(self) -> None:
        """Keep it open until ``release``."""
        self._holders += 1

    def release(self) -> None:
        """Let go."""
        self._holders -= 1
        self._close_if_idle()

    def leave(self) -> None:
        """A conversation is over."""
        self.under_way -= 1
        if not self._holders:
            self._close_if_idle()

    def part(self) -> Middleware | None:
        """Let go, whatever is under way; the middleware, if the caller is to close it since nobody else holds it."""
        self._holders -= 1
        if self._holders or self._close is None:
            return None
        self._close = None
        return self.middleware

    def _close_if_idle(self) -> None:
        if not self._holders and not self.under_way and self._close is not None:
            close, self._close = self._close, None
            close(self.middleware)


class MiddlewareChain:
    """The middleware of one rule. Immutable.

    Args:
        layers: The outermost first.
    """

    __slots__ = ("_by_protocol",)

    def __init__(self, layers: tuple[MiddlewareLayer, ...]) -> None:
        self._by_protocol: Final = {
            protocol: tuple(layer for layer in layers if protocol in layer.protocols) for protocol in PROTOCOLS
        }

    def passage(self, target: ProxyTarget, head: Opening) -> Passage | None:
        """The way of one conversation through the layers that have a meaning for it; None when none has.

        Args:
            target: Where it leads.
            head: The opening.

        Raises:
            SessionError: ``protocol_error``: no protocol that there is, which a peer can write into a request.
        """
        protocol = _protocol(head)
        if protocol not in self._by_protocol:
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "a conversation of no known protocol")
        layers = self._by_protocol[protocol]
        return Passage(layers, target) if layers else None


class Passage(ProxyTarget):
    """One conversation's way through layers. Used once.

    Args:
        layers: The outermost first.
        target: Behind the last.
    """

    __slots__ = ("_layers", "_target", "refusal")

    def __init__(self, layers: tuple[MiddlewareLayer, ...], target: ProxyTarget) -> None:
        self._layers = layers
        self._target = target
        self.refusal: Refusal | None = None
        """Why a layer did not let the conversation pass, when that was answered; None when all did."""

    def handle(self, stream: Stream) -> Coroutine[Any, Any, None]:
        return self.enter(0, stream)

    def enter(self, at: int, stream: Stream) -> Coroutine[Any, Any, None]:
        """Go on with the layer at this place, or with the target behind the last."""
        # No coroutine of its own: every frame below a conversation is in the way of each of its steps.
        return self._target.handle(stream) if at == len(self._layers) else self._pass(at, stream)

    async def _pass(self, at: int, stream: Stream) -> None:
        layer = self._layers[at]
        layer.under_way += 1
        try:
            await layer.middleware.handle(stream, _Rest(self, at + 1))
        except Refusal as refusal:
            answer = refused_answer(stream.head, refusal)
            if answer is None:
                raise
            # Sent here, where the layers before this one change it as any other answer, and see no failure.
            await stream.send(answer)
            self.refusal = refusal
        finally:
            layer.leave()


class _Rest(ProxyTarget):
    """What is left of a passage."""

    __slots__ = ("_at", "_passage")

    def __init__(self, passage: Passage, at: int) -> None:
        self._passage = passage
        self._at = at

    def handle(self, stream: Stream) -> Coroutine[Any, Any, None]:
        return self._passage.enter(self._at, stream)


def _protocol(head: Opening) -> str:
    return head.protocol if type(head) is HttpRequest else "grpc" if type(head) is GrpcFrame else "tcp"
