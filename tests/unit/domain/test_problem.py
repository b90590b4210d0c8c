from __future__ import annotations

import json

import pytest

from tunnel.adapters.http.fields import pairs
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.problem import PROBLEM_STATUS, problem
from tunnel.domain.refusal import Refusal


@pytest.mark.rule("X1", "X3")
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("bad_request", 400),
        ("route_not_found", 404),
        ("no_client", 503),
        ("peer_lost", 502),
        ("upstream_unreachable", 502),
        ("upstream_timeout", 504),
        ("too_large", 413),
        ("overloaded", 503),
        ("unauthenticated", 401),
        ("forbidden", 403),
        ("protocol_error", 502),
        ("flow_control", 502),
        ("refused", 502),
        ("superseded", 502),
        ("cancelled", 502),
        ("internal", 500),
        ("loop_detected", 508),
    ],
)
def test_each_code_has_its_status(code: str, status: int) -> None:
    answer = problem(SessionError(ErrorCode(code), "words"))

    assert answer.status == status
    assert json.loads(answer.body)["code"] == code


@pytest.mark.rule("X1")
def test_every_code_is_in_the_table() -> None:
    assert set(PROBLEM_STATUS) == set(ErrorCode)


def test_document_tells_the_message_and_never_the_detail() -> None:
    answer = problem(SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream is down", detail="10.0.0.7:80 refused"))

    headers = dict(pairs(answer.headers))
    assert answer.end
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Bad Gateway",
        "status": 502,
        "code": "upstream_unreachable",
        "detail": "the upstream is down",
    }


def test_document_without_message_has_no_detail() -> None:
    assert "detail" not in json.loads(problem(SessionError(ErrorCode.INTERNAL)).body)


@pytest.mark.parametrize("code", [ErrorCode.NO_CLIENT, ErrorCode.OVERLOADED])
def test_503_says_when_to_come_back(code: ErrorCode) -> None:
    assert dict(pairs(problem(SessionError(code)).headers))[b"retry-after"] == b"1"


def test_401_names_a_scheme() -> None:
    answer = problem(SessionError(ErrorCode.UNAUTHENTICATED))

    assert dict(pairs(answer.headers))[b"www-authenticate"] == b"Bearer"


def test_status_may_be_given() -> None:
    answer = problem(SessionError(ErrorCode.TOO_LARGE), status=431)

    assert answer.status == 431
    assert json.loads(answer.body)["title"] == "Request Header Fields Too Large"


def test_status_is_called_as_the_rfc_does_under_every_python() -> None:
    assert json.loads(problem(SessionError(ErrorCode.TOO_LARGE)).body)["title"] == "Content Too Large"


def test_refusal_may_have_a_status_that_nobody_has_named() -> None:
    answer = problem(Refusal(ErrorCode.FORBIDDEN, status=499))

    assert answer.status == 499
    assert json.loads(answer.body)["title"] == "Refused"
