"""Conversations with an echo, from their beginning to their end."""

from __future__ import annotations

from collections.abc import Sequence

from tunnel.ports.target import ProxyTarget
from tunnel.testing.patience import PATIENCE_S, expect_within
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.dialects import Dialect
from tunnel.testing.target.handling import handled
from tunnel.testing.target.harness import TargetHarness

__all__ = ["echoed", "heard"]


def heard(dialect: Dialect, conversation: Conversation) -> bytes:
    """All bytes that were answered so far."""
    return b"".join(dialect.data_of(payload) for payload in conversation.sent)


async def _all_heard(dialect: Dialect, conversation: Conversation, size_bytes: int) -> None:
    def all_is_heard() -> bool:
        return bool(conversation.sent) and len(heard(dialect, conversation)) >= size_bytes

    await expect_within("all of an echo", lambda: conversation.until(all_is_heard), 2 * PATIENCE_S)


async def echoed(harness: TargetHarness, target: ProxyTarget, pieces: Sequence[bytes]) -> None:
    """Hold a conversation with an echo from its beginning to its end."""
    dialect = harness.dialect
    conversation = Conversation(dialect.head(), map(dialect.piece, pieces))
    async with handled(target, conversation) as handling:
        if not dialect.half_closes:
            await _all_heard(dialect, conversation, sum(map(len, pieces)))
        conversation.feed(dialect.end())
        await expect_within("the end of the answer", handling.over.wait, 2 * PATIENCE_S)
        handling.succeed()
    said, answer = b"".join(pieces), heard(dialect, conversation)
    assert answer == said, f"{len(answer)} bytes were heard of {len(said)}, or others"
    ends = [payload.end for payload in conversation.sent]
    assert ends[-1:] == [True], "the answer was not ended"
    assert ends.count(True) == 1, "the answer was ended more than once"
