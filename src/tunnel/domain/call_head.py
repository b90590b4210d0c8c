"""What opens a gRPC call: beside the caller's metadata, what HTTP/2 says of a call in header fields of its own.

These come first in the ``metadata`` of the opening, under the names they have in HTTP/2:

1. ``:authority``, the host the call is for, where the ingress knows one;
2. ``grpc-timeout``, what was left of the caller's deadline when the call was handed on.

The deadline travels as time left and not as a time of day, since the clocks of two machines differ. Whoever hands a
call on writes what is left at that moment.

Source: docs/reference/protocol.md, envelopes; gRPC over HTTP2, Requests.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple, Self

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, Headers, HttpRequest, Opening
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["CallHead", "as_request", "format_timeout", "parse_timeout"]

_AUTHORITY: Final = b":authority"
_TIMEOUT: Final = b"grpc-timeout"
_METADATA: Final = GrpcFrameType.METADATA.value
_WHOLE: Final = GrpcFrameType.WHOLE.value

_TIMEOUT_VALUE: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_FINEST_FIRST: Final = ((1e6, b"u"), (1e3, b"m"), (1.0, b"S"), (1 / 3600, b"H"))
_MOST: Final = 99_999_999
"""Digits of a timeout are eight at most."""


class CallHead(NamedTuple):
    """An opening, taken apart.

    Args:
        service: ``pkg.Service``.
        method: ``Method``.
        metadata: The caller's own; values of keys that end in ``-bin`` are the bytes themselves.
        host: What the call is for; empty when that is not known.
        timeout_s: Seconds left until the caller's deadline; None without one.
        message: The only message, where that and the end of all messages came with the opening; else None.
    """

    service: str
    method: str
    metadata: Headers = ()
    host: bytes = b""
    timeout_s: float | None = None
    message: bytes | None = None

    @property
    def path(self) -> bytes:
        """``/pkg.Service/Method``."""
        return f"/{self.service}/{self.method}".encode()

    def frame(self, timeout_s: float | None = None) -> GrpcFrame:
        """The opening.

        Args:
            timeout_s: What is left of the deadline now; None: as it says itself.
        """
        metadata = self.metadata
        if timeout_s is None:
            timeout_s = self.timeout_s
        if timeout_s is not None:
            metadata = (_TIMEOUT, format_timeout(timeout_s), *metadata)
        if self.host:
            metadata = (_AUTHORITY, self.host, *metadata)
        if self.message is None:
            return GrpcFrame(_METADATA, self.service, self.method, metadata)
        return GrpcFrame(_WHOLE, self.service, self.method, metadata, self.message)

    @classmethod
    def of(cls, frame: GrpcFrame) -> Self:
        """Take an opening apart.

        Raises:
            SessionError: ``protocol_error``: it opens no call, or its deadline is malformed.
        """
        host, timeout_s, metadata = _fields(frame)
        message = frame.data if frame.type == _WHOLE else None
        return cls(frame.service, frame.method, metadata, host, timeout_s, message)


def _fields(frame: GrpcFrame) -> tuple[bytes, float | None, Headers]:
    """Host, seconds left, and the caller's own metadata."""
    if frame.type != _WHOLE and frame.type != _METADATA:
        raise SessionError(ErrorCode.PROTOCOL_ERROR, "a call was opened by something else than its metadata")
    metadata = frame.metadata
    host, timeout_s = b"", None
    if metadata and metadata[0] == _AUTHORITY:
        host, metadata = metadata[1], metadata[2:]
    if metadata and metadata[0] == _TIMEOUT:
        timeout_s, metadata = parse_timeout(metadata[1]), metadata[2:]
    return host, timeout_s, metadata


def as_request(head: Opening) -> HttpRequest:
    """An opening as rules and hash keys see it: a call is a POST of ``/service/method`` with its metadata as headers.

    Raises:
        SessionError: ``route_not_found``: nothing is routed by rules that begins so; ``protocol_error``.
    """
    match head:
        case HttpRequest():
            return head
        case GrpcFrame():
            host, _, metadata = _fields(head)
            path = f"/{head.service}/{head.method}".encode()
            return HttpRequest("POST", path, host=host, headers=metadata, protocol="grpc")
        case _:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this conversation")


def format_timeout(timeout_s: float) -> bytes:
    """Seconds as ``grpc-timeout`` has them: in the finest unit that holds them, rounded up, never 0.

    Source: gRPC over HTTP2, Timeout.
    """
    for per_second, unit in _FINEST_FIRST:
        value = max(1, math.ceil(timeout_s * per_second))
        if value <= _MOST:
            return b"%d%b" % (value, unit)
    return b"%dH" % _MOST


def parse_timeout(value: bytes) -> float:
    """The seconds that ``value`` says.

    Raises:
        SessionError: ``protocol_error``: it is malformed.
    """
    found = _TIMEOUT_VALUE.fullmatch(value)
    if found is None:
        raise SessionError(ErrorCode.PROTOCOL_ERROR, "the deadline of a call is malformed")
    return int(found[1]) * _UNIT_S[found[2]]
