"""The server that a request names itself, which is where it goes when nobody routes it."""

from __future__ import annotations

from typing import Final

from tunnel.domain.configuration.target_url import TargetUrl
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.hosts import normal_host

__all__ = ["asked_authority"]

_HTTPS: Final = b"https://"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def asked_authority(head: HttpRequest, *, secure: bool = False) -> TargetUrl | None:
    """The origin that ``head`` is for: of its URL when it has one, else of its Host.

    Args:
        head: Of a request.
        secure: Whether it came over TLS, so that without a URL https is meant.

    Returns:
        None when it names none, as HTTP/1.0 permits, or port 0.

    Raises:
        SessionError: ``bad_request``: this is no host with an optional port.

    Source: RFC 9110 section 7.1; RFC 9112 section 3.3.
    """
    if not head.host:
        return None
    if head.url:
        secure = head.url[: len(_HTTPS)].lower() == _HTTPS
    scheme = "https" if secure else "http"
    host = normal_host(head.host).decode()
    colon, digits = head.host.rpartition(b":")[1:]
    # The last colon of an IPv6 address in brackets is no port's.
    given = digits if colon and not digits.endswith(b"]") else b""
    port = int(given) if given else _DEFAULT_PORTS[scheme]
    return TargetUrl(scheme, host.strip("[]"), port) if port else None
