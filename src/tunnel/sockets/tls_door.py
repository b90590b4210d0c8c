"""Where connections come in that shake hands in TLS first.

The servers of asyncio and uvloop do not tell which connections they accepted while these shake hands, and closing them
leaves such connections open until their deadline. So those that come for TLS are accepted here.

1. Each connection that is accepted shakes hands in a task of its own, until its deadline.
2. Shaken hands, a connection is its protocol's, which from then on answers for it.
3. Cut, what still shakes hands is cancelled, which closes its connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

__all__ = ["TlsDoor", "tls_options"]

_HANDSHAKE_S: Final = 10.0
_SHUTDOWN_S: Final = 1.0
"""How long a visitor may take to say goodbye in TLS; the answer has gone out before."""

_RETRY_S: Final = 1.0
"""Until connections are accepted again when there was no descriptor for one."""


class TlsDoor:
    """Accepts connections and gives each a protocol once it has shaken hands.

    Args:
        listening: Where they come in; does not block. Closed with the door.
        protocol: Makes the protocol of a connection.
        context: Of the listener.
        logger: Is told when connections cannot be accepted.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
        *,
        logger: logging.Logger,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._context = context
        self._logger = logger
        self._shaking: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more."""
        if self._again is not None:
            self._again.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def cut(self) -> None:
        """Accept no more, and close what has not shaken hands."""
        self.close()
        await asyncio.sleep(0)  # what was just accepted begins, so that it can end
        tasks = set(self._shaking)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _accept(self) -> None:
        # One in each round of the loop: the handshakes cost more than the rounds. By hand, since a call of
        # ``sock_accept`` that is cancelled may have a connection already, which nobody would close.
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as exc:
            self._logger.warning("connections are not accepted: %s", exc)
            self._loop.remove_reader(self._listening)
            self._again = self._loop.call_later(_RETRY_S, self._loop.add_reader, self._listening, self._accept)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._shake_hands(connection))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, **tls_options(self._context))
        except OSError as exc:
            self._logger.debug("a handshake failed: %s", exc)


def tls_options(context: ssl.SSLContext) -> dict[str, Any]:
    """What event loops are told of TLS; left to themselves, they give handshakes a minute."""
    return {"ssl": context, "ssl_handshake_timeout": _HANDSHAKE_S, "ssl_shutdown_timeout": _SHUTDOWN_S}
