"""What passes through middleware: as it is, in order, at once, and each conversation by itself."""

from __future__ import annotations

from typing import Any

import anyio
from hypothesis import strategies as st
from msgspec.structs import replace

from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    Headers,
    HttpResponse,
    SessionPayload,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.opening_fields import opening_fields, with_fields
from tunnel.ports.target import Stream
from tunnel.testing.middleware import rules
from tunnel.testing.middleware.harness import PEER, MiddlewareHarness
from tunnel.testing.middleware.rules import MIDDLEWARE
from tunnel.testing.middleware.scene import Scene, data_of, each_protocol
from tunnel.testing.patience import expect_within
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.dialects import Dialect

__all__: list[str] = []

_MESSAGES = ("grpc", "websocket")
"""Protocols in which it matters where a piece ends."""

_fields = st.lists(
    st.tuples(st.sampled_from([b"x-kit-one", b"x-kit-two", b"X-Kit-One"]), st.binary(max_size=4)), max_size=4
).map(lambda pairs: tuple(part for pair in pairs for part in pair))
"""Fields of which no middleware has heard: some repeated, some in other cases, with any values."""

_sizes = st.lists(st.integers(1, 300) | st.sampled_from([1, 65_535, 65_536, 100_000]), max_size=6)


def _without_own(harness: MiddlewareHarness, fields: Headers) -> Headers:
    names, values = fields[::2], fields[1::2]
    shown = (b"*" if name.lower() in harness.own_fields else value for name, value in zip(names, values, strict=True))
    return tuple(part for pair in zip(names, shown, strict=True) for part in pair)


@MIDDLEWARE.shows(rules.HEAD, drawn=_fields)
@each_protocol
async def openings_pass_as_declared(harness: MiddlewareHarness, dialect: Dialect, fields: Headers) -> None:
    scene = Scene(harness, dialect)
    plain = harness.opening(dialect)
    head = with_fields(plain, (*opening_fields(plain), *fields))
    conversation = Conversation(head, [dialect.end()])
    conversation.peer = PEER
    await scene.held(conversation)
    (stream,) = scene.target.streams
    expected = harness.passed(head)
    seen = with_fields(stream.head, _without_own(harness, opening_fields(stream.head)))
    assert seen == with_fields(expected, _without_own(harness, opening_fields(expected))), f"the target sees {seen}"


@MIDDLEWARE.shows(rules.HEAD)
async def fields_of_its_own_are_other_ones_each_time(harness: MiddlewareHarness) -> None:
    shown: set[bytes] = set()
    for dialect in harness.dialects():
        scene = Scene(harness, dialect)
        before = await _own_values(scene)
        for name, value in (await _own_values(scene)).items():
            assert before.get(name) != value, f"{dialect.protocol}: {name.decode()} is {value!r} again"
            shown.add(name)
    never = harness.own_fields - shown
    assert not never, f"{b', '.join(sorted(never)).decode()} is said to have other values each time, and is not there"


async def _own_values(scene: Scene) -> dict[bytes, bytes]:
    """The values of its own fields in one conversation, by name."""
    conversation = scene.whole()
    await scene.held(conversation)
    fields = opening_fields(scene.target.streams[-1].head)
    for payload in conversation.sent[:1]:
        fields += payload.metadata if isinstance(payload, GrpcFrame) else getattr(payload, "headers", ())
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return {name.lower(): value for name, value in pairs if name.lower() in scene.harness.own_fields}


@MIDDLEWARE.shows(rules.PEER)
@each_protocol
async def whose_conversation_it_is_can_be_seen(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)
    conversation = scene.conversation()
    async with scene.handled(conversation):
        await scene.begun(conversation)
        (stream,) = scene.target.streams
        assert stream.peer == PEER, f"it comes from {stream.peer!r} to the target"
        assert stream.cut_off is None, "it is cut off before it is"
        conversation.cut_off = SessionError(ErrorCode.TOO_LARGE, "more was said than may be")
        assert stream.cut_off is conversation.cut_off, "the target does not see why it is cut off"


@MIDDLEWARE.shows(rules.WHOLE, drawn=_sizes)
@each_protocol
async def everything_said_is_heard(harness: MiddlewareHarness, dialect: Dialect, sizes: list[int]) -> None:
    scene = Scene(harness, dialect)
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    heard: list[SessionPayload] = []
    started = dialect.answer()

    async def listen_and_speak(stream: Stream) -> None:
        while not (heard and heard[-1].end):
            heard.append(await stream.receive())
        if started is not None:
            await stream.send(started)
        for piece in pieces:
            await stream.send(dialect.piece(piece))
        await stream.send(dialect.answered())

    scene.target.script = listen_and_speak
    conversation = scene.whole(*pieces)
    (await scene.held(conversation)).succeed()
    for who, payloads, read in (
        ("the target", heard, harness.read_by_target),
        ("the visitor", conversation.sent, harness.read_by_visitor),
    ):
        said = data_of(dialect, payloads)
        got = list(map(read, said)) if dialect.protocol in _MESSAGES else [read(b"".join(said))]
        expected = pieces if dialect.protocol in _MESSAGES else [b"".join(pieces)]
        assert got == expected, f"{who} heard {list(map(len, got))} bytes of {sizes}, or others"
        assert [payload.end for payload in payloads].count(True) == 1, f"{who} did not hear one end"


