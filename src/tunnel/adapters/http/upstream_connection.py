"""One connection to an upstream, carrying one exchange at a time."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable, Iterable
from typing import Final, cast

from tunnel.adapters.http.upstream_response import ResponseReader
from tunnel.domain.envelopes import BodyChunk, HttpResponse, Trailers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import COST_OVERHEAD_BYTES, MAX_CHUNK_COST

__all__ = ["UpstreamConnection"]

_UNSENT_HIGH_BYTES: Final = 128 * 1024
"""Body received and not yet sent on above which reading pauses; what one read brings may come on top."""

_UNSENT_LOW_BYTES: Final = 64 * 1024
"""At or below this, reading resumes."""

_SALVAGE_BYTES: Final = 256 * 1024
"""Most that is read from a connection on which writing failed; an early answer is rarely larger."""

_NOTHING: Final[bytes] = b""


class UpstreamConnection(asyncio.Protocol):
    """Writes requests and hands out the response as envelopes.

    An exchange is ``begin``, ``write``..., ``sent``, and ``take`` with ``readable`` until an envelope has ``end``. All
    but waiting is synchronous. Once lost or failed the connection stays so: ``take`` returns what had arrived and then
    raises why.

    Args:
        label: The upstream's address, for error details.
        max_header_bytes: Largest head, and trailers, of a response.
        on_made: Called once it is usable, which for TLS is after the handshake.
        on_lost: Called once after that, when it has ended for whatever reason.

    Attributes:
        busy: An exchange is under way.
        idle_since: Loop time at which the last one ended.
        loop: The event loop it belongs to.
        request_sent: The request of this exchange is written whole.
        uses: Exchanges begun.
        went_stale: The upstream closed a connection that had served before without a byte of an answer: it was
            closing it already when the request was sent.
    """

    __slots__ = (
        "_deadline",
        "_drained",
        "_failure",
        "_head_taken",
        "_inflight_bytes",
        "_label",
        "_lost",
        "_on_lost",
        "_on_made",
        "_reading_paused",
        "_response",
        "_transport",
        "_waiter",
        "_writing_paused",
        "busy",
        "idle_since",
        "loop",
        "request_sent",
        "uses",
        "went_stale",
    )

    def __init__(
        self,
        *,
        label: str,
        max_header_bytes: int,
        on_made: Callable[[UpstreamConnection], None],
        on_lost: Callable[[UpstreamConnection], None],
    ) -> None:
        self._label = label
        self._on_made = on_made
        self._on_lost = on_lost
        self.loop = asyncio.get_running_loop()
        self._response = ResponseReader(max_header_bytes=max_header_bytes)
        self._transport: asyncio.Transport | None = None
        self._failure: BaseException | None = None
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._head_taken = False
        self._inflight_bytes = 0
        self.busy = False
        self.request_sent = False
        self.idle_since = 0.0
        self.uses = 0
        self.went_stale = False

    # -- the exchange --------------------------------------------------------------------------------------------

    def begin(self, *, head_request: bool) -> None:
        """Start an exchange; ``head_request`` says that its method is HEAD."""
        self._response.begin(head_request=head_request)
        self.uses += 1
        self.busy = True
        self.request_sent = False
        self._head_taken = False
        self._inflight_bytes = 0

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport; they are dropped once the connection is lost, which reading then reports."""
        if self._transport is not None and not self._lost:
            self._transport.write(data)

    def write_all(self, pieces: Iterable[bytes]) -> None:
        """Hand several pieces to the transport without joining them where it can."""
        if self._transport is not None and not self._lost:
            self._transport.writelines(pieces)

    @property
    def writing_paused(self) -> bool:
        """The upstream reads slower than it is written to: wait for ``drained``."""
        return self._writing_paused

    async def drained(self) -> None:
        """Return when the transport takes more, or when the connection is lost. One waiter at a time."""
        while self._writing_paused and not self._lost:
            self._drained = self.loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None

    def sent(self, *, first_byte_timeout_s: float | None) -> None:
        """The request is written whole; from now the answer may take so many seconds, or for ever with None."""
        self.request_sent = True
        if first_byte_timeout_s is not None and not self._response.status and self._failure is None:
            self._deadline = self.loop.call_later(first_byte_timeout_s, self._overdue)

    def take(self) -> HttpResponse | BodyChunk | Trailers | None:
        """The next envelope of the response from all that has arrived; None when there is nothing new.

        Calling it says that the envelope before was sent on.

        Raises:
            SessionError: The exchange failed, and everything that had arrived was returned.
        """
        response = self._response
        self._inflight_bytes = 0
        if not self._head_taken and response.status:
            return self._take_head()
        if response.parts:
            return self._take_body()
        if response.complete and self._head_taken:
            return Trailers(response.trailers) if response.trailers else BodyChunk(_NOTHING, True)
        if self._failure is not None:
            raise self._failure
        self._resume_reading()
        return None

    async def readable(self) -> None:
        """Return when ``take`` may have something. Waits for the next event, so call it right after ``take``."""
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    @property
    def finished(self) -> bool:
        """The exchange is over on both sides and the connection fit for another."""
        response = self._response
        return (
            response.complete
            and response.reusable
            and self.request_sent
            and not self._writing_paused
            and self._failure is None
        )

    # -- idle ----------------------------------------------------------------------------------------------------

    def rest(self, now: float) -> None:
        """The exchange is over; wait for the next."""
        self.busy = False
        self.idle_since = now
        self._inflight_bytes = 0
        self._take_parts()
        self._resume_reading()

    @property
    def usable(self) -> bool:
        """Nothing has happened to it while it was idle, as far as the loop knows."""
        return not self._lost and self._failure is None

    @property
    def quiet(self) -> bool:
        """Nothing has happened to it while it was idle, as the operating system knows. Costs a system call.

        Asked before a request that could not be repeated is entrusted to an old connection.
        """
        transport = self._transport
        fileno = _fileno(transport) if transport is not None else -1
        if fileno < 0 or not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(fileno, select.POLLIN)
        return not poll.poll(0)

    # -- the end -------------------------------------------------------------------------------------------------

    def fail(self, failure: BaseException) -> None:
        """End the exchange with ``failure``, unless it failed before, and close the connection."""
        if self._failure is None:
            self._failure = failure
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Close at once."""
        self._cancel_deadline()
        if self._failure is None:
            self._failure = SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the connection to the upstream was closed")
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._failure is not None:
            return
        response = self._response
        if not self.busy:
            self.abort()
            return
        try:
            response.feed(data)
        except SessionError as exc:
            exc.detail = exc.detail or self._label
            self.fail(exc)
            return
        if response.status:
            if self._deadline is not None:
                self._cancel_deadline()
            if response.size_bytes + self._inflight_bytes > _UNSENT_HIGH_BYTES:
                self._pause_reading()
            self._wake()

    def eof_received(self) -> None:
        """Called by the event loop: the upstream will send no more."""
        if not self.busy:
            self.abort()
            return
        self._response.finish()
        if not self._response.complete:
            self._set_failure(None)
        self._wake()

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, once."""
        if exc is not None and self.busy and self._failure is None and not self._response.complete:
            self._salvage()
        self._lost = True
        self._response.reusable = False
        self._set_failure(exc)
        self._cancel_deadline()
        self._response.close()
        self.resume_writing()
        self._wake()
        self._on_lost(self)

    # -- inside --------------------------------------------------------------------------------------------------

    def _take_head(self) -> HttpResponse:
        response = self._response
        self._head_taken = True
        if response.complete and not response.trailers:
            cost = COST_OVERHEAD_BYTES + response.size_bytes + sum(map(len, response.headers))
            if cost < MAX_CHUNK_COST:
                return HttpResponse(response.status, response.headers, self._take_parts(), True)
        return HttpResponse(response.status, response.headers)

    def _take_body(self) -> BodyChunk:
        data = self._take_parts()
        self._inflight_bytes = len(data)
        self._resume_reading()
        return BodyChunk(data, self._response.complete and not self._response.trailers)

    def _take_parts(self) -> bytes:
        response = self._response
        parts = response.parts
        if not parts:
            return _NOTHING
        response.parts = []
        response.size_bytes = 0
        return parts[0] if len(parts) == 1 else _NOTHING.join(parts)

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._reading_paused = True

    def _resume_reading(self) -> None:
        if not self._reading_paused or self._response.size_bytes + self._inflight_bytes > _UNSENT_LOW_BYTES:
            return
        self._reading_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _overdue(self) -> None:
        self.fail(SessionError(ErrorCode.UPSTREAM_TIMEOUT, "the upstream did not answer in time", detail=self._label))

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _set_failure(self, cause: Exception | None) -> None:
        """What ``take`` raises after what had arrived, unless something else failed first."""
        if self._failure is not None:
            return
        self.went_stale = self.uses > 1 and not self._response.heard
        message = (
            "the upstream cut its response short" if self._response.status else "the upstream closed before answering"
        )
        detail = f"{self._label}: {cause or 'connection closed'}"
        self._failure = SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=detail)
        self._failure.__cause__ = cause

    def _salvage(self) -> None:
        """Read what the upstream answered before it stopped listening.

        When writing fails the event loop reads no more, though an early answer, a 413 for instance, may lie in the
        operating system's buffer. The socket is open until ``connection_lost`` returns. Not with TLS.
        """
        transport = self._transport
        if transport is None or transport.get_extra_info("ssl_object") is not None:
            return
        left_bytes = _SALVAGE_BYTES
        try:
            while left_bytes > 0 and (data := os.read(_fileno(transport), left_bytes)):
                left_bytes -= len(data)
                self._response.feed(data)
        except (OSError, ValueError):
            return
        except SessionError as exc:
            self._failure = exc


def _fileno(transport: asyncio.Transport) -> int:
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else cast(int, sock.fileno())
