"""A group behind the middleware of a rule."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tunnel.app.attempt import Attempt
from tunnel.app.group import Group
from tunnel.app.middleware_layer import MiddlewareChain
from tunnel.domain.envelopes import HttpResponse, SessionPayload
from tunnel.ports.clock import Clock
from tunnel.ports.stream_around import StreamAround
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["GuardedGroup"]


class GuardedGroup:
    """Gives conversations to a group through middleware, and accounts for what the visitor gets in the end.

    Args:
        group: The group.
        chain: The middleware.
        clock: Time.
    """

    __slots__ = ("_chain", "_clock", "_group")

    def __init__(self, group: Group, chain: MiddlewareChain, clock: Clock) -> None:
        self._group = group
        self._chain = chain
        self._clock = clock

    async def handle(self, stream: Stream, attempt: Attempt) -> None:
        """As ``Group.handle``.

        Raises:
            Refusal: The middleware did not let it pass. It has been answered, where ``attempt.answered_at`` says so.
            SessionError: As the middleware or the group failed.
        """
        group = self._group
        passage = self._chain.passage(_Attempted(group, attempt), stream.head)
        if passage is None:
            await group.handle(stream, attempt)
            return
        attempt.group = group.name
        visitor = _Visitor(stream, Attempt(attempt.protocol, self._clock))
        try:
            await passage.handle(visitor)
        finally:
            # The group told the attempt what came from it, and what went there.
            account = visitor.account
            attempt.status = account.status
            attempt.answered_at = account.answered_at
            attempt.sent_bytes = account.sent_bytes
            attempt.received_bytes = account.received_bytes
        if passage.refusal is not None:
            raise passage.refusal


class _Attempted(ProxyTarget):
    """The group, for one conversation."""

    __slots__ = ("_attempt", "_group")

    def __init__(self, group: Group, attempt: Attempt) -> None:
        self._group = group
        self._attempt = attempt

    def handle(self, stream: Stream) -> Coroutine[Any, Any, None]:
        return self._group.handle(stream, self._attempt)


class _Visitor(StreamAround):
    """The conversation as the visitor sees it, for the account."""

    __slots__ = ("account",)

    def __init__(self, stream: Stream, account: Attempt) -> None:
        super().__init__(stream)
        self.account = account
        account.let_go()

    async def receive(self) -> SessionPayload:
        payload = await self.inner.receive()
        self.account.received_bytes += payload.carried_bytes
        return payload

    async def send(self, payload: SessionPayload) -> None:
        account = self.account
        if account.answered_at is None:
            account.answer(payload)
            await self.inner.send(payload)
            if type(payload) is not HttpResponse or payload.end or payload.status >= 200 or payload.status == 101:
                account.answered(payload)
        else:
            await self.inner.send(payload)
            account.sent_bytes += payload.carried_bytes
        if payload.end and type(payload) is not HttpResponse:
            account.end(payload)
