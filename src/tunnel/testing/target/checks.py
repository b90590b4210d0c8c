"""The scenarios that show the rules of targets."""

from __future__ import annotations

from functools import partial

import anyio
from hypothesis import strategies as st

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.testing.holdings import Holdings, left_behind
from tunnel.testing.patience import PATIENCE_S, expect_within, until
from tunnel.testing.target import rules
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.dialects import DIALECTS, Dialect
from tunnel.testing.target.echo import echoed, heard
from tunnel.testing.target.handling import Handling, handled
from tunnel.testing.target.harness import TargetHarness
from tunnel.testing.target.peer import Behaviour, Peer
from tunnel.testing.target.rules import TARGET

__all__: list[str] = []

_CANCEL_S = 3.0
"""Longest that a cancelled target takes to return: a second of its own, the rest for a busy machine."""


_RELEASE_S = 1.5
"""Longest that the system takes to take back what was released."""


def _whole(dialect: Dialect, conversation: Conversation) -> bool:
    """Whether the answer was ended as if it were whole."""
    return conversation.ended and not dialect.tells_failure(conversation.sent[-1])


def _told_of_failure(handling: Handling, conversation: Conversation) -> None:
    """The target failed, unless the visitor was told already, by a reset or by how the answer ended."""
    if not conversation.failed and not conversation.ended:
        handling.fail()


async def _begun(harness: TargetHarness, conversation: Conversation) -> None:
    """Say something, and wait until an echo said it too."""
    heard_before = heard(harness.dialect, conversation)
    conversation.feed(harness.dialect.piece(b"begun"))

    def answered() -> bool:
        return len(heard(harness.dialect, conversation)) >= len(heard_before) + len(b"begun")

    await expect_within("an echo", lambda: conversation.until(answered))
    assert heard(harness.dialect, conversation) == heard_before + b"begun", "something else was heard"


async def _left_alone(peer: Peer) -> None:
    await until("the upstream being left alone", lambda: not peer.open)


_sizes = st.lists(st.integers(1, 300) | st.sampled_from([1, 65_535, 65_536, 100_000]), max_size=6)


@TARGET.shows(rules.WHOLE, drawn=_sizes)
async def everything_said_is_heard(harness: TargetHarness, sizes: list[int]) -> None:
    async with harness.peer(Behaviour.ECHO) as peer:
        for turn in range(2):
            await echoed(harness, peer.target, [bytes([number + turn]) * size for number, size in enumerate(sizes)])


@TARGET.shows(rules.STREAMS)
async def talk_goes_back_and_forth(harness: TargetHarness) -> None:
    dialect = harness.dialect
    async with harness.peer(Behaviour.ECHO) as peer:
        conversation = Conversation(dialect.head())
        async with handled(peer.target, conversation) as handling:
            for _ in range(5):
                await _begun(harness, conversation)
            conversation.feed(dialect.end())
            await expect_within("the end of the answer", handling.over.wait)


@TARGET.shows(rules.TOGETHER)
async def conversations_do_not_mix(harness: TargetHarness) -> None:
    dialect = harness.dialect
    async with harness.peer(Behaviour.ECHO) as peer:
        waiting = Conversation(dialect.head())
        async with handled(peer.target, waiting):
            await _begun(harness, waiting)
            async with anyio.create_task_group() as tasks:
                for number in range(16):
                    tasks.start_soon(echoed, harness, peer.target, [b"%02d" % number] * 20)


@TARGET.shows(rules.PROTOCOL)
async def foreign_protocols_are_refused(harness: TargetHarness) -> None:
    async with harness.peer(Behaviour.ECHO) as peer:
        for protocol, dialect in DIALECTS.items():
            if protocol in harness.protocols:
                continue
            conversation = Conversation(dialect.head(), [dialect.piece(b"x"), dialect.end()])
            async with handled(peer.target, conversation) as handling:
                await expect_within(f"the refusal of {protocol}", handling.over.wait)
            code = handling.fail().code
            assert code is ErrorCode.PROTOCOL_ERROR, f"{protocol} is refused as {code}"
            assert not conversation.sent, f"{protocol} was answered"


@TARGET.shows(rules.PROTOCOL)
async def protocols_it_answers_are_not_refused(harness: TargetHarness) -> None:
    async with harness.peer(Behaviour.ECHO) as peer:
        for protocol in sorted(harness.protocols):
            dialect = DIALECTS[protocol]
            conversation = Conversation(dialect.head(), [dialect.end()])
            async with handled(peer.target, conversation) as handling:
                # What comes of it is another harness's to see, since this peer may not speak the protocol at all.
                with anyio.move_on_after(harness.quiet_s):
                    await handling.over.wait()
                error = handling.error
            refused = isinstance(error, SessionError) and error.code is ErrorCode.PROTOCOL_ERROR
            assert not refused, f"{protocol} is refused, which it is said to answer: {error}"


@TARGET.shows(rules.UNREACHABLE)
async def nobody_there_is_told(harness: TargetHarness) -> None:
    target = harness.nowhere()
    if target is None:
        await _nothing_is_opened(harness)
        return
    dialect = harness.dialect
    conversation = Conversation(dialect.head(), [dialect.piece(b"x"), dialect.end()])
    try:
        async with handled(target, conversation) as handling:
            await expect_within("the failure", handling.over.wait, 2 * PATIENCE_S)
        code = handling.fail().code
        assert code is ErrorCode.UPSTREAM_UNREACHABLE, f"it failed as {code}"
        assert not conversation.sent, "an answer came from nowhere"
    finally:
        await target.aclose()


