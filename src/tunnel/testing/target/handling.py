"""A target at work on a conversation, and how that ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tunnel.domain.errors import SessionError
from tunnel.ports.target import ProxyTarget
from tunnel.testing.patience import PATIENCE_S
from tunnel.testing.target.conversation import Conversation

__all__ = ["Handling", "handled"]


class Handling:
    """A target at work on a conversation.

    Args:
        target: The target.
        conversation: What it is given.
    """

    def __init__(self, target: ProxyTarget, conversation: Conversation) -> None:
        self._target = target
        self._conversation = conversation
        self.scope = anyio.CancelScope()
        self.error: Exception | None = None
        """What it raised."""
        self.over = anyio.Event()

    async def run(self) -> None:
        """Have it handled, and note how that ends."""
        try:
            with self.scope:
                await self._target.handle(self._conversation)
        except Exception as exc:  # noqa: BLE001 - looked at by the check
            self.error = exc
        finally:
            self.over.set()

    def succeed(self) -> None:
        """It returned, and did nothing that it may not."""
        assert self.error is None, f"it raised {self.error!r}"
        assert not self._conversation.mistake, f"it {self._conversation.mistake}"

    def fail(self) -> SessionError:
        """It raised as it is to."""
        assert isinstance(self.error, SessionError), f"it ended with {self.error!r} instead of a SessionError"
        return self.error


@asynccontextmanager
async def handled(target: ProxyTarget, conversation: Conversation) -> AsyncIterator[Handling]:
    """A conversation in a task of its own, which is over in the end."""
    handling = Handling(target, conversation)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(handling.run)
        try:
            with anyio.fail_after(4 * PATIENCE_S):
                yield handling
        finally:
            handling.scope.cancel()
