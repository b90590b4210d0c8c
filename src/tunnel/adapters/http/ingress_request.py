"""From what the parser found to a request on its connection, refused or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tunnel.adapters.http.ingress_connection import Connection
from tunnel.adapters.http.ingress_exchange import Exchange
from tunnel.adapters.http.ingress_head import Unsupported, Upload, protocol_asked, read_head, refusal
from tunnel.adapters.http.ingress_link import check_link
from tunnel.adapters.http.ingress_switch import Switch
from tunnel.adapters.http.ingress_target import read_target
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import SessionError
from tunnel.domain.link_entry import LINK_PATH

if TYPE_CHECKING:
    from httptools import HttpRequestParser

__all__ = ["read_request"]

_VERSIONS: Final = frozenset({"1.0", "1.1"})

_COMMON: Final = {
    method: method.decode() for method in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
}

_OF_RTSP: Final = frozenset(
    {
        *(b"ANNOUNCE", b"DESCRIBE", b"FLUSH", b"GET_PARAMETER", b"PAUSE", b"PLAY", b"RECORD", b"REDIRECT", b"SETUP"),
        *(b"SET_PARAMETER", b"TEARDOWN"),
    }
)
"""Methods that the parser takes of RTSP alone, which it does not tell from HTTP."""

_LINK_PATH: Final = LINK_PATH.encode()

_SWITCH: Final = Upload.SWITCH
"""Members of an enum are slow to look up, and this is in the way of every request."""


def read_request(
    connection: Connection,
    parser: HttpRequestParser,
    url: bytes,
    fields: Headers,
    *,
    scheme: str,
    peer: str,
    settings: IngressSettings,
) -> tuple[Exchange, Switch | None]:
    """The request whose head is complete; with its refusal, if no target is to hear of it.

    Args:
        connection: Where it came.
        parser: At the end of the head.
        url: Target of the request, as received.
        fields: As received, names in lower case.
        scheme: ``http`` or ``https``, of the connection.
        peer: IP address of the visitor; empty when it has none.
        settings: In force.

    Returns:
        The request, and who takes the connection over when it is the request's turn; None: nobody.
    """
    method = parser.get_method()
    version = parser.get_http_version()
    request_id, fields = settings.identify(fields, peer)
    links = refused = wrong = None
    try:
        if version not in _VERSIONS:
            raise Unsupported("only HTTP/1.0 and HTTP/1.1 are spoken here", status=505)
        head, upload = read_head(
            read_target(url, method),
            fields,
            method=_COMMON.get(method) or _method(method),
            version=version,
            scheme=scheme,
            peer=peer,
            settings=settings,
        )
        if settings.links is not None and head.path == _LINK_PATH:
            check_link(head, upload, settings.links)
            links = settings.links
    except SessionError as error:
        # Whatever else a target may be, it may hold a password.
        path = url.partition(b"?")[0] if url[:1] == b"/" else b""
        head = HttpRequest(method.decode(), path, protocol=protocol_asked(fields))
        upload, wrong = Upload.STREAMED, error
        refused = refusal(error, request_id=request_id)
    exchange = Exchange(
        connection,
        head,
        upload,
        http10=version == "1.0",
        # How a request that was refused ends is not certain.
        keep_alive=refused is None and parser.should_keep_alive(),
        max_body_bytes=settings.max_body_bytes,
        request_id=request_id,
        peer=peer,
    )
    exchange.refusal = refused
    exchange.error = wrong
    return exchange, Switch(fields, links) if upload is _SWITCH else None


def _method(method: bytes) -> str:
    if method in _OF_RTSP:
        raise Unsupported("only HTTP/1.0 and HTTP/1.1 are spoken here", status=505)
    return method.decode()
