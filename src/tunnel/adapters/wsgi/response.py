"""The answer of a WSGI application, sent from its thread as it comes.

Source: PEP 3333, the start_response() callable, buffering and streaming.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, TypeAlias

from anyio import from_thread

__all__ = ["WsgiResponse"]

_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Failure: TypeAlias = tuple[type[BaseException], BaseException, TracebackType]


class WsgiResponse:
    """Sends the head with the first of the body, and each part of that before the application makes the next.

    Args:
        send: Of ASGI, called in the event loop that the thread belongs to.
    """

    __slots__ = ("_begun", "_head", "_left_bytes", "_over", "_send")

    def __init__(self, send: _Send) -> None:
        self._send = send
        self._head: dict[str, Any] | None = None
        self._begun = False
        self._left_bytes: int | None = None
        self._over = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: _Failure | None = None
    ) -> Callable[[bytes], None]:
        """What the application calls as ``start_response``.

        Returns:
            ``write``, which sends a part of the body.

        Raises:
            BaseException: That of ``exc_info``, when the head has gone already.
            RuntimeError: It was called before, and nothing has failed since.
        """
        if exc_info is not None:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # breaks the cycle of a traceback and its frame
        elif self._head is not None:
            raise RuntimeError("start_response was called a second time without an exception")
        fields = [(name.encode("latin-1").lower(), value.encode("latin-1")) for name, value in headers]
        lengths = [value for name, value in fields if name == b"content-length"]
        self._left_bytes = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        self._head = {"type": "http.response.start", "status": int(status[:3]), "headers": fields}
        return self._write

    def send_all(self, parts: Iterable[bytes]) -> None:
        """Send the body, and its end.

        Raises:
            RuntimeError: The application has not called ``start_response``.
        """
        alone = isinstance(parts, list | tuple) and len(parts) == 1
        for part in parts:
            if part:
                self._say(part, last=alone)
        if not self._over:
            self._say(b"", last=True)

    def _write(self, part: bytes) -> None:
        if part:
            self._say(part, last=False)

    def _say(self, part: bytes, *, last: bool) -> None:
        if self._head is None:
            raise RuntimeError("the application did not call start_response")
        if self._left_bytes is not None:
            self._left_bytes -= len(part)
        # The last part of an announced length is the end: the visitor need not wait for what comes after it.
        self._over = last or (self._left_bytes == 0 and bool(part))
        from_thread.run(self._deliver, part, not self._over)

    async def _deliver(self, part: bytes, more: bool) -> None:
        if not self._begun:
            self._begun = True
            assert self._head is not None
            await self._send(self._head)
        await self._send({"type": "http.response.body", "body": part, "more_body": more})