@MIDDLEWARE.shows(rules.END)
@each_protocol
async def ends_pass_as_they_are(harness: MiddlewareHarness, dialect: Dialect) -> None:
    for said, answered in _ENDS[dialect.protocol]:
        scene = Scene(harness, dialect)
        heard: list[SessionPayload] = []

        async def end(stream: Stream, heard: list[SessionPayload] = heard, answered: SessionPayload = answered) -> None:
            heard.append(await stream.receive())
            if (started := dialect.answer()) is not None:
                await stream.send(started)
            await stream.send(answered)

        scene.target.script = end
        conversation = scene.conversation(said)
        (await scene.held(conversation)).succeed()
        assert heard == [said], f"the target hears {heard} instead of {said}"
        last = conversation.sent[-1]
        # An end may bring the last of a body that is said in other bytes, for which there is a rule.
        if type(answered) is BodyChunk and type(last) is BodyChunk:
            assert scene.heard(conversation) == answered.data, "the visitor hears something else"
        else:
            assert last == answered, f"the visitor hears {last} instead of {answered}"


_ENDS: dict[str, list[tuple[Any, Any]]] = {
    "http": [
        (BodyChunk(end=True), BodyChunk(end=True)),
        (Trailers((b"x-kit", b"1", b"x-kit", b"2")), Trailers((b"x-kit", b"3"))),
    ],
    "grpc": [
        (
            GrpcFrame(GrpcFrameType.CLOSE),
            GrpcFrame(GrpcFrameType.TRAILER, metadata=(b"x-kit-bin", b"\0"), status=5, message="there is none"),
        )
    ],
    "websocket": [
        (
            WebSocketFrame(WebSocketOpcode.CLOSE, (4001).to_bytes(2) + b"enough"),
            WebSocketFrame(WebSocketOpcode.CLOSE, (4002).to_bytes(2) + b"as you wish"),
        ),
        (WebSocketFrame(WebSocketOpcode.CLOSE), WebSocketFrame(WebSocketOpcode.CLOSE)),
    ],
    "tcp": [(BodyChunk(b"last", end=True), BodyChunk(b"words", end=True))],
}
"""What ends a conversation, said and answered."""


@MIDDLEWARE.shows(rules.ANSWER, drawn=_fields)
@each_protocol
async def answers_begin_as_declared(harness: MiddlewareHarness, dialect: Dialect, fields: Headers) -> None:
    started = dialect.answer()
    if started is None:
        return
    is_call = isinstance(started, GrpcFrame)
    name = "metadata" if is_call else "headers"
    started = replace(started, **{name: (*harness.answer_fields, *fields)})
    expected = harness.answered(started)
    informational = [] if is_call else [HttpResponse(103, (b"link", b"</a>"))]
    scene = Scene(harness, dialect)

    async def begin(stream: Stream) -> None:
        for each in (*informational, started):
            await stream.send(each)
        await stream.send(dialect.answered())

    scene.target.script = begin
    conversation = scene.whole()
    (await scene.held(conversation)).succeed()
    *before, begun = conversation.sent[: len(informational) + 1]
    assert before == informational, f"of informational responses {before} are heard"
    begun = replace(begun, **{name: _without_own(harness, getattr(begun, name))})
    expected = replace(expected, **{name: _without_own(harness, getattr(expected, name))})
    # What it says in other bytes may begin with some.
    if isinstance(begun, HttpResponse) and harness.read_by_visitor(begun.body) == b"":
        begun = replace(begun, body=b"")
    assert begun == expected, f"an answer begins with {begun} instead of {expected}"


@MIDDLEWARE.shows(rules.STREAMS)
@each_protocol
async def talk_goes_back_and_forth(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)
    conversation = scene.conversation()
    async with scene.handled(conversation) as handling:
        for number in range(5):
            await scene.begun(conversation, b"number %d" % number)
        conversation.feed(dialect.end())
        await expect_within("the end of the answer", handling.over.wait)


@MIDDLEWARE.shows(rules.TOGETHER)
@each_protocol
async def conversations_do_not_mix(harness: MiddlewareHarness, dialect: Dialect) -> None:
    scene = Scene(harness, dialect)
    waiting = scene.conversation()

    async def talk(number: int) -> None:
        conversation = scene.conversation()
        async with scene.handled(conversation) as handling:
            for turn in range(3):
                await scene.begun(conversation, b"%d of %d" % (turn, number))
            conversation.feed(dialect.end())
            await expect_within("the end of the answer", handling.over.wait)
            handling.succeed()

    async with scene.handled(waiting):
        await scene.begun(waiting)
        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(talk, number)
