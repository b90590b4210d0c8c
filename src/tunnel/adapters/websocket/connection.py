"""The ``websockets`` connections beneath links, and the options both sides share."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, TypedDict, cast

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.protocol import State
from websockets.typing import Subprotocol

from tunnel.domain.limits import MAX_FRAME_BYTES
from tunnel.domain.link_entry import LINK_SUBPROTOCOL

__all__ = [
    "CLOSE_TIMEOUT_S",
    "SUBPROTOCOL",
    "ClientFlow",
    "Flow",
    "ServerFlow",
    "connection_options",
    "quiet_logger",
    "tls_options",
]

SUBPROTOCOL: Final = Subprotocol(LINK_SUBPROTOCOL)

CLOSE_TIMEOUT_S: Final = 0.8
"""How long the peer may take to answer a close: a link's ``aclose`` has to return within a second."""

MAX_MESSAGE_BYTES: Final = MAX_FRAME_BYTES + 16 * 1024
"""Above the largest frame, as every transport's receive limit must be: what one carried, another may have to replay."""

MAX_QUEUE_MESSAGES: Final = (2, 1)
"""Received messages at which reading from the socket stops, and starts again."""

WRITE_LIMIT_BYTES: Final = 64 * 1024
"""Unsent bytes from which a sender waits. Whatever is swallowed here delays control behind data."""


class Flow(Connection):
    """A connection that tells when it can take more without being given something to send.

    ``Connection.send`` writes first and waits afterwards; so whoever cancels it does not know that the message will
    be sent all the same, and doing so again and again buffers without bound. A link waits first, and then writes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writable = asyncio.Event()
        self.writable.set()
        self.wire: asyncio.Transport
        self._close_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.wire = cast(asyncio.Transport, transport)  # uvloop's does not inherit asyncio's.
        # asyncio itself sets this only on sockets made with an explicit protocol number, which accepted ones are not.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # The library bounds the closing handshake for whoever calls close, but not for whoever receives.
        if self.state is State.CLOSING and self._close_deadline is None:
            self._close_deadline = self.loop.call_later(CLOSE_TIMEOUT_S, self.wire.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.writable.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._close_deadline is not None:
            self._close_deadline.cancel()
        self.writable.set()


class ClientFlow(Flow, ClientConnection):
    """The client's side."""


class ServerFlow(Flow, ServerConnection):
    """The server's side.

    Args:
        opened: Called with every connection before its handshake.
        lost: Called when its socket is closed.
    """

    def __init__(
        self,
        *args: Any,
        opened: Callable[[ServerFlow], None],
        lost: Callable[[ServerFlow], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._opened = opened
        self._lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost(self)


class _Options(TypedDict):
    subprotocols: list[Subprotocol]
    compression: None
    ping_interval: None
    close_timeout: float
    max_size: int
    max_queue: tuple[int, int]
    write_limit: int


def connection_options() -> _Options:
    """Options of ``connect`` and ``serve`` alike. Liveness is the tunnel's own affair, so there are no pings."""
    return {
        "subprotocols": [SUBPROTOCOL],
        "compression": None,
        "ping_interval": None,
        "close_timeout": CLOSE_TIMEOUT_S,
        "max_size": MAX_MESSAGE_BYTES,
        "max_queue": MAX_QUEUE_MESSAGES,
        "write_limit": WRITE_LIMIT_BYTES,
    }


def tls_options(context: ssl.SSLContext | None, *, handshake_s: float) -> dict[str, Any]:
    """Options of ``connect`` and ``serve`` for TLS; none without, for the event loop refuses them then.

    Args:
        context: For TLS; None: plain text.
        handshake_s: How long the handshake of TLS may take.
    """
    if context is None:
        return {}
    return {"ssl": context, "ssl_handshake_timeout": handshake_s, "ssl_shutdown_timeout": CLOSE_TIMEOUT_S}


def quiet_logger(side: str) -> logging.Logger:
    """The logger ``tunnel.websocket.<side>`` for the library, at WARNING unless it was given a level.

    A failed opening handshake is logged at DEBUG and without a traceback: on a public port most are scanners'.
    """
    logger = logging.getLogger(f"tunnel.websocket.{side}")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    logger.addFilter(_demote_failed_handshakes)
    return logger


def _demote_failed_handshakes(record: logging.LogRecord) -> bool:
    if record.msg != "opening handshake failed":
        return True
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    record.exc_info = None
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
