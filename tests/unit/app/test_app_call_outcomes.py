"""What the status of a gRPC call tells of whoever answered it."""

from __future__ import annotations

import pytest
from support.app_kit import FakeStream

from tunnel.adapters.clock import AnyioClock
from tunnel.app.attempt import Attempt
from tunnel.app.observed_stream import ObservedStream
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, HttpResponse

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


async def test_status_of_a_call_is_told_as_it_is_and_judged_as_one_of_http() -> None:
    attempt = Attempt("grpc", AnyioClock())
    attempt.answer(HEAD)
    assert attempt.status == 0
    attempt.end(UNAVAILABLE)
    assert (attempt.status, attempt.verdict) == (14, 503)

    attempt = Attempt("grpc", AnyioClock())
    attempt.answer(UNAVAILABLE)
    assert (attempt.status, attempt.verdict) == (14, 503)

    attempt = Attempt("http", AnyioClock())
    attempt.answer(HttpResponse(404))
    assert (attempt.status, attempt.verdict) == (404, 404)