async def _nothing_is_opened(harness: TargetHarness) -> None:
    """Where somebody always is, nobody is reached by what can lead to nobody: a socket, a pipe or a file."""
    opened: list[str] = []
    # What is made once, and kept for all conversations, is there the second time.
    for _ in range(2):
        before = Holdings.now()
        async with harness.peer(Behaviour.ECHO) as peer:
            conversation = Conversation(harness.dialect.head())
            async with handled(peer.target, conversation):
                await _begun(harness, conversation)
                opened = Holdings.now().opened_since(before)
    assert not opened, f"it is said to lead to somebody always, and opens {', '.join(opened)}"


@TARGET.shows(rules.CUT)
async def cut_answers_are_not_whole(harness: TargetHarness) -> None:
    async with harness.peer(Behaviour.CUT) as peer:
        conversation = Conversation(harness.dialect.head(), [harness.dialect.piece(b"x")])
        async with handled(peer.target, conversation) as handling:
            await expect_within("the failure", handling.over.wait)
        assert not _whole(harness.dialect, conversation), "what was cut off was ended as if whole"
        _told_of_failure(handling, conversation)


@TARGET.shows(rules.STOPPED)
async def wanting_no_more_is_no_failure(harness: TargetHarness) -> None:
    async with harness.peer(Behaviour.FLOOD) as peer:
        conversation = Conversation(harness.dialect.head())
        async with handled(peer.target, conversation) as handling:
            await expect_within("a flood", lambda: conversation.until(lambda: len(conversation.sent) > 2))
            conversation.stop()
            await expect_within("the end", handling.over.wait)
            handling.succeed()
            await _left_alone(peer)


@TARGET.shows(rules.RESET)
async def breaking_off_is_passed_on(harness: TargetHarness) -> None:
    async with harness.peer(Behaviour.ECHO) as peer:
        conversation = Conversation(harness.dialect.head())
        async with handled(peer.target, conversation) as handling:
            await _begun(harness, conversation)
            conversation.fail(SessionError(ErrorCode.PEER_LOST, "the visitor was lost"))
            await expect_within("the end", handling.over.wait)
            assert not conversation.ended, "what was broken off was answered to the end"
            if handling.error is not None:
                handling.fail()
            await _left_alone(peer)
        assert not peer.ends, "the upstream was told that the visitor had said everything"


def _answered(conversation: Conversation) -> bool:
    return bool(conversation.sent)


@TARGET.shows(rules.CANCEL)
async def cancelling_leaves_nothing_behind(harness: TargetHarness) -> None:
    dialect = harness.dialect
    async with harness.peer(Behaviour.ECHO) as peer:
        for point in range(1, 40):
            body = [dialect.piece(b"abc"), dialect.piece(b"def"), dialect.end()]
            conversation = Conversation(dialect.head(), body)
            async with handled(peer.target, conversation) as handling:
                awaits = 0

                def cancel_at_point(handling: Handling = handling, point: int = point) -> None:
                    nonlocal awaits
                    awaits += 1
                    if awaits == point:
                        handling.scope.cancel()

                conversation.on_await = cancel_at_point
                await expect_within(f"returning, cancelled in await {point}", handling.over.wait, _CANCEL_S)
            assert handling.error is None, f"cancelled in await {point}, it raised {handling.error!r}"
            if not handling.scope.cancel_called or awaits < point:
                break
            await _left_alone(peer)
        for room in (None, 1):
            conversation = Conversation(dialect.head(), room=room)
            async with handled(peer.target, conversation) as handling:
                conversation.feed(dialect.piece(b"abc"))
                await until("an answer", partial(_answered, conversation))
                handling.scope.cancel()
                await expect_within("returning, cancelled while it waits", handling.over.wait, _CANCEL_S)
            await _left_alone(peer)
        await echoed(harness, peer.target, [b"as before"])


@TARGET.shows(rules.CLOSE)
async def closing_ends_what_is_under_way(harness: TargetHarness) -> None:
    async with harness.peer(Behaviour.ECHO) as peer:
        conversation = Conversation(harness.dialect.head())
        async with handled(peer.target, conversation) as handling:
            await _begun(harness, conversation)
            await expect_within("closing", peer.target.aclose)
            await expect_within("the failure", handling.over.wait)
            assert not _whole(harness.dialect, conversation), "what was under way was ended as if whole"
            _told_of_failure(handling, conversation)
            await _left_alone(peer)
        await expect_within("closing again", peer.target.aclose)


@TARGET.shows(rules.CLOSED)
async def closed_targets_answer_nothing(harness: TargetHarness) -> None:
    dialect = harness.dialect
    for used in (False, True):
        async with harness.peer(Behaviour.ECHO) as peer:
            if used:
                await echoed(harness, peer.target, [b"x"])
            await expect_within("closing", peer.target.aclose)
            conversation = Conversation(dialect.head(), [dialect.piece(b"x"), dialect.end()])
            async with handled(peer.target, conversation) as handling:
                await expect_within("the failure", handling.over.wait)
            handling.fail()
            assert not conversation.sent, "a closed target answered"


@TARGET.shows(rules.NOTHING_LEFT)
async def nothing_is_left(harness: TargetHarness) -> None:
    async def use() -> None:
        async with harness.peer(Behaviour.ECHO) as peer:
            await echoed(harness, peer.target, [b"x"])
            conversation = Conversation(harness.dialect.head())
            async with handled(peer.target, conversation) as handling:
                await _begun(harness, conversation)
                handling.scope.cancel()
            await echoed(harness, peer.target, [b"y"])
            await peer.target.aclose()

    left = await left_behind(use, patience_s=_RELEASE_S)
    assert not left, f"left behind: {', '.join(left)}"
