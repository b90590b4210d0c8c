"""``use = "redirect"``: sends the visitor elsewhere."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from tunnel.domain.envelopes import HttpRequest, HttpResponse
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.middleware.path_change import path_change
from tunnel.domain.middleware.visitor import scheme_of
from tunnel.ports.middleware import Middleware
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["RedirectMiddleware", "RedirectOptions"]

_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253}")
_PORT: Final = re.compile(rb":[0-9]*\Z")
_DEFAULT_PORTS: Final = {b"http": 80, b"https": 443}
_STATUSES: Final = (301, 302, 303, 307, 308)


class RedirectOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""``[middleware.NAME]``: what is given takes the place of what was asked for.

    Args:
        scheme: Of the URL. With another one the port is its usual one, unless given.
        host: Without port.
        port: Of the URL.
        path: The whole path.
        prefix: Whole segments; ``replace_prefix`` takes their place.
        replace_prefix: For ``prefix``.
        regex: Matches the whole path; ``replacement`` takes its place.
        replacement: For ``regex``; ``\1`` is its first group.
        status: 301, 302, 303, 307 or 308.
    """

    scheme: Literal["http", "https"] | None = None
    host: str | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    path: str | None = None
    prefix: str | None = None
    replace_prefix: str | None = None
    regex: str | None = None
    replacement: str | None = None
    status: int = 302


class RedirectMiddleware(Middleware):
    """Answers with the URL to ask for; lets pass what asks for that very URL already.

    Args:
        options: Where to.

    Raises:
        ConfigurationError: They contradict each other, or say nothing.

    Source: Gateway API, RequestRedirect; Traefik, RedirectScheme; RFC 9110 section 15.4.
    """

    Options: ClassVar[type[msgspec.Struct]] = RedirectOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "websocket"})

    def __init__(self, options: RedirectOptions) -> None:
        self._path = path_change(
            path=options.path,
            prefix=options.prefix,
            by=options.replace_prefix,
            regex=options.regex,
            replacement=options.replacement,
        )
        if options.host is not None and not _HOST.fullmatch(options.host):
            raise ConfigurationError('expected a host such as "app.example.test", without port', key_path="host")
        if options.status not in _STATUSES:
            raise ConfigurationError("expected one of 301, 302, 303, 307 and 308", key_path="status")
        if self._path is None and options.scheme is None and options.host is None and options.port is None:
            raise ConfigurationError("expected one of scheme, host, port, path, prefix and regex")
        self._options = options

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        head = stream.head
        assert isinstance(head, HttpRequest)
        location = self._location(head)
        if location is None:
            await target.handle(stream)
            return
        headers = (b"location", location, b"content-length", b"0")
        await stream.send(HttpResponse(self._options.status, headers, end=True))

    def _location(self, head: HttpRequest) -> bytes | None:
        """Where to; None when that is what was asked for, or nobody can be sent there."""
        options = self._options
        asked_scheme = scheme_of(head)
        scheme = asked_scheme if options.scheme is None else options.scheme.encode()
        port = _PORT.search(head.host)
        asked_host = head.host[: port.start()] if port is not None else head.host
        host = asked_host if options.host is None else options.host.encode()
        number = options.port
        if number is None and options.scheme is None and options.host is None and port is not None and port[0] != b":":
            number = int(port[0][1:])
        path = head.path if self._path is None else self._path.of(head.path)
        if not host or path[:1] != b"/":
            return None
        authority = host if number in (None, _DEFAULT_PORTS[scheme]) else b"%b:%d" % (host, number)
        usual = _DEFAULT_PORTS[asked_scheme]
        asked_authority = asked_host if port is None or port[0] in (b":", b":%d" % usual) else head.host
        same_place = authority.lower() == asked_authority.lower() or (number is None and host == asked_host)
        if scheme == asked_scheme and same_place and path == head.path:
            return None
        return b"%b://%b%b" % (scheme, authority, path) + (b"" if head.query is None else b"?" + head.query)
