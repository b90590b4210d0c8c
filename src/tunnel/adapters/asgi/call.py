"""One call of an application, for one conversation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from math import inf
from typing import Final

import anyio

from tunnel.adapters.asgi.latch import Latch
from tunnel.adapters.asgi.turn import Turn
from tunnel.adapters.asgi.types import ClientDisconnected, Message, Scope
from tunnel.domain.envelopes import HttpResponse, SessionPayload
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import Stream

__all__ = ["FAILED", "ApplicationCall"]

_GRACE_S: Final = 0.5
"""What an application has to return by itself when its visitor has left. Together with what it takes to be cancelled
this stays below the second within which work for somebody who has left ends."""

_PROBLEM: Final = (
    b'{"type": "about:blank", "title": "Internal Server Error", "status": 500, "code": "internal", '
    b'"detail": "the application failed"}'
)

FAILED: Final = HttpResponse(
    500,
    (b"content-type", b"application/problem+json", b"content-length", b"%d" % len(_PROBLEM)),
    _PROBLEM,
    end=True,
)
"""The answer in place of one that the application owes. An answer, not an error: the client that has the application is
well, and the target was reached."""


class ApplicationCall:
    """What a conversation and an application have to do with each other.

    1. The application runs in a task of its own. ``finish`` waits until the response is complete, or the application
       has returned without one.
    2. Once the response is complete the conversation is over, and the application may go on for itself: ``receive``
       tells it that the visitor has gone.
    3. When the visitor leaves before that, ``receive`` tells, ``send`` raises, and what waits in either is woken. An
       application that has not returned after a short while is cancelled.

    Args:
        stream: The conversation.
        asgi_scope: What the application is called with.
        signals: Makes what is waited with.
        first_byte_timeout_s: Seconds from the end of the request to the first of the response; None: no limit.
        on_ended: Called when the application has returned.
    """

    __slots__ = (
        "_asked_at",
        "_first_byte_timeout_s",
        "_on_ended",
        "_over",
        "_patience",
        "_reading",
        "_returned",
        "_writing",
        "asgi_scope",
        "broken",
        "error",
        "left",
        "lost",
        "scope",
        "sending",
        "stream",
    )

    def __init__(
        self,
        stream: Stream,
        asgi_scope: Scope,
        *,
        signals: SignalFactory,
        first_byte_timeout_s: float | None,
        on_ended: Callable[[], None],
    ) -> None:
        self.stream = stream
        self.asgi_scope = asgi_scope
        self._asked_at = inf
        self._first_byte_timeout_s = first_byte_timeout_s
        self._on_ended = on_ended
        self.scope = anyio.CancelScope()
        """What the application runs in."""
        self.left = Latch(signals)
        """Set when the application hears of the visitor no more."""
        self.lost = False
        """The visitor left before the response was complete."""
        self.broken = False
        """The application raised an exception."""
        self.error: SessionError | None = None
        """What the conversation failed of."""
        self.sending = Turn(signals)
        """Of whoever sends: applications may do so from several tasks."""
        self._over = Latch(signals)
        self._returned = Latch(signals)
        self._reading: anyio.CancelScope | None = None
        self._writing: anyio.CancelScope | None = None
        self._patience: anyio.CancelScope | None = None

    # -- the application's side

    @abstractmethod
    async def receive(self) -> Message:
        """What the application calls to hear of its visitor."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """What the application calls to answer.

        Raises:
            ClientDisconnected: The visitor left.
            RuntimeError: The message does not belong here, or cannot be sent as it is.
        """

    @property
    @abstractmethod
    def unanswered(self) -> bool:
        """Whether the application owes an answer, or the rest of one."""

    @abstractmethod
    async def conclude(self) -> None:
        """Say what is left to be said when the application has returned and the conversation goes on.

        Raises:
            SessionError: An answer that has begun cannot be completed.
        """

    def failed(self) -> None:
        """The application raised an exception."""
        self.broken = True

    def ended(self) -> None:
        """The application has returned."""
        self._returned.set()
        self._over.set()
        self._on_ended()

    # -- the conversation's side

    async def finish(self) -> None:
        """Return when the conversation is over.

        Cancelled, which means that the visitor left, it returns when the application has, or in about a second.

        Raises:
            SessionError: The conversation failed; ``upstream_timeout``: the response did not begin in time.
        """
        try:
            if await self._out_of_patience():
                self.lose(SessionError(ErrorCode.UPSTREAM_TIMEOUT, "the application did not answer in time"))
            elif not self.left.is_set:
                await self.conclude()
                self.complete()
        except ClientDisconnected:
            pass
        except BaseException:
            await self._depart()
            raise
        if self.lost:
            await self._depart()
        if self.error is not None:
            raise self.error

    async def _out_of_patience(self) -> bool:
        """Wait until the conversation is over or the application has returned; True: it did not answer in time."""
        if self._first_byte_timeout_s is None:
            await self._over.wait()
            return False
        with anyio.CancelScope(deadline=self._asked_at + self._first_byte_timeout_s) as self._patience:
            await self._over.wait()
        return self._patience.cancelled_caught

    async def _depart(self) -> None:
        self.lose(None)
        if not self.lost:
            return  # it has its answer, and what the application goes on doing is for itself
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(_GRACE_S):
                await self._returned.wait()
            if not self._returned.is_set:
                self.scope.cancel()
                with anyio.move_on_after(_GRACE_S):
                    await self._returned.wait()

    # -- for the kinds of calls

    def asked(self) -> None:
        """All of the request was received: from now on the application is expected to answer."""
        if self._first_byte_timeout_s is not None and self._asked_at == inf:
            self._asked_at = anyio.current_time()
            if self._patience is not None:
                self._patience.deadline = self._asked_at + self._first_byte_timeout_s

    def answered(self) -> None:
        """The response has begun."""
        self._first_byte_timeout_s = None
        if self._patience is not None:
            self._patience.deadline = inf

    def complete(self) -> None:
        """All was said: the conversation is over, whatever the application goes on doing."""
        self._leave()
        self._over.set()

    def lose(self, error: SessionError | None) -> None:
        """The visitor left, or the conversation failed with ``error``; without effect when it is over."""
        if self.left.is_set:
            return
        self.lost = True
        self.error = error
        self._leave()
        self._over.set()

    def _leave(self) -> None:
        self.left.set()
        for waiting in (self._reading, self._writing):
            if waiting is not None:
                waiting.cancel()

    async def pull(self) -> SessionPayload | None:
        """The visitor's next envelope; None when it has left. In one task at a time."""
        payload: SessionPayload | None = None
        try:
            with anyio.CancelScope() as self._reading:
                payload = await self.stream.receive()
        except SessionError as exc:
            self.lose(exc)
        finally:
            self._reading = None
        return payload

    async def push(self, payload: SessionPayload) -> None:
        """Send to the visitor, holding ``sending``.

        Raises:
            ClientDisconnected: It left.
        """
        try:
            if payload.end:
                # Mostly taken without waiting. Where it is waited for, the stream says by itself when it was reset.
                await self.stream.send(payload)
                return
            with anyio.CancelScope() as self._writing:
                await self.stream.send(payload)
                return
        except SendingStopped:
            self.lose(None)
        except SessionError as exc:
            self.lose(exc)
        finally:
            self._writing = None
        raise ClientDisconnected("the visitor left")
