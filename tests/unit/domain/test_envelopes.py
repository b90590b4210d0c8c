from __future__ import annotations

import pytest
from hypothesis import given

from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Frame,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Kind,
    Payload,
    Register,
    RegisterResponse,
    ResumeRequest,
    SessionPayload,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.testing.strategies import PAYLOADS, payloads

OVERHEAD = 256
FIELDS = (b"name", b"value", b"n", b"")


@pytest.mark.rule("K1", "K2")
@pytest.mark.parametrize(
    ("payload", "size"),
    [
        (BodyChunk(), 0),
        (BodyChunk(b"12345"), 5),
        (HeadPart(b"12345", more=True), 5),
        (HttpRequest("GET", b"/p", b"q=1", b"host", FIELDS, b"body", True, "http", b"url", "dst"), 32),
        (HttpRequest("GET", b"", None), 3),
        (HttpResponse(200, FIELDS, b"body"), 14),
        (Trailers(FIELDS), 10),
        (GrpcFrame(GrpcFrameType.METADATA, "svc", "mth", FIELDS), 16),
        (GrpcFrame(GrpcFrameType.METADATA, "svc"), 3),
        (GrpcFrame(GrpcFrameType.METADATA, method="mth"), 3),
        (GrpcFrame(GrpcFrameType.TRAILER, message="caf\N{LATIN SMALL LETTER E WITH ACUTE}"), 5),
        (GrpcFrame(GrpcFrameType.DATA, data=b"12345"), 5),
        (WebSocketFrame(WebSocketOpcode.TEXT, b"text", headers=FIELDS), 14),
        (TcpOpen("up", "dst", "peer"), 9),
    ],
)
def test_cost_is_the_bytes_carried_and_a_constant(payload: SessionPayload, size: int) -> None:
    assert payload.cost == OVERHEAD + size


@pytest.mark.rule("E6")
@pytest.mark.parametrize(
    ("payload", "end"),
    [
        (HttpRequest("GET"), False),
        (HttpRequest("GET", end=True), True),
        (HttpResponse(200), False),
        (HttpResponse(200, end=True), True),
        (BodyChunk(b"x"), False),
        (BodyChunk(b"x", end=True), True),
        (HeadPart(b"x", more=True), False),
        (HeadPart(b"x", end=True), True),
        (TcpOpen("up"), False),
        (TcpOpen("up", end=True), True),
        (Trailers(), True),
        (Trailers(more=True), False),
        (GrpcFrame(GrpcFrameType.DATA), False),
        (GrpcFrame(GrpcFrameType.METADATA), False),
        (GrpcFrame(GrpcFrameType.ERROR), False),
        (GrpcFrame(GrpcFrameType.TRAILER), True),
        (GrpcFrame(GrpcFrameType.TRAILER, more=True), False),
        (GrpcFrame(GrpcFrameType.CLOSE), True),
        (WebSocketFrame(WebSocketOpcode.TEXT), False),
        (WebSocketFrame(WebSocketOpcode.PING), False),
        (WebSocketFrame(WebSocketOpcode.CLOSE), True),
    ],
)
def test_one_end_marker_serves_all_protocols(payload: SessionPayload, end: bool) -> None:
    assert payload.end is end


@pytest.mark.rule("E1")
def test_kinds_are_the_numbers_of_the_wire() -> None:
    assert sorted(KIND_OF.values()) == sorted(kind.value for kind in Kind)
    assert set(KIND_OF) == set(PAYLOADS)


@given(payloads())
def test_envelopes_are_values(payload: Payload) -> None:
    frame = Frame((Envelope(1, KIND_OF[type(payload)], payload),), 2, 3)
    assert frame == Frame((Envelope(1, KIND_OF[type(payload)], payload),), 2, 3)
    with pytest.raises(AttributeError):
        frame.seq = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "payload",
    [
        Register((1,), "c", "g", b"i", "secret", resume=ResumeRequest("t", b"secret", 1, 2)),
        RegisterResponse("t", b"secret", "s", 1),
        ResumeRequest("t", b"secret", 1, 2),
    ],
)
def test_secrets_do_not_show(payload: object) -> None:
    assert "secret" not in repr(payload)
    assert "secret" not in str(payload)
