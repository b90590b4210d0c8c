"""One connection to an upstream, carrying one exchange at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from tunnel.adapters.http.upstream_deadlines import Deadlines
from tunnel.adapters.http.upstream_envelopes import ResponseEnvelope, take_envelope
from tunnel.adapters.http.upstream_response import ResponseReader
from tunnel.adapters.http.upstream_socket import unread
from tunnel.adapters.http.upstream_wire import UNSENT_HIGH_BYTES, UpstreamWire, settle
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["StaleConnection", "UpstreamConnection"]


class StaleConnection(SessionError):
    """The upstream closed a connection that had served before without a byte of an answer.

    It was closing it already when the request was sent, or the request has made it do so.
    """


class UpstreamConnection(UpstreamWire):
    """Writes requests and hands out the response as envelopes.

    An exchange is ``ask``, ``write_all``..., ``sent``, and ``take`` with ``arrival`` until an envelope has ``end``. All
    but waiting is synchronous. Once lost or failed the connection stays so: ``take`` returns what had arrived and then
    raises why.

    Args:
        label: The upstream's address, for error details.
        response: Reads what arrives.
        on_lost: Called once, when it has ended for whatever reason. Not if that was before dialling it was over.
        first_bytes: Watches those whose request is sent and unanswered; calls ``overdue``.
        first_byte_timeout_s: Seconds from the end of the request to the head of the response; None: no limit.

    Attributes:
        busy: An exchange is under way.
        uses: Exchanges begun.
        idle_limit_s: How long it may be idle and used again, as far as the upstream has said.
        at_hand: All that was taken of the request was at hand when this exchange began.
    """

    __slots__ = (
        "_failure",
        "_first_byte_timeout_s",
        "_first_bytes",
        "_head_taken",
        "_inflight_bytes",
        "_label",
        "_on_lost",
        "_request_sent",
        "_response",
        "_waiter",
        "at_hand",
        "busy",
        "idle_limit_s",
        "uses",
    )

    def __init__(
        self,
        *,
        label: str,
        response: ResponseReader,
        on_lost: Callable[[UpstreamConnection], None],
        first_bytes: Deadlines[UpstreamConnection],
        first_byte_timeout_s: float | None,
    ) -> None:
        super().__init__()
        self._label = label
        self._response = response
        self._on_lost = on_lost
        self._first_bytes = first_bytes
        self._first_byte_timeout_s = first_byte_timeout_s
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._request_sent = False
        self._head_taken = False
        self._inflight_bytes = 0
        self.busy = False
        self.uses = 0
        self.at_hand = True
        self.idle_limit_s = inf

    # -- the exchange --------------------------------------------------------------------------------------------

    def ask(self, request: bytes, *, head_request: bool, whole: bool) -> None:
        """Start an exchange by writing ``request``, which is the head and what there is of the body.

        Args:
            request: To be written at once.
            head_request: The method is HEAD.
            whole: That is all; without it ``write_all`` and ``sent`` follow.
        """
        self.uses += 1
        self.busy = True
        self.at_hand = True
        self._request_sent = False
        self._head_taken = False
        self._response.begin(head_request=head_request)
        if self._transport is not None and not self.lost:
            self._transport.write(request)
        if whole:
            self.sent()

    @property
    def permitted(self) -> bool:
        """The upstream asked for the body of the request."""
        return self._response.permitted

    @property
    def answered(self) -> bool:
        """The response has begun."""
        return self._response.status != 0

    @property
    def http10(self) -> bool:
        """The response, which is complete, was one of HTTP/1.0 that ended the connection."""
        return self._response.http10

    def sent(self) -> None:
        """The request is written whole; from now on the answer may take so many seconds."""
        self._request_sent = True
        if self._first_byte_timeout_s is not None and not self._response.status and self._failure is None:
            self._first_bytes.add(self, self._first_byte_timeout_s)

    def take(self) -> ResponseEnvelope | None:
        """The next envelope of the response from all that has arrived; None when there is nothing new.

        Calling it says that the envelope before was sent on.

        Raises:
            SessionError: The exchange failed, and everything that had arrived was returned.
        """
        response = self._response
        received_bytes = response.size_bytes
        envelope = take_envelope(response, first=not self._head_taken)
        if envelope is None:
            if self._failure is not None:
                raise self._failure
        elif not self._head_taken:
            self._head_taken = True
            if self._first_byte_timeout_s is not None:
                self._first_bytes.discard(self)
        self._inflight_bytes = received_bytes - response.size_bytes
        if self._reading_paused:
            self._brake(response.size_bytes + self._inflight_bytes)
        return envelope

    def arrival(self) -> asyncio.Future[None]:
        """Done when ``take`` has something to return or to raise, or may have."""
        self._waiter = future = self._loop.create_future()
        if self._failure is not None:
            future.set_result(None)
        return future

    # -- idle ----------------------------------------------------------------------------------------------------

    def rest(self) -> bool:
        """End the exchange. False: it is not over on both sides, or the connection is not fit for another."""
        self.busy = False
        response = self._response
        if (
            not (response.complete and response.reusable and self._request_sent)
            or self.writing_paused
            or self._failure is not None
        ):
            return False
        if response.size_bytes:
            # All of it came before somebody wanted no more: nobody's now, and least of all the next one's.
            response.take_body()
        self.idle_limit_s = response.idle_limit_s
        self._inflight_bytes = 0
        if self._reading_paused:
            self._brake(0)
        return True

    @property
    def usable(self) -> bool:
        """Nothing has happened to it while it was idle, as far as the event loop knows."""
        return self._failure is None and not self.lost

    # -- the end -------------------------------------------------------------------------------------------------

    def overdue(self) -> None:
        """The response should have begun by now."""
        if not self._response.status:
            message = "the upstream did not answer in time"
            self.fail(SessionError(ErrorCode.UPSTREAM_TIMEOUT, message, detail=self._label))

    def fail(self, failure: BaseException) -> None:
        """End the exchange with ``failure``, unless it failed before, and close the connection."""
        if self._failure is None:
            self._failure = failure
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Close at once."""
        self.busy = False
        self._first_bytes.discard(self)
        if self._failure is None:
            self._failure = SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the connection to the upstream was closed")
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._failure is not None:
            return
        if not self.busy:
            self.abort()
            return
        response = self._response
        try:
            response.feed(data)
        except SessionError as exc:
            exc.detail = exc.detail or self._label
            self.fail(exc)
            return
        if response.status or response.permitted:
            unsent_bytes = response.size_bytes + self._inflight_bytes
            if unsent_bytes > UNSENT_HIGH_BYTES:
                self._brake(unsent_bytes)
            self._wake()

    def eof_received(self) -> None:
        """Called by the event loop: the upstream will send no more."""
        if not self.busy:
            self.abort()
            return
        self._response.finish()
        if not self._response.complete:
            self._break(None)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, once."""
        if exc is not None and self.busy and self._failure is None and not self._response.complete:
            self._salvage()
        self._response.reusable = False
        self._break(exc)
        self._first_bytes.discard(self)
        self._response.close()
        super().connection_lost(exc)
        self._wake()
        self._on_lost(self)

    # -- inside --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._waiter is not None:
            settle(self._waiter)
        if self._writer is not None:
            settle(self._writer)

    def _break(self, cause: Exception | None) -> None:
        """What ``take`` raises after what had arrived, unless something else failed first."""
        if self._failure is not None:
            return
        response = self._response
        kind = StaleConnection if self.uses > 1 and not response.heard_bytes else SessionError
        message = "the upstream cut its response short" if response.status else "the upstream closed before answering"
        detail = f"{self._label}: {cause or 'connection closed'}"
        self._failure = kind(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=detail)
        self._failure.__cause__ = cause

    def _salvage(self) -> None:
        """Take in what the upstream answered before it stopped listening."""
        if self._transport is None:
            return
        try:
            for data in unread(self._transport):
                self._response.feed(data)
        except SessionError as exc:
            self._failure = exc
