"""Bodies that a visitor sends only when it is asked to.

A request with ``Expect: 100-continue`` comes without its body. Whoever is to have the body says so with an
informational response, 100, at each hop; a visitor that gets a final response instead may keep it to itself.

Source: RFC 9110 section 10.1.1; docs/reference/protocol.md, sessions.
"""

from __future__ import annotations

from typing import Final

from tunnel.domain.envelopes import HttpRequest, HttpResponse, Opening, SessionPayload

__all__ = ["PERMISSION", "awaits_permission", "is_permission"]

PERMISSION: Final = HttpResponse(100)
"""Says, before the answer: send the body."""

_CONTINUE: Final = b"100-continue"


def awaits_permission(head: Opening) -> bool:
    """Whether the body of a request comes only when asked for, and nothing of it is there yet."""
    if type(head) is not HttpRequest or head.end or head.body:
        return False
    names = map(bytes.lower, head.headers[::2])
    fields = zip(names, head.headers[1::2], strict=False)  # what a peer sent may be malformed: others judge that
    return any(name == b"expect" and value.strip().lower() == _CONTINUE for name, value in fields)


def is_permission(payload: SessionPayload) -> bool:
    """Whether ``payload`` asks for the body of the request, and is no answer to it."""
    return type(payload) is HttpResponse and payload.status == PERMISSION.status and not payload.end
