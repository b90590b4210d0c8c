"""A conversation that is refused on purpose, with an answer of its own."""

from __future__ import annotations

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.kinds import Headers

__all__ = ["Refusal"]


class Refusal(SessionError):
    """Somebody between the visitor and the target will not let this conversation pass.

    It says something of the visitor and nothing of this server's health, so nobody is warned of it.

    Args:
        code: The wire code.
        message: For whoever made the request.
        status: Of the answer in HTTP; None: the usual one of ``code``.
        headers: Fields of the answer in HTTP, beyond those that describe its body; they take the places of
            ``Retry-After`` and ``WWW-Authenticate``, which answers of some statuses have anyway.
        detail: For operators.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str = "",
        *,
        status: int | None = None,
        headers: Headers = (),
        detail: str = "",
    ) -> None:
        super().__init__(code, message, detail=detail)
        self.status = status
        self.headers = headers
