"""Conversations that are given up, and what is left of them for those that come after: nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

import anyio
from hypothesis import strategies as st

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.testing.patience import until
from tunnel.testing.target import rules
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.echo import echoed, heard
from tunnel.testing.target.handling import Handling, handled
from tunnel.testing.target.harness import TargetHarness
from tunnel.testing.target.peer import Behaviour, Peer
from tunnel.testing.target.rules import TARGET

__all__: list[str] = []

_RETURN_S = 3.0
"""For a target to return from what was given up; whether it does is shown elsewhere."""

_ON_THE_WAY_S = 0.02
"""For what the upstream has said to arrive. Less makes examples tell less, and fail for no other reason."""


class _Way(Enum):
    CANCELLED = "the target is cancelled"
    RESET = "the visitor is lost"
    STOPPED = "the visitor wants no more"

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class _GivenUp:
    """A conversation that is given up.

    Args:
        sizes: Of the pieces that are said, in bytes.
        ended: Whether everything was said.
        room: Envelopes of the answer that are taken; None: all.
        late: Whether that is when the upstream has nothing more to say.
        way: How.
    """

    sizes: tuple[int, ...]
    ended: bool
    room: int | None
    late: bool
    way: _Way


_given_up = st.builds(
    _GivenUp,
    sizes=st.lists(st.sampled_from([1, 300, 5_000, 70_000]), min_size=1, max_size=3).map(tuple),
    ended=st.booleans(),
    room=st.sampled_from([0, 1, 2, None]),
    late=st.booleans(),
    way=st.sampled_from(_Way),
)


@TARGET.shows(rules.APART, drawn=st.lists(_given_up, min_size=1, max_size=4))
async def nobody_is_given_what_another_left(harness: TargetHarness, conversations: list[_GivenUp]) -> None:
    async with harness.peer(Behaviour.ECHO) as peer:
        for number, each in enumerate(conversations):
            await _give_up(harness, peer, each, chr(ord("a") + number).encode())
            # Two, for what is kept to be used again is used last in, first out, or first in, first out.
            async with anyio.create_task_group() as tasks:
                for letter in (b"y", b"z"):
                    tasks.start_soon(echoed, harness, peer.target, [letter * 100, letter * 10_000])


async def _give_up(harness: TargetHarness, peer: Peer, given_up: _GivenUp, letter: bytes) -> None:
    dialect = harness.dialect
    body = [dialect.piece(letter * size) for size in given_up.sizes]
    if given_up.ended:
        body.append(dialect.end())
    before = peer.open
    conversation = Conversation(dialect.head(), body, room=given_up.room)
    async with handled(peer.target, conversation) as handling:
        if given_up.late:
            with anyio.move_on_after(harness.quiet_s):
                await until("the end of the answer", lambda: given_up.ended and _done(conversation, peer, before))
            await anyio.sleep(_ON_THE_WAY_S)
        _do(given_up.way, handling, conversation)
        with anyio.move_on_after(_RETURN_S):
            await handling.over.wait()
    answer = heard(dialect, conversation)
    said = letter * sum(given_up.sizes)
    assert said.startswith(answer), f"{len(answer)} bytes were heard of {len(said)}, or others"


def _done(conversation: Conversation, peer: Peer, before: int) -> bool:
    """Whether the upstream has nothing more to say in a conversation that was ended."""
    return bool(conversation.taken) and conversation.taken[-1].end and peer.open <= before


def _do(way: _Way, handling: Handling, conversation: Conversation) -> None:
    match way:
        case _Way.CANCELLED:
            handling.scope.cancel()
        case _Way.RESET:
            conversation.fail(SessionError(ErrorCode.PEER_LOST, "the visitor was lost"))
        case _Way.STOPPED:
            conversation.stop()
        case _:
            assert_never(way)
