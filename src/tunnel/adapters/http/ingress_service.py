"""What all connections of one ingress share: whom they give requests to, and by which settings."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Final, Protocol

from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.telemetry import RequestRefused

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

    def refused(self, error: SessionError, status: int, head: HttpRequest, *, request_id: bytes, peer: str) -> None:
        """Tell of a request that no target is to hear of.

        Args:
            error: Why.
            status: What the visitor is told.
            head: What is known of it: its protocol, and an empty method for nothing else.
            request_id: Its name; empty when it has none.
            peer: IP address of the visitor.
        """
        if self.settings.telemetry is not None:
            self.settings.telemetry.record(
                RequestRefused(
                    protocol=head.protocol,
                    code=error.code.value,
                    status=status,
                    request_id=request_id.decode(),
                    peer=peer,
                    method=head.method,
                    path=head.path.decode("ascii", "backslashreplace") if head.method else "",
                )
            )

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
