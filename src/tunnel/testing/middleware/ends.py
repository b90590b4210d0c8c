"""How conversations through middleware end: by the target, by the visitor, by being cancelled, or before they begin."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel
from hypothesis import strategies as st

from tunnel.domain.envelopes import Opening, SessionPayload
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream
from tunnel.testing.middleware import rules
from tunnel.testing.middleware.harness import PEER, MiddlewareHarness
from tunnel.testing.middleware.rules import MIDDLEWARE
from tunnel.testing.middleware.scene import Scene, each_protocol
from tunnel.testing.patience import expect_within
from tunnel.testing.strategies import openings
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.dialects import DIALECTS, Dialect
from tunnel.testing.target.handling import Handling

__all__: list[str] = []

_LOST = SessionError(ErrorCode.PEER_LOST, "the visitor was lost")


@MIDDLEWARE.shows(rules.TURNS_AWAY)
@each_protocol
async def who_is_turned_away_is_told_and_goes_nowhere(harness: MiddlewareHarness, dialect: Dialect) -> None:
    turning = await harness.turning_away(dialect)
    if turning is None:
        return
    middleware, head = turning
    scene = Scene(harness, dialect, middleware)
    conversation = Conversation(head, [dialect.piece(b"x"), dialect.end()])
    conversation.peer = PEER
    handling = await scene.held(conversation)
    assert not scene.target.streams, "the target heard of it"
    if handling.error is None:
        handling.succeed()
        assert [payload.end for payload in conversation.sent].count(True) == 1, "the answer was not ended, once"
        assert conversation.ended, "something came after the end of the answer"
    else:
        handling.fail()
        assert not conversation.sent, "it was answered and failed"


_one_of_each_protocol = st.fixed_dictionaries({protocol: openings(protocol=protocol) for protocol in DIALECTS})
"""Heads by protocol. Were one drawn at a time, most would be of protocols that most middleware has no meaning for."""


@MIDDLEWARE.shows(rules.TURNS_AWAY, drawn=_one_of_each_protocol)
@each_protocol
async def nobody_else_is_turned_away(harness: MiddlewareHarness, dialect: Dialect, heads: dict[str, Opening]) -> None:
    if await harness.turning_away(dialect) is not None:
        return
    head = heads[dialect.protocol]
    scene = Scene(harness, dialect)
    conversation = Conversation(head, [] if head.end else [dialect.end()])
    conversation.peer = PEER
    (await scene.held(conversation)).succeed()
    assert scene.target.streams, f"{head} was turned away"


@MIDDLEWARE.shows(rules.ONCE)
@each_protocol
async def targets_are_asked_once(harness: MiddlewareHarness, dialect: Dialect) -> None:
    for script in ("echo", "fail", "cut"):
        scene = Scene(harness, dialect)
        scene.target.script = getattr(scene.target, script)
        await scene.held(scene.whole(b"x"))
        asked = len(scene.target.streams)
        assert asked == 1, f"the target was asked {asked} times where it is to {script}"


@MIDDLEWARE.shows(rules.FAILS)
@each_protocol
async def failures_pass(harness: MiddlewareHarness, dialect: Dialect) -> None:
    for error in (*(SessionError(code, "as told") for code in _CODES), RuntimeError("a mistake")):

        async def fail(_: Stream, error: Exception = error) -> None:
            raise error

        scene = Scene(harness, dialect)
        scene.target.script = fail
        conversation = scene.whole(b"x")
        told = (await scene.held(conversation)).error
        assert not conversation.sent, f"{error!r} was answered"
        if isinstance(error, SessionError):
            assert isinstance(told, SessionError), f"{error!r} became {told!r}"
            assert told.code is error.code, f"{error!r} became {told!r}"
        else:
            assert told is not None, f"nobody learns of {error!r}"


_CODES = (ErrorCode.UPSTREAM_UNREACHABLE, ErrorCode.UPSTREAM_TIMEOUT, ErrorCode.OVERLOADED, ErrorCode.NO_CLIENT)
"""Of failures that something could be done about, which is their server's business."""


