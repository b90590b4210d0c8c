"""What lies between a visitor and what answers it while one of them does not listen."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from tunnel.testing.declared import MOST_BUFFERED_BYTES, expect_at_most, expect_bounded, expect_filled, expect_still
from tunnel.testing.patience import expect_within, until
from tunnel.testing.target import rules
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.handling import handled
from tunnel.testing.target.harness import TargetHarness
from tunnel.testing.target.peer import Behaviour
from tunnel.testing.target.rules import TARGET

__all__: list[str] = []


async def _stuck(harness: TargetHarness, moved_bytes: Callable[[], int]) -> None:
    """Return when nothing moves any more, or too much has."""
    last = -1
    while last != moved_bytes() and moved_bytes() <= 2 * harness.buffered_bytes:
        last = moved_bytes()
        await anyio.sleep(harness.quiet_s)


@TARGET.shows(rules.SLOW)
async def visitors_that_do_not_listen_make_upstreams_wait(harness: TargetHarness) -> None:
    expect_at_most("buffered_bytes", harness.buffered_bytes, MOST_BUFFERED_BYTES)
    async with harness.peer(Behaviour.FLOOD) as peer:
        conversation = Conversation(harness.dialect.head(), room=2)
        async with handled(peer.target, conversation):
            await until("a flood", lambda: len(conversation.sent) == 2)
            await _stuck(harness, lambda: peer.spoken_bytes)
            expect_bounded("buffered_bytes", harness.buffered_bytes, peer.spoken_bytes)
            await expect_still("quiet_s", harness.quiet_s, lambda: peer.spoken_bytes)
            spoken = peer.spoken_bytes
            expect_filled("buffered_bytes", harness.buffered_bytes, spoken)
            conversation.make_room()

            def more() -> bool:
                return peer.spoken_bytes > spoken + harness.buffered_bytes

            # By what happens and not by time, which in virtual time stands still while anything runs.
            await expect_within("more of the flood", lambda: conversation.until(more))


@TARGET.shows(rules.DEAF)
async def upstreams_that_do_not_listen_make_visitors_wait(harness: TargetHarness) -> None:
    dialect = harness.dialect
    piece = dialect.piece(bytes(16 * 1024))
    async with harness.peer(Behaviour.DEAF) as peer:
        conversation = Conversation(dialect.head(), endless=lambda: piece)
        async with handled(peer.target, conversation):
            await _stuck(harness, lambda: 16 * 1024 * len(conversation.taken))
            taken = 16 * 1024 * len(conversation.taken)
            assert taken <= harness.buffered_bytes, f"{taken} bytes were taken that nobody listened to"
