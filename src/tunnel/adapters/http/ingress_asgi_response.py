"""From response envelopes to ASGI messages."""

from __future__ import annotations

from typing import Final

from tunnel.adapters.http.ingress_asgi_pace import Pace
from tunnel.adapters.http.ingress_response import ResponseRules
from tunnel.adapters.http.ingress_types import AsgiSend, Scope
from tunnel.domain.envelopes import BodyChunk, HttpResponse, SessionPayload, Trailers
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["AsgiResponse"]

_TRAILERS: Final = "http.response.trailers"


class AsgiResponse:
    """Writes one response to an ASGI server, by ``ResponseRules``.

    Trailers reach the visitor if the server offers the ``http.response.trailers`` extension and the head announced
    them with a Trailer field; else they are dropped.

    Args:
        scope: Of the request.
        send: The ASGI server's.
        request_id: Name of the request; empty when it has none.
    """

    __slots__ = ("_offers_trailers", "_pace", "_rules", "_send", "_with_trailers")

    def __init__(self, scope: Scope, send: AsgiSend, request_id: bytes = b"") -> None:
        self._rules = ResponseRules(scope["method"], request_id)
        self._send = send
        self._pace = Pace()
        self._offers_trailers = _TRAILERS in (scope.get("extensions") or ())
        self._with_trailers = False

    @property
    def started(self) -> bool:
        """The server has taken the head."""
        return self._rules.started

    @property
    def ended(self) -> bool:
        """The server has been given the last message."""
        return self._rules.ended

    async def write(self, payload: SessionPayload) -> None:
        """Hand ``payload`` to the server; waits while the visitor is not ready for more.

        Raises:
            SessionError: ``protocol_error``: not what belongs here. ``cancelled``: the visitor has gone.
        """
        if not self._rules.admit(payload):
            return
        try:
            if type(payload) is HttpResponse:
                await self._write_head(payload)
            elif type(payload) is BodyChunk:
                await self._pace.keep()
                await self._write_body(self._rules.body(payload), end=payload.end)
            elif type(payload) is Trailers:
                await self._write_trailers(payload)
        except OSError as exc:  # since ASGI 2.4, from servers that tell a sender so
            raise SessionError(ErrorCode.CANCELLED, "the visitor left") from exc

    async def _write_head(self, head: HttpResponse) -> None:
        headers, body = self._rules.head(head)
        flat = iter(headers)
        start = {"type": "http.response.start", "status": head.status, "headers": list(zip(flat, flat, strict=True))}
        if self._offers_trailers and self._rules.announced:
            self._with_trailers = start["trailers"] = True
        await self._send(start)
        self._rules.started = True
        if body or head.end:
            await self._write_body(body, end=head.end)

    async def _write_trailers(self, trailers: Trailers) -> None:
        headers = self._rules.trailers(trailers)
        if not self._with_trailers:
            await self._write_body(b"", end=True)
            return
        flat = iter(headers)
        self._rules.ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._send({"type": _TRAILERS, "headers": list(zip(flat, flat, strict=True)), "more_trailers": False})

    async def _write_body(self, data: bytes, *, end: bool) -> None:
        if not data and not end:
            return
        self._rules.ended = end  # before sending: servers tell a disconnect once they have the last message
        await self._send({"type": "http.response.body", "body": data, "more_body": not end})
        if end and self._with_trailers:
            await self._send({"type": _TRAILERS, "headers": [], "more_trailers": False})
