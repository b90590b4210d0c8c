"""Opening handshakes of WebSocket conversations: what is asked and answered on a hop, and what passes through it.

Upgrade, Connection and the Sec-WebSocket fields that prove a handshake or negotiate extensions concern one hop. The
subprotocols that are offered, and the one that is chosen, are the ends' own and pass through.

Source: RFC 6455 section 4.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode, b64encode
from hashlib import sha1
from typing import Final

from msgspec.structs import replace

from tunnel.adapters.http.fields import strip_hop_by_hop, tokens, values, without
from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = [
    "PROTOCOL_FIELD",
    "accept_token",
    "accepted_fields",
    "check_asked",
    "check_switched",
    "chosen",
    "is_asked_for",
    "new_key",
    "offered",
    "passing",
]

PROTOCOL_FIELD: Final = b"sec-websocket-protocol"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
_VERSION: Final = b"13"

_OF_ONE_HOP: Final = frozenset(
    {
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"content-length",
    }
)
"""A handshake has no body, nor has the answer that accepts it."""


def is_asked_for(headers: Headers) -> bool:
    """Whether a request asks for its connection to become a WebSocket."""
    upgrades = tokens(values(headers, b"upgrade"))
    return b"websocket" in upgrades and b"upgrade" in tokens(values(headers, b"connection"))


def check_asked(method: str, headers: Headers) -> bool:
    """Whether a handshake is of the version that is spoken here.

    Raises:
        SessionError: ``bad_request``: it is no handshake.

    Source: RFC 6455 section 4.2.1.
    """
    if method != "GET":
        raise _bad("a WebSocket handshake is a GET")
    if values(headers, b"transfer-encoding") or any(value != b"0" for value in values(headers, b"content-length")):
        raise _bad("a WebSocket handshake has no body")
    versions = values(headers, b"sec-websocket-version")
    if versions != [_VERSION]:
        return False
    keys = values(headers, b"sec-websocket-key")
    try:
        size = len(b64decode(keys[0], validate=True)) if len(keys) == 1 else 0
    except binascii.Error:
        size = 0
    if size != _KEY_BYTES:
        raise _bad("Sec-WebSocket-Key is missing or malformed")
    offered(headers)
    return True


def passing(head: HttpRequest) -> HttpRequest:
    """The opening of a conversation, of a handshake without its hop-by-hop fields."""
    return replace(head, headers=without(head.headers, _OF_ONE_HOP), body=b"", end=False, protocol="websocket")


def offered(headers: Headers) -> list[bytes]:
    """The subprotocols that the visitor speaks, in order of preference, case kept.

    Raises:
        SessionError: ``bad_request``: one is empty.
    """
    names = [name.strip(b" \t") for value in values(headers, PROTOCOL_FIELD) for name in value.split(b",")]
    if not all(names):
        raise _bad("Sec-WebSocket-Protocol is malformed")
    return names


def accept_token(key: bytes) -> bytes:
    """What proves that a handshake with ``key`` was understood."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def new_key() -> bytes:
    """A key for a handshake of ours."""
    return b64encode(secrets.token_bytes(_KEY_BYTES))


def chosen(headers: Headers, offers: list[bytes]) -> bytes | None:
    """The subprotocol that an acceptance names; None when it names none.

    Raises:
        SessionError: ``protocol_error``: several, or one that was not offered.
    """
    names = values(headers, PROTOCOL_FIELD)
    if not names:
        return None
    if len(names) > 1 or names[0] not in offers:
        raise SessionError(
            ErrorCode.PROTOCOL_ERROR,
            "the upstream's answer is malformed",
            detail="a WebSocket subprotocol that was not offered",
        )
    return names[0]


def accepted_fields(headers: Headers) -> Headers:
    """The fields of an acceptance that pass through a hop, the chosen subprotocol among them."""
    return without(strip_hop_by_hop(headers), _OF_ONE_HOP)


def check_switched(headers: Headers, key: bytes, offers: list[bytes]) -> None:
    """Refuse an acceptance that is not one of the handshake we sent.

    Raises:
        SessionError: ``upstream_unreachable``.

    Source: RFC 6455 section 4.1.
    """
    if not is_asked_for(headers):
        raise _unreachable("it switched to another protocol than WebSocket")
    if values(headers, b"sec-websocket-accept") != [accept_token(key)]:
        raise _unreachable("Sec-WebSocket-Accept is not that of our key")
    if values(headers, b"sec-websocket-extensions"):
        raise _unreachable("it uses extensions that were not offered")
    try:
        chosen(headers, offers)
    except SessionError as exc:
        raise _unreachable(exc.detail) from None


def _bad(message: str) -> SessionError:
    return SessionError(ErrorCode.BAD_REQUEST, message)


def _unreachable(detail: str) -> SessionError:
    return SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream's WebSocket handshake is wrong", detail=detail)
