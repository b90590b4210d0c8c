"""The bytes of a connection to an upstream, and how each end slows the other down."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from tunnel.adapters.http.upstream_socket import is_quiet
from tunnel.sockets.gathering import WRITELINES_PAUSES

__all__ = ["UNSENT_HIGH_BYTES", "UpstreamWire", "settle"]

UNSENT_HIGH_BYTES: Final = 128 * 1024
"""Body received and not yet sent on above which reading pauses; what one read brings may come on top."""

_UNSENT_LOW_BYTES: Final = 64 * 1024
"""At or below this, reading resumes."""


class UpstreamWire(asyncio.Protocol):
    """Writes what it is given, and reads as fast as what was read is sent on; what that is, is its heirs' concern.

    Attributes:
        lost: The socket is closed.
        writing_paused: The upstream reads slower than it is written to; see ``progress``.
    """

    __slots__ = ("_loop", "_reading_paused", "_transport", "_writer", "lost", "writing_paused")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._writer: asyncio.Future[None] | None = None
        self._reading_paused = False
        self.lost = False
        self.writing_paused = False

    def write_all(self, pieces: tuple[bytes, ...]) -> None:
        """Write more of the request, where possible without copying it.

        It is dropped once the connection is lost, which reading then reports.
        """
        if pieces and self._transport is not None and not self.lost:
            if WRITELINES_PAUSES:
                self._transport.writelines(pieces)
            else:
                self._transport.write(b"".join(pieces))

    def progress(self) -> asyncio.Future[None]:
        """Done when the upstream takes more of the request again, when something has arrived, or at the end.

        For whoever writes the request; wait for a state in a loop. One waiter at a time.
        """
        self._writer = future = self._loop.create_future()
        return future

    @property
    def quiet(self) -> bool:
        """Nothing has arrived while it was idle, as the operating system knows.

        Asked before a request that could not be repeated is entrusted to an old connection.
        """
        return self._transport is None or is_quiet(self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop, for TLS after the handshake."""
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self.writing_paused = False
        if self._writer is not None:
            settle(self._writer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, once."""
        self.lost = True
        self.resume_writing()

    def _brake(self, unsent_bytes: int) -> None:
        """Pause or resume reading, as much as was received and not sent on."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._reading_paused:
            if unsent_bytes <= _UNSENT_LOW_BYTES:
                self._reading_paused = False
                self._transport.resume_reading()
        elif unsent_bytes > UNSENT_HIGH_BYTES:
            self._reading_paused = True
            self._transport.pause_reading()


def settle(future: asyncio.Future[None]) -> None:
    """Wake who waits for ``future``, unless that was done or is not wanted any more."""
    if not future.done():
        future.set_result(None)
