"""A conversation through middleware: a visitor on one side, something that does as it is told on the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import wraps
from typing import Any

import anyio.lowlevel

from tunnel.domain.envelopes import SessionPayload
from tunnel.ports.middleware import Middleware
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.testing.ingress import ScriptedTarget
from tunnel.testing.middleware.harness import PEER, MiddlewareHarness
from tunnel.testing.patience import expect_within
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.dialects import Dialect
from tunnel.testing.target.handling import Handling, handled

__all__ = ["Scene", "data_of", "each_protocol", "stuck"]

_TURNS = 50
"""Of the event loop without anything moving, after which nothing will: all is in memory."""


class Scene(ProxyTarget):
    """Middleware, and the target that it leads to.

    Args:
        harness: Makes the middleware.
        dialect: What is spoken.
        middleware: In place of a new one.
    """

    def __init__(self, harness: MiddlewareHarness, dialect: Dialect, middleware: Middleware | None = None) -> None:
        self.harness = harness
        self.dialect = dialect
        self.middleware = middleware or harness.make()
        self.target = ScriptedTarget(dialect)

    async def handle(self, stream: Stream) -> None:
        await self.middleware.handle(stream, self.target)

    def conversation(self, *body: SessionPayload, **options: Any) -> Conversation:
        """A new one that passes; ``options`` are those of ``Conversation``."""
        conversation = Conversation(self.harness.opening(self.dialect), body, **options)
        conversation.peer = PEER
        return conversation

    def whole(self, *pieces: bytes) -> Conversation:
        """A new one in which all is said."""
        return self.conversation(*map(self.dialect.piece, pieces), self.dialect.end())

    def handled(self, conversation: Conversation) -> AbstractAsyncContextManager[Handling]:
        """``conversation`` on its way through the middleware."""
        return handled(self, conversation)

    async def held(self, conversation: Conversation) -> Handling:
        """``conversation`` when it is over, however it ended."""
        async with self.handled(conversation) as handling:
            await expect_within("the end", handling.over.wait)
        return handling

    def heard(self, conversation: Conversation) -> bytes:
        """What the visitor makes of what it heard."""
        return self.harness.read_by_visitor(b"".join(data_of(self.dialect, conversation.sent)))

    async def begun(self, conversation: Conversation, said: bytes = b"begun") -> None:
        """Say something, and wait until an echo said it too."""
        before = self.heard(conversation)
        conversation.feed(self.dialect.piece(said))

        def echoed() -> bool:
            return len(self.heard(conversation)) >= len(before) + len(said)

        await expect_within("an echo", lambda: conversation.until(echoed))
        assert self.heard(conversation) == before + said, "something else was heard"

    async def passes(self) -> None:
        """Hold a conversation with an echo, which must come back."""
        conversation = self.whole(b"some", b"thing")
        self.target.script = self.target.echo
        (await self.held(conversation)).succeed()
        assert self.heard(conversation) == b"something", "something else was heard"
        assert conversation.ended, "the answer was not ended"


def data_of(dialect: Dialect, payloads: list[SessionPayload]) -> list[bytes]:
    """What is said in each of the envelopes that say something."""
    return [data for payload in payloads if (data := dialect.data_of(payload))]


async def stuck(moved_bytes: Callable[[], int], most_bytes: int) -> None:
    """Return when nothing moves any more, or more than ``most_bytes`` have."""
    last = -1
    while last != moved_bytes() <= most_bytes:
        last = moved_bytes()
        for _ in range(_TURNS):
            await anyio.lowlevel.checkpoint()


def each_protocol(scenario: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Run a scenario in each protocol that the middleware has a meaning for; a failure tells in which."""

    @wraps(scenario)
    async def in_each(harness: MiddlewareHarness, *drawn: Any) -> None:
        for dialect in harness.dialects():
            try:
                await scenario(harness, dialect, *drawn)
            except* AssertionError as failed:
                error: BaseException = failed
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                raise AssertionError(f"{dialect.protocol}: {error}") from failed

    return in_each
