"""``use = "rewrite"``: another path, another host, the same query."""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.middleware.path_change import path_change
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import EditedStream
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["RewriteMiddleware", "RewriteOptions"]

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253})(:[0-9]{1,5})?")


class RewriteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""``[middleware.NAME]``: of ``path``, ``prefix`` and ``regex`` at most one.

    Args:
        path: Takes the place of the whole path.
        prefix: Whole segments; ``replace_prefix`` takes their place.
        replace_prefix: For ``prefix``.
        regex: Matches the whole path; ``replacement`` takes its place.
        replacement: For ``regex``; ``\1`` is its first group.
        host: Takes the place of Host.
    """

    path: str | None = None
    prefix: str | None = None
    replace_prefix: str | None = None
    regex: str | None = None
    replacement: str | None = None
    host: str | None = None


class RewriteMiddleware(Middleware):
    """Changes what is asked for, without telling the visitor.

    Args:
        options: How.

    Raises:
        ConfigurationError: They contradict each other, or say nothing.

    Source: Gateway API, URLRewrite; Envoy, regex_rewrite.
    """

    Options: ClassVar[type[msgspec.Struct]] = RewriteOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "websocket"})

    def __init__(self, options: RewriteOptions) -> None:
        self._path = path_change(
            path=options.path,
            prefix=options.prefix,
            by=options.replace_prefix,
            regex=options.regex,
            replacement=options.replacement,
        )
        if options.host is not None and not _HOST.fullmatch(options.host):
            raise ConfigurationError('expected a host such as "app.example.test"', key_path="host")
        if self._path is None and options.host is None:
            raise ConfigurationError("expected one of path, prefix, regex and host")
        self._host = None if options.host is None else options.host.encode()

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        head = stream.head
        assert isinstance(head, HttpRequest)
        if self._path is not None:
            head = replace(head, path=self._path.of(head.path), url=b"")
        if self._host is not None:
            head = replace(head, host=self._host, headers=_with_host(head.headers, self._host), url=b"")
        await target.handle(EditedStream(stream, head=head))


def _with_host(headers: Headers, host: bytes) -> Headers:
    changed = list(headers)
    for at in range(0, len(changed), 2):
        if changed[at].lower() == b"host":
            changed[at + 1] = host
    return tuple(changed)