@MIDDLEWARE.shows(rules.CUT)
@each_protocol
async def cut_answers_are_not_whole(harness: MiddlewareHarness, dialect: Dialect) -> None:
    for error in (None, SessionError(ErrorCode.PEER_LOST, "cut off")):
        scene = Scene(harness, dialect)

        async def cut(stream: Stream, scene: Scene = scene, error: SessionError | None = error) -> None:
            await scene.target.cut(stream)
            if error is not None:
                raise error

        scene.target.script = cut
        conversation = scene.whole(b"x")
        handling = await scene.held(conversation)
        assert not conversation.ended, "what was cut off was ended as if whole"
        if error is not None and not conversation.failed:
            handling.fail()


@MIDDLEWARE.shows(rules.RESET)
@each_protocol
async def visitors_that_break_off_are_told_of(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)
    told: list[Exception] = []

    async def listen(stream: Stream) -> None:
        try:
            while not (await stream.receive()).end:
                pass
        except SessionError as error:
            told.append(error)
            raise

    scene.target.script = listen
    conversation = scene.conversation(dialect.piece(b"x"))
    async with scene.handled(conversation) as handling:
        await expect_within("something being heard", lambda: conversation.until(lambda: bool(conversation.taken)))
        conversation.fail(_LOST)
        await expect_within("the end", handling.over.wait)
    assert told, "the target was told that the visitor had said everything"
    assert not conversation.ended, "what was broken off was answered to the end"


@MIDDLEWARE.shows(rules.RESET)
@each_protocol
async def targets_that_break_off_are_told_of(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)

    async def reset(stream: Stream) -> None:
        stream.reset(_LOST)

    scene.target.script = reset
    conversation = scene.conversation()
    await scene.held(conversation)
    assert conversation.failed, "the visitor is not told"


@MIDDLEWARE.shows(rules.STOPPED)
@each_protocol
async def who_wants_no_more_is_heard_still(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)
    stopped = anyio.Event()
    heard: list[SessionPayload] = []

    async def speak_then_listen(stream: Stream) -> None:
        if (started := dialect.answer()) is not None:
            await stream.send(started)
        try:
            for _ in range(_MUCH):
                await stream.send(dialect.piece(b"more"))
        except SendingStopped:
            stopped.set()
        while not (heard and heard[-1].end):
            heard.append(await stream.receive())

    scene.target.script = speak_then_listen
    conversation = scene.conversation(room=3)
    async with scene.handled(conversation) as handling:
        await expect_within("an answer", lambda: conversation.until(lambda: len(conversation.sent) == 3))
        conversation.stop()
        conversation.feed(dialect.piece(b"last words"), dialect.end())
        await expect_within("the end", handling.over.wait)
        handling.succeed()
    assert stopped.is_set(), "the target is not told that nobody wants more"
    assert heard, "the target does not hear any more what is said"


_MUCH = 100
"""Pieces of which any number is too many for a visitor that wants no more."""


@MIDDLEWARE.shows(rules.EARLY)
@each_protocol
async def early_answers_are_enough(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)

    async def answer(stream: Stream) -> None:
        if (started := dialect.answer()) is not None:
            await stream.send(started)
        await stream.send(dialect.answered())

    scene.target.script = answer
    conversation = scene.conversation()
    (await scene.held(conversation)).succeed()
    assert conversation.ended, "the answer was not ended"


@MIDDLEWARE.shows(rules.CANCEL)
@each_protocol
async def cancelling_reaches_the_target(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)
    for point in range(1, 40):
        conversation = scene.whole(b"abc", b"def")
        async with scene.handled(conversation) as handling:
            awaits = 0

            def cancel_at_point(handling: Handling = handling, point: int = point) -> None:
                nonlocal awaits
                awaits += 1
                if awaits == point:
                    handling.scope.cancel()

            conversation.on_await = cancel_at_point
            await expect_within(f"returning, cancelled in await {point}", handling.over.wait)
        assert handling.error is None, f"cancelled in await {point}, it raised {handling.error!r}"
        assert not scene.target.running, f"cancelled in await {point}, its target goes on"
        if awaits < point:
            break
    for script in (scene.target.echo, scene.target.deaf):
        scene.target.script = script
        conversation = scene.conversation()
        async with scene.handled(conversation) as handling:
            asked = len(scene.target.streams)
            await expect_within("the target", partial(_asked, scene, asked))
            handling.scope.cancel()
            await expect_within("returning, cancelled while it waits", handling.over.wait)
        assert not scene.target.running, "cancelled while it waits, its target goes on"
    await scene.passes()


async def _asked(scene: Scene, before: int) -> None:
    while len(scene.target.streams) == before:
        await anyio.lowlevel.checkpoint()
