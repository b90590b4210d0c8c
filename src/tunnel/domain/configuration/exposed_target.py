"""What is exposed, as people write it: a port, an address, a URL, a module."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tunnel.domain.configuration.mistakes import mistake

__all__ = ["ExposedTarget", "claimed_target", "is_target", "target_url"]

_EXPECTED: Final = 'a port such as "3000", "HOST:PORT", a URL such as "http://127.0.0.1:3000", or "MODULE:ATTRIBUTE"'

_PORT: Final = re.compile(r"[0-9]{1,5}")
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?:[0-9]{1,5}")
_ATTRIBUTE: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*(?:\(\))?")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*|(?:unix|asgi|wsgi):.*", re.DOTALL)
_MAX_PORT: Final = 65535
_SERVED_BY_HOSTS: Final = ("http", "https", "grpc", "grpcs")


class ExposedTarget(NamedTuple):
    """One thing to expose, and where.

    Args:
        text: The target as written.
        host: To claim; None: the server chooses.
        path_prefix: To claim, ``/`` for all paths; None: nothing was said.
    """

    text: str
    host: str | None = None
    path_prefix: str | None = None


def target_url(text: str, path: str = "") -> str:
    """The target that is meant by ``text``.

    A number is a port of this machine, ``HOST:PORT`` and ``:PORT`` speak HTTP. ``MODULE:ATTRIBUTE`` is returned as it
    is, for what it names decides what it is. URLs are returned as they are, but for slashes behind the authority, which
    browsers put there.

    Args:
        text: As written.
        path: Key path for the error.

    Raises:
        ConfigurationError: It is none of these.
    """
    if _SCHEME.fullmatch(text):
        scheme, _, rest = text.partition("://")
        return f"{scheme}://{rest.rstrip('/')}" if scheme in _SERVED_BY_HOSTS else text
    if _PORT.fullmatch(text):
        text = f":{text}"
    if _ADDRESS.fullmatch(text):
        host, _, port = text.rpartition(":")
        if 0 < int(port) <= _MAX_PORT:
            return f"http://{host or '127.0.0.1'}:{int(port)}"
    elif _ATTRIBUTE.fullmatch(text):
        return text
    raise mistake(path, _EXPECTED, got=text)


def is_target(text: str) -> bool:
    """Whether what ``target_url`` returned is a target of an upstream, rather than the name of an application."""
    return _SCHEME.fullmatch(text) is not None


def claimed_target(text: str) -> ExposedTarget:
    """Take ``[HOST][/PREFIX]=TARGET`` apart, of which all up to the equals sign may be missing.

    The host of a claim has no colon, and all targets but ports have one: so an equals sign behind a colon is the
    target's own.
    """
    claim, equals, target = text.partition("=")
    if not equals or ":" in claim:
        return ExposedTarget(text)
    host, slash, prefix = claim.partition("/")
    return ExposedTarget(target, host or None, f"/{prefix}" if slash else None)
