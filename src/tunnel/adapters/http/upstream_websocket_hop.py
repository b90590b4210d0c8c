"""The connection to a web server of one WebSocket conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tunnel.adapters.http.websocket_hop import CLOSING_S, WebSocketHop
from tunnel.domain.envelopes import WebSocketFrame, WebSocketOpcode
from tunnel.domain.websocket_close import BAD_GATEWAY, close_frame

__all__ = ["UpstreamHop"]

_CLOSE: Final = WebSocketOpcode.CLOSE.value
_LOST: Final = close_frame(BAD_GATEWAY, "the upstream was lost")
_VIOLATED: Final = close_frame(BAD_GATEWAY, "the upstream broke the WebSocket protocol")


class UpstreamHop(WebSocketHop):
    """We asked for the connection, so the web server is the one that closes it when both have said close.

    Args:
        transport: The connection; this becomes its protocol.
        on_lost: Called once, when the connection is gone.
        max_message_bytes: Largest message that is taken.
    """

    __slots__ = ("_failure", "_farewell", "_on_lost")

    def __init__(
        self, transport: asyncio.Transport, *, on_lost: Callable[[UpstreamHop], None], max_message_bytes: int
    ) -> None:
        super().__init__(transport, asked=False, max_message_bytes=max_message_bytes)
        self._on_lost = on_lost
        self._failure: BaseException | None = None
        self._farewell: WebSocketFrame | None = None

    def expect_close(self, farewell: WebSocketFrame) -> None:
        """The visitor said close, with ``farewell``: the web server has ``CLOSING_S`` to answer."""
        self._farewell = farewell
        self._expire(CLOSING_S)

    def upload_ended(self, upload: asyncio.Task[None]) -> None:
        """Nothing more is written; when that is for a failure, the conversation fails with it."""
        if not upload.cancelled() and (failure := upload.exception()) is not None:
            self._failure = failure
            self.interrupt()

    def last_words(self) -> WebSocketFrame:
        """The close frame that the visitor gets in place of the one that the web server did not send.

        Raises:
            BaseException: The conversation failed for another reason than the web server.
        """
        if self._failure is not None:
            raise self._failure
        if self._reader.violation is not None:
            return _VIOLATED
        return self._farewell or _LOST

    def leave(self) -> None:
        """The conversation is over: wait for the web server to close where it is about to, else close at once."""
        if self.close_sent and self.close_received:
            self._linger()
        else:
            self.abort()

    # -- asyncio.Protocol

    def broke(self) -> None:
        """``take`` tells."""

    def _closed_by_peer(self) -> None:
        self.say_close(WebSocketFrame(_CLOSE, self.close_payload))
        self._expire(CLOSING_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, once."""
        super().connection_lost(exc)
        self._on_lost(self)
