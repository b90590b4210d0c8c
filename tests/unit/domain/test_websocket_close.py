from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Close

from tunnel.domain import websocket_close
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.websocket_close import close_frame, closing, problem_of_close, split_close


@given(st.binary(max_size=125))
def test_payloads_are_judged_as_websockets_judges_them(payload: bytes) -> None:
    try:
        Close.parse(payload)
    except (ProtocolError, UnicodeDecodeError):
        assert problem_of_close(payload) is not None
    else:
        assert problem_of_close(payload) is None


@given(st.integers(0, 65535))
def test_codes_are_judged_as_websockets_judges_them(code: int) -> None:
    payload = code.to_bytes(2, "big")
    try:
        Close.parse(payload)
    except ProtocolError:
        assert problem_of_close(payload) == (1002, "invalid close code")
    else:
        assert problem_of_close(payload) is None


@given(st.text(max_size=200))
def test_reason_is_cut_to_what_fits_and_between_characters(reason: str) -> None:
    frame = close_frame(4000, reason)
    assert problem_of_close(frame.payload) is None
    code, told = split_close(frame.payload)
    assert code == 4000
    assert reason.startswith(told)
    assert told == reason or len(frame.payload) > 121


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"\x03\xe8" + b"x" * 123, None),
        (b"\x03\xe8" + b"x" * 124, (1002, "control frame too long")),
        (b"\x03", (1002, "invalid close code")),
        (b"\x03\xe8\xff", (1007, "the reason is not UTF-8")),
    ],
)
def test_close_has_a_code_and_a_reason_of_at_most_123_bytes(payload: bytes, problem: tuple[int, str] | None) -> None:
    assert problem_of_close(payload) == problem


def test_no_code_is_no_payload() -> None:
    assert close_frame(1005).payload == b""
    assert split_close(b"") == (1005, "")


@pytest.mark.parametrize("code", list(ErrorCode))
def test_failures_after_acceptance_tell_their_message_and_nothing_else(code: ErrorCode) -> None:
    told, reason = split_close(closing(SessionError(code, "message", detail="secret")).payload)

    later = {ErrorCode.NO_CLIENT, ErrorCode.OVERLOADED, ErrorCode.REFUSED}
    assert (told, reason) == (1013 if code in later else 1014, "message")


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"\x0f\xa0" + b"r" * 123, None),
        (b"\x0f\xa0" + b"r" * 124, (1002, "control frame too long")),
        (b"\x0f\xa0\xff", (1007, "the reason is not UTF-8")),
        (b"\x0f", (1002, "invalid close code")),
    ],
)
def test_what_is_wrong_with_a_payload_has_its_own_code(payload: bytes, problem: tuple[int, str] | None) -> None:
    assert problem_of_close(payload) == problem


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_codes_that_may_be_sent_are_in_order(code: int) -> None:
    assert problem_of_close(code.to_bytes(2, "big")) is None


@pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
def test_codes_that_may_not_be_sent_are_refused(code: int) -> None:
    assert problem_of_close(code.to_bytes(2, "big")) == (1002, "invalid close code")


def test_codes_are_those_of_the_registry() -> None:
    assert (websocket_close.NORMAL, websocket_close.GOING_AWAY, websocket_close.MESSAGE_TOO_BIG) == (1000, 1001, 1009)
