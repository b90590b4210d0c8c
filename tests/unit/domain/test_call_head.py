from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.call_head import CallHead, as_request, format_timeout, parse_timeout
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError


def test_opening_names_host_and_deadline_before_the_callers_own() -> None:
    call = CallHead("shop.v1.Orders", "Get", (b"x-a", b"1"), b"a.test", 1.5)
    assert call.frame() == GrpcFrame(
        GrpcFrameType.METADATA,
        "shop.v1.Orders",
        "Get",
        (b":authority", b"a.test", b"grpc-timeout", b"1500000u", b"x-a", b"1"),
    )
    assert CallHead.of(call.frame()) == call


@pytest.mark.parametrize("host", [b"", b"a.test"])
@pytest.mark.parametrize("timeout_s", [None, 0.25])
def test_opening_without_host_or_deadline_is_taken_apart(host: bytes, timeout_s: float | None) -> None:
    call = CallHead("s", "m", (b"x", b"1", b"grpc-timeout", b"the caller's own"), host, timeout_s)
    if timeout_s is None:
        call = call._replace(metadata=(b"x", b"1"))
    assert CallHead.of(call.frame()) == call


def test_call_is_routed_as_a_post_of_its_path() -> None:
    call = CallHead("shop.v1.Orders", "Get", (b"x-a", b"1"), b"a.test", 1.5)
    assert call.path == b"/shop.v1.Orders/Get"
    assert as_request(call.frame()) == HttpRequest(
        "POST", path=b"/shop.v1.Orders/Get", host=b"a.test", headers=(b"x-a", b"1"), protocol="grpc"
    )
    request = HttpRequest("GET")
    assert as_request(request) is request


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        (TcpOpen("ssh"), ErrorCode.ROUTE_NOT_FOUND),
        (GrpcFrame(GrpcFrameType.DATA), ErrorCode.PROTOCOL_ERROR),
        (GrpcFrame(GrpcFrameType.METADATA, metadata=(b"grpc-timeout", b"soon")), ErrorCode.PROTOCOL_ERROR),
        (GrpcFrame(GrpcFrameType.METADATA, metadata=(b"grpc-timeout", b"123456789m")), ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_what_opens_no_call_is_refused(opening: GrpcFrame | TcpOpen, code: ErrorCode) -> None:
    with pytest.raises(SessionError) as caught:
        as_request(opening)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("timeout_s", "text"),
    [
        (99_999_999, b"99999999S"),
        (100_000_000, b"27778H"),
        (0.0, b"1u"),
        (-1.0, b"1u"),
        (0.95, b"950000u"),
        (99.0, b"99000000u"),
        (100.0, b"100000m"),
        (99_999.9, b"99999900m"),
        (100_000.0, b"100000S"),
        (1e9, b"277778H"),
        (1e15, b"99999999H"),
    ],
)
def test_timeouts_are_written_in_the_finest_unit_that_holds_them(timeout_s: float, text: bytes) -> None:
    assert format_timeout(timeout_s) == text


@pytest.mark.parametrize(
    ("text", "timeout_s"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"4m", 0.004), (b"5u", 5e-6), (b"99999999n", 0.099999999)],
)
def test_timeouts_are_read_in_every_unit(text: bytes, timeout_s: float) -> None:
    assert parse_timeout(text) == pytest.approx(timeout_s)


@given(st.floats(min_value=1e-5, max_value=1e8))
def test_timeout_is_never_written_shorter_than_it_is_and_little_longer(timeout_s: float) -> None:
    read = parse_timeout(format_timeout(timeout_s))
    assert read >= timeout_s * (1 - 1e-9)
    assert read <= timeout_s * 1.04 + 2e-6


@pytest.mark.parametrize(("timeout_s", "written"), [(99.999999, b"99999999u"), (100.0, b"100000m"), (0.0, b"1u")])
def test_finest_unit_of_eight_digits_is_written(timeout_s: float, written: bytes) -> None:
    assert format_timeout(timeout_s) == written


def test_whole_call_opens_with_its_message() -> None:
    call = CallHead("s", "m", (b"a", b"b"), message=b"hello")

    assert call.frame() == GrpcFrame(GrpcFrameType.WHOLE, "s", "m", (b"a", b"b"), b"hello")
