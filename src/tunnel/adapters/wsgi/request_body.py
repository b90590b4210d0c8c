"""The body of a request, read by a thread from an event loop."""

from __future__ import annotations

import io
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any, TypeAlias

from anyio import from_thread

__all__ = ["RequestBody"]

_Receive: TypeAlias = Callable[[], Coroutine[Any, Any, MutableMapping[str, Any]]]


class RequestBody(io.RawIOBase):
    """Blocks the thread that reads until the visitor has sent more. Of what was not read, one message is held at most.

    Args:
        receive: Of ASGI, called in the event loop that the thread belongs to.
    """

    def __init__(self, receive: _Receive) -> None:
        self._receive = receive
        self._held = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, at least a byte unless the body is over.

        Raises:
            ConnectionResetError: The visitor left before it had sent all of it. A part of a body never looks whole.
        """
        while not self._held and self._more:
            message = from_thread.run(self._receive)
            if message["type"] != "http.request":
                raise ConnectionResetError("the visitor left before the request was complete")
            self._held = memoryview(message.get("body", b""))
            self._more = message.get("more_body", False)
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size
