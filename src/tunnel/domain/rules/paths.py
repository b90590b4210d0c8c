"""The normal form of paths, in which rules and requests are compared.

A path is compared segment by segment, each percent-decoded. Its normal form is those segments joined by ``/`` again;
``/`` and ``%`` inside a segment stay ``%2F`` and ``%25`` there. So an encoded slash is no separator, different paths
have different forms, and a path without escapes, which most are, is its own. Empty segments count: ``/a//b`` and
``/a/`` have three and two. Paths are forwarded as received; this form is for comparison only.

Source: RFC 3986 sections 2.1, 3.3 and 5.2.4; RFC 9112 section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["ASTERISK", "normal_path", "normal_prefix"]

ASTERISK: Final = b"*"
"""The target of a server-wide OPTIONS request (RFC 9112 section 3.2.4): a path without segments, which prefix ``/``
matches and no exact path does. It is its own normal form."""

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DOTS: Final = (b".", b"..")
_PERCENT: Final = ord("%")
_DOT: Final = ord(".")
_SLASH: Final = ord("/")


def normal_path(path: bytes) -> bytes:
    """``/a/%62%2fc`` as ``/a/b%2Fc``. An empty path is ``/`` (RFC 3986 section 6.2.3).

    Raises:
        SessionError: ``BAD_REQUEST``; the path does not start with ``/``, holds a broken percent escape, or a dot
            segment, be it literal, encoded, or between encoded slashes, where this side and the upstream could read
            two different paths.
    """
    if path[:1] == b"/":
        if _PERCENT in path:
            return _decoded(path)
        # A dot segment that is not encoded always shows as "/.".
        if _DOT in path and b"/." in path:
            _refuse_dots(path.split(b"/"))
        return path
    if path == ASTERISK:
        return path
    if not path:
        return b"/"
    raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: does not start with /")


def normal_prefix(prefix: bytes) -> bytes:
    """The normal form of a path prefix: as ``normal_path``, but for a trailing slash, so that ``/`` is empty."""
    return normal_path(prefix).removesuffix(b"/")


def _decoded(path: bytes) -> bytes:
    if _BAD_ESCAPE.search(path):
        raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: broken percent escape")
    segments = [_segment(part) if _PERCENT in part else part for part in path.split(b"/")]
    _refuse_dots(segments)
    return b"/".join(segments)


def _segment(raw: bytes) -> bytes:
    segment = unquote_to_bytes(raw)
    if _SLASH in segment:
        _refuse_dots(segment.split(b"/"))
    return segment.replace(b"%", b"%25").replace(b"/", b"%2F")


def _refuse_dots(segments: Iterable[bytes]) -> None:
    for segment in segments:
        if segment in _DOTS:
            raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: dot segment")
