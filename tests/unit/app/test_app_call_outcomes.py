"""What the status of a gRPC call tells of whoever answered it."""

from __future__ import annotations

import pytest
from support.app_kit import FakeStream

from tunnel.app.attempt import Attempt
from tunnel.app.observed_stream import ObservedStream
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest

pytestmark = pytest.mark.anyio

HEAD = GrpcFrame(GrpcFrameType.METADATA)
UNAVAILABLE = GrpcFrame(GrpcFrameType.TRAILER, status=14)


@pytest.mark.parametrize("answer", [[UNAVAILABLE], [HEAD, UNAVAILABLE], [GrpcFrame(GrpcFrameType.DATA), UNAVAILABLE]])
async def test_status_of_a_call_is_known_at_its_end(answer: list[GrpcFrame]) -> None:
    begun: list[int] = []
    stream = ObservedStream(FakeStream(HttpRequest("POST")), begun.append)
    for payload in answer:
        assert stream.status == 0
        await stream.send(payload)
    assert stream.status == 503
    assert begun == [503 if len(answer) == 1 else 0]


def test_attempt_notes_the_status_of_a_call_at_its_end() -> None:
    attempt = Attempt()
    attempt.answer(HEAD)
    assert attempt.status == 0
    attempt.conclude(UNAVAILABLE)
    assert attempt.status == 503

    attempt = Attempt()
    attempt.answer(UNAVAILABLE)
    assert attempt.status == 503
