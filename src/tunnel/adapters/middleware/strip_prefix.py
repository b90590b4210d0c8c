"""``use = "strip_prefix"``: takes a prefix off the path."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError, SessionError
from tunnel.domain.middleware.header_edits import without_fields
from tunnel.domain.middleware.path_change import stripped_prefix
from tunnel.domain.rules.paths import normal_prefix
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import EditedStream
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["StripPrefixMiddleware", "StripPrefixOptions"]

_FIELD = b"x-forwarded-prefix"
_FIELDS = frozenset({_FIELD})


class StripPrefixOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``.

    Args:
        prefixes: Whole segments; the first that the path has is taken off.
    """

    prefixes: tuple[str, ...]


class StripPrefixMiddleware(Middleware):
    """Takes a prefix off the path, and tells the target which in ``X-Forwarded-Prefix``.

    Args:
        options: Which.

    Raises:
        ConfigurationError: A prefix is none.

    Source: Traefik, StripPrefix.
    """

    Options: ClassVar[type[msgspec.Struct]] = StripPrefixOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "websocket"})

    def __init__(self, options: StripPrefixOptions) -> None:
        if not options.prefixes:
            raise ConfigurationError("expected at least one prefix", key_path="prefixes")
        self._prefixes = tuple(_prefix(prefix, f"prefixes[{index}]") for index, prefix in enumerate(options.prefixes))

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        head = stream.head
        assert isinstance(head, HttpRequest)
        found = stripped_prefix(head.path, self._prefixes)
        # The field is ours to say: a visitor's own would be believed.
        headers = without_fields(head.headers, _FIELDS)
        if found is not None:
            head = replace(head, path=found[1], headers=(*headers, _FIELD, found[0]), url=b"")
            stream = EditedStream(stream, head=head)
        elif headers is not head.headers:
            stream = EditedStream(stream, head=replace(head, headers=headers))
        await target.handle(stream)


def _prefix(prefix: str, path: str) -> bytes:
    try:
        normal = normal_prefix(prefix.encode())
    except (SessionError, UnicodeEncodeError):
        normal = b""
    if not normal.startswith(b"/"):
        raise ConfigurationError('expected a path such as "/api", without dot segments', key_path=path)
    return normal
