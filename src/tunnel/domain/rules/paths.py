"""The normal form of paths, in which rules and requests are compared.

A path is compared raw, split at ``/``, its segments percent-decoded: an encoded slash stays inside its segment. Empty
segments count: ``/a//b`` and ``/a/`` have three and two segments. Paths are forwarded as received; this form is for
comparison only.

Source: RFC 3986 sections 2.1, 3.3 and 5.2.4; RFC 9112 section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["ASTERISK", "prefix_segments", "split_path"]

ASTERISK: Final = b"*"
"""The target of a server-wide OPTIONS request (RFC 9112 section 3.2.4): a path without segments, which prefix ``/``
matches and no exact path does."""

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DOTS: Final = (b".", b"..")


def split_path(path: bytes) -> list[bytes]:
    """The decoded segments of a path: ``/a/%62`` as ``[b"a", b"b"]``, ``/`` as ``[b""]``, ``*`` as ``[]``.

    An empty path is ``/`` (RFC 3986 section 6.2.3).

    Raises:
        SessionError: ``BAD_REQUEST``; the path does not start with ``/``, holds a broken percent escape, or a dot
            segment, be it literal, encoded, or between encoded slashes, where this side and the upstream could read
            two different paths.
    """
    if path[:1] == b"/":
        segments = path.split(b"/")
        del segments[0]
        # A dot segment that is not encoded always shows as "/.".
        if b"%" not in path:
            if b"/." in path:
                _refuse_dots(segments)
            return segments
        return _decode(path, segments)
    if path == ASTERISK:
        return []
    if not path:
        return [b""]
    raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: does not start with /")


def prefix_segments(prefix: bytes) -> list[bytes]:
    """The segments of a path prefix: as ``split_path``, without the empty one after a trailing slash."""
    segments = split_path(prefix)
    if segments and not segments[-1]:
        segments.pop()
    return segments


def _decode(path: bytes, segments: list[bytes]) -> list[bytes]:
    if _BAD_ESCAPE.search(path):
        raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: broken percent escape")
    decoded = [unquote_to_bytes(segment) if b"%" in segment else segment for segment in segments]
    _refuse_dots(decoded)
    for segment in decoded:
        if b"/" in segment:
            _refuse_dots(segment.split(b"/"))
    return decoded


def _refuse_dots(segments: Iterable[bytes]) -> None:
    for segment in segments:
        if segment in _DOTS:
            raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: dot segment")
