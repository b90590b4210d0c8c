"""What middleware holds: of what passes, of conversations that are over, and of the process."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from tunnel.domain.envelopes import HttpRequest, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.opening_fields import opening_fields, with_fields
from tunnel.testing.declared import expect_at_most, expect_filled
from tunnel.testing.holdings import left_behind
from tunnel.testing.ingress.scripts import FLOOD_BYTES
from tunnel.testing.middleware import rules
from tunnel.testing.middleware.harness import MiddlewareHarness
from tunnel.testing.middleware.rules import MIDDLEWARE
from tunnel.testing.middleware.scene import Scene, each_protocol, stuck
from tunnel.testing.patience import expect_within, until
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.dialects import Dialect

__all__: list[str] = []

_ROOM = 2
"""Envelopes that a visitor takes before it listens no more."""

_RELEASE_S = 0.5
"""Longest that the system takes to take back what was released."""

_VISITS = 200
"""Conversations of which each would leave something behind, if it kept something of each."""

_MOST_KEPT = 1000
"""Conversations that a check can fill it with."""

_MANY = 20
"""Conversations after which no later one is to be treated in another way."""


_SAID_BYTES: Final = (_ROOM + 1) * FLOOD_BYTES
"""What a target gets rid of although nothing is held: what the visitor takes, and what is being said."""

_TAKEN_BYTES: Final = FLOOD_BYTES
"""What a visitor gets rid of although nothing is held: what is on its way."""


async def _said_to_nobody(scene: Scene, conversation: Conversation, most_bytes: int) -> int:
    """How many bytes a target gets rid of while its visitor does not listen."""
    await expect_within("a flood", lambda: conversation.until(lambda: len(conversation.sent) == _ROOM))
    await stuck(lambda: scene.target.said_bytes, most_bytes)
    return scene.target.said_bytes


async def _taken_for_nobody(scene: Scene, conversation: Conversation, most_bytes: int) -> int:
    """How many bytes a visitor gets rid of while its target does not listen."""
    await until("the target", lambda: scene.target.running > 0)
    await stuck(lambda: FLOOD_BYTES * len(conversation.taken), most_bytes)
    return FLOOD_BYTES * len(conversation.taken)


@MIDDLEWARE.shows(rules.SLOW)
@each_protocol
async def visitors_that_do_not_listen_make_targets_wait(harness: MiddlewareHarness, dialect: Dialect) -> None:
    most = _SAID_BYTES + harness.buffered_bytes
    scene = Scene(harness, dialect)
    scene.target.script = scene.target.flood
    conversation = scene.conversation(room=_ROOM)
    async with scene.handled(conversation):
        said = await _said_to_nobody(scene, conversation, most)
        assert said <= most, f"{said} bytes were taken that nobody listened to"
        conversation.make_room()
        # By what happens and not by time, which in virtual time stands still while anything runs.
        await expect_within(
            "more of the flood", lambda: conversation.until(lambda: scene.target.said_bytes > said + most)
        )


@MIDDLEWARE.shows(rules.DEAF)
@each_protocol
async def targets_that_do_not_listen_make_visitors_wait(harness: MiddlewareHarness, dialect: Dialect) -> None:
    piece = dialect.piece(bytes(FLOOD_BYTES))
    most = _TAKEN_BYTES + harness.buffered_bytes
    scene = Scene(harness, dialect)
    scene.target.script = scene.target.deaf
    conversation = scene.conversation(endless=lambda: piece)
    async with scene.handled(conversation):
        taken = await _taken_for_nobody(scene, conversation, most)
        assert taken <= most, f"{taken} bytes were taken that nobody listened to"


@MIDDLEWARE.shows(rules.SLOW)
async def what_it_is_said_to_hold_it_holds(harness: MiddlewareHarness) -> None:
    if not harness.buffered_bytes:
        return
    most, held = 2 * harness.buffered_bytes, 0
    for dialect in harness.dialects():
        piece = dialect.piece(bytes(FLOOD_BYTES))
        scene = Scene(harness, dialect)
        scene.target.script = scene.target.flood
        conversation = scene.conversation(room=_ROOM)
        async with scene.handled(conversation):
            held = max(held, await _said_to_nobody(scene, conversation, most) - _SAID_BYTES)
        scene.target.script = scene.target.deaf
        conversation = scene.conversation(endless=partial(_same, piece))
        async with scene.handled(conversation):
            held = max(held, await _taken_for_nobody(scene, conversation, most) - _TAKEN_BYTES)
    expect_filled("buffered_bytes", harness.buffered_bytes, held)


def _same(piece: SessionPayload) -> SessionPayload:
    return piece


@MIDDLEWARE.shows(rules.FORGETS)
@each_protocol
async def conversations_make_no_difference_to_others(harness: MiddlewareHarness, dialect: Dialect) -> None:
    if harness.remembers is None:
        scene = Scene(harness, dialect)
        async for _ in _histories(scene):
            await scene.passes()
        return
    scene = Scene(harness, dialect, harness.make(harness.remembers))
    async for _ in _histories(scene):
        try:
            await scene.passes()
        except AssertionError:
            return
    raise AssertionError("it is said to remember conversations, and they made no difference")


async def _histories(scene: Scene) -> AsyncIterator[None]:
    """Hold conversations that end alike, and stop; then others."""
    for script in (scene.target.fail, scene.target.cut, scene.target.echo):
        for _ in range(_MANY):
            scene.target.script = script
            await scene.held(scene.whole(b"x"))
        yield
    scene.target.script = scene.target.echo
    for break_off in (True, False):
        for _ in range(_MANY):
            conversation = scene.conversation()
            async with scene.handled(conversation) as handling:
                await scene.begun(conversation, b"x")
                if break_off:
                    conversation.fail(SessionError(ErrorCode.PEER_LOST, "the visitor was lost"))
                    await handling.over.wait()
        yield


def _visit(harness: MiddlewareHarness, dialect: Dialect, number: int) -> Conversation:
    """A conversation whose every text is its own."""
    head = harness.opening(dialect)
    head = with_fields(head, (*opening_fields(head), b"x-kit-%d" % number, b"%d" % number))
    if isinstance(head, HttpRequest):
        head = replace(head, path=b"%b/%d" % (head.path.rstrip(b"/"), number), host=b"%d.test" % number)
    conversation = Conversation(head, [dialect.end()])
    conversation.peer = f"2001:db8:{number:x}::1"
    return conversation


@MIDDLEWARE.shows(rules.BOUNDED)
@each_protocol
async def visitors_cannot_fill_memory(harness: MiddlewareHarness, dialect: Dialect) -> None:
    expect_at_most("kept_conversations", harness.kept_conversations, _MOST_KEPT)
    scene = Scene(harness, dialect)

    async def visit(numbers: range, generation: int) -> int:
        for number in numbers:
            # Whoever is turned away may not be remembered for ever either.
            with suppress(SessionError):
                await scene.handle(_visit(harness, dialect, number))
            scene.target.streams.clear()
        gc.collect(generation)
        # Counts even the smallest of what is kept, which bytes would be lost in.
        return sys.getallocatedblocks()

    first, grown = 0, _VISITS
    # A collection of everything takes its time, and is seldom needed to see that nothing is kept.
    for generation in (1, 2):
        before = await visit(range(first, first + harness.kept_conversations), generation)
        first += harness.kept_conversations
        grown = await visit(range(first, first + _VISITS), generation) - before
        first += _VISITS
        if grown < _VISITS // 2:
            return
    raise AssertionError(f"{_VISITS} more conversations leave {grown} objects behind")


@MIDDLEWARE.shows(rules.NOTHING_LEFT)
@each_protocol
async def nothing_is_left(harness: MiddlewareHarness, dialect: Dialect) -> None:
    async def use() -> None:
        harness.make()
        scene = Scene(harness, dialect)
        await scene.passes()
        conversation = scene.conversation()
        async with scene.handled(conversation):
            await scene.begun(conversation)
        aclose = getattr(scene.middleware, "aclose", None)
        if aclose is not None:
            await expect_within("closing", aclose)

    left = await left_behind(use, patience_s=_RELEASE_S)
    assert not left, f"left behind: {', '.join(left)}"
