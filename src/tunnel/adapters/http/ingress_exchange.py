"""One exchange on a connection of our own listener: uvicorn's, with what it falls short of mended.

- The visitor going cancels the exchange that is running. uvicorn only tells the one parsed last, which may be waiting
  behind it.
- A response that begins before the whole request body is in says ``Connection: close``: what is left of the body would
  have to be read before the next request, and a body never asked for (Expect) may never come.
- A response that is not completed closes the connection after what was sent of it, quietly: the application has its
  reasons. A cancelled one drops the connection at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from tunnel.domain.envelopes import Headers

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent

__all__ = ["Exchange"]

_logger: Final = logging.getLogger("tunnel.ingress")


class Exchange(RequestResponseCycle):
    """One request and its response; uvicorn's ``RequestResponseCycle`` in every way but those above.

    Args:
        arguments: Those of ``RequestResponseCycle``.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.task: asyncio.Task[None] | None = None
        """What runs it, once something does."""
        self.linger = False
        """Set with the end of the response when the rest of the request body is to be read and dropped."""

    def is_body_ready(self) -> bool:
        """``ingress_types.BodyReady`` of this request."""
        return bool(self.body) or not self.more_body

    def disconnect(self) -> None:
        """The visitor has gone: cancel. Idempotent; does nothing once the response is complete."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        self.message_event.set()
        if self.task is not None:
            self.task.cancel()

    async def run_asgi(self, app: ASGI3Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            _logger.exception("The ingress application failed on %s", self.scope["method"])
            self.transport.close()
        except BaseException:
            self.transport.abort()
            raise
        else:
            if not self.response_complete and not self.disconnected:
                self.transport.close()
        finally:
            self.task = None
            cast("dict[str, Any]", self.scope).pop("extensions", None)  # they refer back to this object
            self.on_response = _nothing

    async def send(self, message: ASGISendEvent) -> None:
        if self.more_body:
            if message["type"] == "http.response.start":
                self.keep_alive = False
            elif not message.get("more_body", False):
                # Closing with input unread resets the connection, and the visitor may lose the response to that.
                self.keep_alive = self.linger = True
        await super().send(message)

    def respond(self, status: int, headers: Headers, body: bytes) -> bool:
        """``ingress_types.Respond`` of this request."""
        if self.flow.write_paused or self.response_started:
            return False
        if self.disconnected:
            return True
        lines = [STATUS_LINE[status]]
        for position in range(0, len(headers), 2):
            lines += (headers[position], b": ", headers[position + 1], b"\r\n")
        if self.more_body or not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", body)
        self.transport.write(b"".join(lines))
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        if self.more_body:
            self.linger = True
        elif not self.keep_alive:
            self.transport.close()
        self.message_event.set()
        self.on_response()
        return True


def _nothing() -> None:
    """Called instead of the protocol by what still arrives once the application has returned."""
