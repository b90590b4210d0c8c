"""Requests for a link among those of visitors: telling them, and what is handed on of them."""

from __future__ import annotations

from typing import Final

from tunnel.adapters.http.fields import pairs
from tunnel.adapters.http.ingress_head import OtherVersion, Upload
from tunnel.adapters.http.websocket_handshake import offered
from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.link_entry import LINK_PATH, LINK_SUBPROTOCOL
from tunnel.ports.ingress_links import IngressLinks

__all__ = ["NoLink", "check_link", "link_handshake"]

_SUBPROTOCOL: Final = LINK_SUBPROTOCOL.encode()

_OF_HANDSHAKE: Final = frozenset(
    {
        b"host",
        b"upgrade",
        b"connection",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
    }
)


class NoLink(OtherVersion):
    """The request is at the path of links, and asks for no WebSocket."""


def check_link(head: HttpRequest, upload: Upload, links: IngressLinks) -> None:
    """Refuse a request at the path of links that is none, or comes when there are none.

    Raises:
        NoLink: It is no handshake of a WebSocket.
        SessionError: ``route_not_found``: it is one with another subprotocol. ``overloaded``: nobody serves links now.
    """
    if upload is not Upload.SWITCH:
        raise NoLink(ErrorCode.BAD_REQUEST, "only clients of the tunnel are served here, over WebSocket")
    if _SUBPROTOCOL not in offered(head.headers):
        message = f"only WebSockets with the subprotocol {LINK_SUBPROTOCOL} are served here"
        raise SessionError(ErrorCode.ROUTE_NOT_FOUND, message)
    if not links.accepting:
        raise SessionError(ErrorCode.OVERLOADED, "no links are accepted now")


def link_handshake(fields: Headers) -> bytes:
    """The request for a link, with what concerns the handshake and nothing else.

    Args:
        fields: As received, names in lower case, checked.
    """
    lines = (b"%b: %b\r\n" % field for field in pairs(fields) if field[0] in _OF_HANDSHAKE)
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (LINK_PATH.encode(), b"".join(lines))
