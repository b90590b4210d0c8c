"""Every error this library raises, and the codes that travel on the wire.

::

    TunnelError
    |-- ConfigurationError    a setting is wrong: where, and what was expected
    |-- SessionError          one conversation failed; carries a wire code
    |-- SendingStopped        the other end of a conversation wants no more input; its own output still comes
    |-- LinkError             a link ended; says how, and so what may be tried next
    |-- RegistrationRefused   the server will not have this client; trying again is futile
    `-- ListenError           an address cannot be listened on

Adapters translate foreign exceptions into these once, with ``from``; nothing foreign crosses a port.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Final

__all__ = [
    "ConfigurationError",
    "ErrorCode",
    "LinkEnd",
    "LinkError",
    "ListenError",
    "RegistrationRefused",
    "SendingStopped",
    "SessionError",
    "TunnelError",
]


class ErrorCode(StrEnum):
    """What went wrong, as it is written on the wire and in problem documents. Values never change."""

    BAD_REQUEST = "bad_request"
    ROUTE_NOT_FOUND = "route_not_found"
    NO_CLIENT = "no_client"
    PEER_LOST = "peer_lost"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    TOO_LARGE = "too_large"
    OVERLOADED = "overloaded"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    PROTOCOL_ERROR = "protocol_error"
    FLOW_CONTROL = "flow_control"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    LOOP_DETECTED = "loop_detected"

    @classmethod
    def parse(cls, value: str) -> ErrorCode:
        """The code written as ``value``; a code this version does not know is ``INTERNAL``."""
        return _CODES.get(value, cls.INTERNAL)


_CODES = {code.value: code for code in ErrorCode}


class TunnelError(Exception):
    """Root of every error raised by this library."""


_MAX_TOLD: Final = 20
"""Mistakes that ``str`` of a ``ConfigurationError`` spells out: it becomes one line of a log."""


class ConfigurationError(TunnelError):
    """A setting is missing, unknown, malformed or contradicts another.

    Where several settings are wrong, ``expected`` and ``key_path`` are of the first of them, ``mistakes`` has each by
    itself, and ``str`` tells the first twenty.

    Args:
        expected: What would have been right, as a phrase.
        key_path: Dotted path of the setting, ``rules[0].host``; empty for the whole file.
        source: File the setting came from; None for settings built in code.
        others: Further mistakes of the same settings.
    """

    def __init__(
        self,
        expected: str,
        *,
        key_path: str = "",
        source: str | None = None,
        others: Sequence[ConfigurationError] = (),
    ) -> None:
        super().__init__(expected, key_path, source)
        self.expected = expected
        self.key_path = key_path
        self.source = source
        self._others = tuple(others)

    @classmethod
    def of(cls, mistakes: Sequence[ConfigurationError], *, source: str | None = None) -> ConfigurationError:
        """One error for several mistakes.

        Args:
            mistakes: At least one. Of a single one nothing is changed but its source.
            source: File that they are all in; None: as each says.
        """
        each = [cls(one.expected, key_path=one.key_path, source=source or one.source) for one in mistakes]
        first, *others = each
        return cls(first.expected, key_path=first.key_path, source=first.source, others=others)

    @property
    def mistakes(self) -> tuple[ConfigurationError, ...]:
        """Every mistake by itself, at least one."""
        if not self._others:
            return (self,)
        return ConfigurationError(self.expected, key_path=self.key_path, source=self.source), *self._others

    def __str__(self) -> str:
        if not self._others:
            return self._line(with_source=True)
        told = [each._line(with_source=False) for each in self.mistakes[:_MAX_TOLD]]
        more = len(self._others) + 1 - len(told)
        text = "; ".join((*told, f"and {more} more") if more else told)
        return ": ".join(part for part in (self.source, f"{len(self._others) + 1} mistakes", text) if part)

    def _line(self, *, with_source: bool) -> str:
        return ": ".join(part for part in (self.source if with_source else None, self.key_path, self.expected) if part)


class SessionError(TunnelError):
    """One conversation failed. Others are not affected.

    Args:
        code: The wire code.
        message: For whoever made the request; never holds internal addresses or secrets.
        detail: For operators; is sent to the peer of the tunnel, never to a visitor.
    """

    def __init__(self, code: ErrorCode, message: str = "", *, detail: str = "") -> None:
        super().__init__(code, message, detail)
        self.code = code
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code.value, self.message, self.detail) if part)


class SendingStopped(TunnelError):
    """The other end wants no more of this conversation's input. Not a failure: go on receiving.

    Args:
        code: Why, as the peer wrote it.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class LinkEnd(Enum):
    """How a link ended, which decides what may be tried next (docs/reference/protocol.md, ends of links)."""

    CLOSED = "closed"
    """Closed by this side."""
    ENDED = "ended"
    """The peer closed the transport in an orderly way. Resumable."""
    BROKEN = "broken"
    """The network or the peer's process went away. Resumable."""
    UNREACHABLE = "unreachable"
    """No link came to be: connect, TLS or transport handshake failed. Try the next address."""
    REFUSED = "refused"
    """The peer will not have us. Fatal."""
    VIOLATED = "violated"
    """One side broke the protocol. The tunnel ends; register afresh after backoff."""


class LinkError(TunnelError):
    """A link ended, or could not be made.

    Args:
        end: How.
        reason: Why, in words for a log line.
    """

    def __init__(self, end: LinkEnd, reason: str) -> None:
        super().__init__(end, reason)
        self.end = end
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.end.value}: {self.reason}"


class RegistrationRefused(TunnelError):
    """The server refused this client for good: credentials, claims, version, or superseded by another instance."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code.value}: {self.reason}" if self.reason else self.code.value


class ListenError(TunnelError):
    """An address cannot be listened on.

    Args:
        address: As configured.
        reason: The operating system's words.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot listen on {self.address}: {self.reason}"
