"""What all connections of one ingress share: whom they give requests to, and by which settings."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Final, Protocol

from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["IngressService", "VisitorStream"]

_logger: Final = logging.getLogger("tunnel.ingress")

_UNANSWERED: Final = SessionError(ErrorCode.INTERNAL, "the request was not answered")
_UNEXPECTED: Final = SessionError(ErrorCode.INTERNAL, "the request could not be handled")


class VisitorStream(Stream, Protocol):
    """A conversation with a visitor."""

    error: SessionError | None
    """Why it was reset, once it was."""

    @property
    @abstractmethod
    def head(self) -> HttpRequest: ...

    @property
    @abstractmethod
    def answered(self) -> bool:
        """Whether all of the answer has been handed on."""


class IngressService:
    """Gives conversations to a target.

    Args:
        target: Handles them; called concurrently.
        settings: In force for requests from now on; replaced while requests are under way.
    """

    __slots__ = ("_target", "settings")

    def __init__(self, target: ProxyTarget, settings: IngressSettings) -> None:
        self._target = target
        self.settings = settings

    async def handle(self, stream: VisitorStream) -> SessionError | None:
        """Have the target handle ``stream``; returns why its answer is not complete, None when it is.

        What a target raises ends here, but for being cancelled.
        """
        try:
            await self._target.handle(stream)
        except SessionError as exc:
            error = stream.error or exc
        except Exception:
            _logger.exception("A target failed on %s %r", stream.head.method, stream.head.path)
            error = _UNEXPECTED
        else:
            error = stream.error or _UNANSWERED
        return None if stream.answered else error
