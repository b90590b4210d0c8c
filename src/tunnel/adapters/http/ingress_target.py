"""The target of a request in its forms: ``/path?query``, a whole URL, or ``*``.

Source: RFC 9112 section 3.2.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["RequestTarget", "read_target"]

_SCHEMES: Final = frozenset({b"http", b"https"})


class RequestTarget(msgspec.Struct, frozen=True, gc=False):
    """What a request asks for.

    Args:
        path: As received; ``/`` where a URL has none, ``*`` for all of the server.
        query: As received, without its question mark; None when there is none at all.
        url: All of it, when it is a URL; else empty.
        authority: Of the URL, which stands in place of Host; None when it is no URL.
    """

    path: bytes
    query: bytes | None = None
    url: bytes = b""
    authority: bytes | None = None


def read_target(raw: bytes, method: bytes) -> RequestTarget:
    """Take a request target apart.

    Raises:
        SessionError: ``bad_request``: it has none of the forms that ``method`` may have, a fragment, user information,
            or bytes outside ASCII. That of CONNECT, which asks for a tunnel of its own, is none of those known here.

    Source: RFC 9112 section 3.2.3 for CONNECT, 3.2.4 for OPTIONS of a URL without path; RFC 9110 section 4.2.4 for user
    information.
    """
    if not raw.isascii() or b"#" in raw:
        raise _wrong()
    if raw[:1] == b"/":
        path, mark, query = raw.partition(b"?")
        return RequestTarget(path, query if mark else None)
    if raw == b"*" and method == b"OPTIONS":
        return RequestTarget(raw)
    return _read_url(raw, method)


def _read_url(raw: bytes, method: bytes) -> RequestTarget:
    scheme, separator, rest = raw.partition(b"://")
    if not separator or scheme.lower() not in _SCHEMES or method == b"CONNECT":
        raise _wrong()
    before, mark, query = rest.partition(b"?")
    authority, slash, path = before.partition(b"/")
    if not authority or b"@" in authority:
        raise _wrong()
    if not slash and not mark and method == b"OPTIONS":
        path = b"*"
    else:
        path = b"/" + path
    return RequestTarget(path, query if mark else None, raw, authority)


def _wrong() -> SessionError:
    return SessionError(ErrorCode.BAD_REQUEST, "the request target is malformed")
