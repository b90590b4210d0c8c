"""Streams that stand between an entry and what answers: whoever looks through them sees the conversation itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.app_kit import FakeStream

from tunnel.adapters.clock import MonotonicClock
from tunnel.app.accounted_stream import AccountedStream
from tunnel.app.attempt import Attempt
from tunnel.app.marked_stream import MarkedStream
from tunnel.app.observed_stream import ObservedStream
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, Opening, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.health import http_status
from tunnel.domain.route import Route, told
from tunnel.ports.stream_around import EditedStream
from tunnel.ports.target import Stream

AROUND = (
    pytest.param(lambda stream: MarkedStream(stream, Route.TUNNEL), id="marked"),
    pytest.param(lambda stream: AccountedStream(stream, Attempt("http", MonotonicClock())), id="accounted"),
)


@pytest.mark.parametrize("around", AROUND)
def test_the_peer_is_seen_through_it(around: Callable[[Stream], Stream]) -> None:
    stream = FakeStream(HttpRequest("GET", b"/", host=b"a.test", end=True))
    stream.peer = "192.0.2.1:4711"
    assert around(stream).peer == "192.0.2.1:4711"


@pytest.mark.parametrize("around", AROUND)
def test_what_cut_the_conversation_off_is_seen_through_it(around: Callable[[Stream], Stream]) -> None:
    stream = FakeStream(HttpRequest("GET", b"/", host=b"a.test", end=True))
    outer = around(stream)
    stream.cut_off = SessionError(ErrorCode.CANCELLED, "the visitor left")
    assert outer.cut_off is stream.cut_off


CALL = GrpcFrame(GrpcFrameType.WHOLE.value, "s.S", "M")
MESSAGE = GrpcFrame(GrpcFrameType.DATA.value, data=b"m")
STATUS = GrpcFrame(GrpcFrameType.TRAILER.value, status=5)


class _Together(FakeStream):
    """Notes what it is given at once."""

    def __init__(self, head: Opening) -> None:
        super().__init__(head)
        self.given: list[tuple[SessionPayload, ...]] = []

    async def send(self, payload: SessionPayload) -> None:
        self.given.append((payload,))

    async def conclude(self, *payloads: SessionPayload) -> None:
        self.given.append(payloads)


async def _given(around: Callable[[Stream], Stream]) -> list[tuple[SessionPayload, ...]]:
    stream = _Together(CALL)
    await around(stream).conclude(MESSAGE, STATUS)
    return stream.given


@pytest.mark.anyio
async def test_the_end_of_an_accounted_conversation_is_accounted_for_with_its_last_message() -> None:
    attempt = Attempt("grpc", MonotonicClock())
    given = await _given(lambda stream: AccountedStream(stream, attempt))
    assert [each for payloads in given for each in payloads] == [MESSAGE, STATUS]
    assert (attempt.status, attempt.sent_bytes, attempt.answered_at is None) == (5, 1, False)


@pytest.mark.anyio
async def test_the_end_of_a_marked_conversation_leaves_the_mark_on_what_begins_it() -> None:
    given = await _given(lambda stream: MarkedStream(stream, Route.TUNNEL))
    assert [each for payloads in given for each in payloads] == [told(MESSAGE, Route.TUNNEL), STATUS]


@pytest.mark.anyio
async def test_an_observed_conversation_is_seen_whole_and_ends_at_once() -> None:
    begun: list[int] = []
    observed: list[ObservedStream] = []

    def around(stream: Stream) -> Stream:
        observed.append(ObservedStream(stream, begun.append))
        return observed[0]

    assert await _given(around) == [(MESSAGE, STATUS)]
    assert (begun, observed[0].status) == ([0], http_status(5))


@pytest.mark.anyio
async def test_an_edited_conversation_ends_at_once_when_its_fields_are_edited() -> None:
    assert await _given(EditedStream) == [(MESSAGE, STATUS)]
    given = await _given(lambda stream: EditedStream(stream, edit=lambda fields: (*fields, b"k", b"v")))
    assert given == [(GrpcFrame(GrpcFrameType.METADATA.value, metadata=(b"k", b"v")),), (MESSAGE,), (STATUS,)]
