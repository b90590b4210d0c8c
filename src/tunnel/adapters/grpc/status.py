"""gRPC statuses to ends of links and back.

Source: docs/reference/protocol.md, ends of links.
"""

from __future__ import annotations

from typing import Final

from grpc import StatusCode

from tunnel.adapters.grpc.proxy import proxy_words
from tunnel.adapters.grpc.tls import plain_words
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError

__all__ = ["end_of", "refusal_status", "status_of", "unusable"]

_REFUSALS: Final = {
    StatusCode.UNAUTHENTICATED: LinkEnd.REFUSED,
    StatusCode.PERMISSION_DENIED: LinkEnd.REFUSED,
}

# Whatever is not listed ended for reasons of the network or of a process, and so may be resumed.
_ENDS: Final = {
    **_REFUSALS,
    StatusCode.OK: LinkEnd.ENDED,
    StatusCode.UNIMPLEMENTED: LinkEnd.UNREACHABLE,
    StatusCode.RESOURCE_EXHAUSTED: LinkEnd.VIOLATED,
    StatusCode.INVALID_ARGUMENT: LinkEnd.VIOLATED,
    StatusCode.FAILED_PRECONDITION: LinkEnd.VIOLATED,
    StatusCode.OUT_OF_RANGE: LinkEnd.VIOLATED,
}

_STATUSES: Final = {
    LinkEnd.REFUSED: StatusCode.PERMISSION_DENIED,
    LinkEnd.VIOLATED: StatusCode.INVALID_ARGUMENT,
}

_REFUSAL_STATUSES: Final = {
    ErrorCode.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN: StatusCode.PERMISSION_DENIED,
}


def end_of(code: StatusCode, details: str | None) -> LinkError:
    """How a link that was in use ended, by the status of its call."""
    end = _ENDS.get(code, LinkEnd.BROKEN)
    return LinkError(end, "the peer closed the link" if end is LinkEnd.ENDED else _reason(code, details))


def unusable(code: StatusCode, details: str | None) -> LinkError:
    """Why no link came to be, by the status of its call."""
    return LinkError(
        _REFUSALS.get(code, LinkEnd.UNREACHABLE),
        _reason(code, proxy_words(details or "") or plain_words(details or "")),
    )


def status_of(end: LinkEnd) -> StatusCode:
    """The status with which a server drops a link, so that the client classes its end alike."""
    return _STATUSES.get(end, StatusCode.UNAVAILABLE)


def refusal_status(code: ErrorCode) -> StatusCode:
    """The status of a unary call whose client the server will not have."""
    return _REFUSAL_STATUSES.get(code, StatusCode.FAILED_PRECONDITION)


def _reason(code: StatusCode, details: str | None) -> str:
    return f"gRPC {code.name}: {details}" if details else f"gRPC {code.name}"
