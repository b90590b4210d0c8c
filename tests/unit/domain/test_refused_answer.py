from __future__ import annotations

import json

import pytest

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, HttpResponse, TcpOpen
from tunnel.domain.errors import ErrorCode
from tunnel.domain.refusal import Refusal
from tunnel.domain.refused_answer import refused_answer

CALL = GrpcFrame(GrpcFrameType.METADATA, service="s", method="m")


def test_refused_request_gets_a_problem_document_with_its_own_status_and_fields() -> None:
    head = HttpRequest("GET", path=b"/", headers=(b"x-request-id", b"r-1"))
    refusal = Refusal(ErrorCode.OVERLOADED, "later", status=429, headers=(b"retry-after", b"7"), detail="for operators")

    answer = refused_answer(head, refusal)

    assert isinstance(answer, HttpResponse)
    assert answer.end
    assert answer.status == 429
    assert answer.headers[-2:] == (b"retry-after", b"7")
    assert answer.headers.count(b"retry-after") == 1
    document = json.loads(answer.body)
    assert document["status"] == 429
    assert document["code"] == "overloaded"
    assert document["detail"] == "later"
    assert document["request_id"] == "r-1"
    assert b"for operators" not in answer.body


def test_refusal_without_a_status_has_the_usual_one_of_its_code() -> None:
    answer = refused_answer(HttpRequest("GET", path=b"/"), Refusal(ErrorCode.FORBIDDEN))

    assert isinstance(answer, HttpResponse)
    assert answer.status == 403
    assert b"retry-after" not in answer.headers


@pytest.mark.parametrize(("message", "told"), [("not today", "not today"), ("", "route not found")])
def test_refused_call_ends_with_the_status_of_the_code(message: str, told: str) -> None:
    answer = refused_answer(CALL, Refusal(ErrorCode.ROUTE_NOT_FOUND, message))

    assert answer == GrpcFrame(GrpcFrameType.TRAILER, status=12, message=told)


def test_refused_connection_has_no_answer_but_a_reset() -> None:
    assert refused_answer(TcpOpen("ssh"), Refusal(ErrorCode.FORBIDDEN)) is None


def test_refusal_is_a_session_error_with_all_that_was_said() -> None:
    refusal = Refusal(ErrorCode.TOO_LARGE, "a", status=431, headers=(b"b", b"c"), detail="d")

    assert (refusal.code, refusal.message, refusal.detail) == (ErrorCode.TOO_LARGE, "a", "d")
    assert (refusal.status, refusal.headers) == (431, (b"b", b"c"))
    assert (Refusal(ErrorCode.TOO_LARGE).status, Refusal(ErrorCode.TOO_LARGE).headers) == (None, ())
