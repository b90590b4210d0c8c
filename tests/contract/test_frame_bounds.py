"""No frame is larger than ``max_frame_bytes``, whichever transport it goes over, or is sent again over."""

from __future__ import annotations

import pytest
from support.golden_vectors import CODECS
from unit.domain.mux.mux_kit import GET, POST, Ends, opened_in

from tunnel.domain.envelopes import (
    BodyChunk,
    Frame,
    GrpcFrame,
    GrpcFrameType,
    HttpRequest,
    HttpResponse,
    SessionPayload,
    TcpOpen,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import GIB, MAX_FRAME_BYTES, MIB, Limits
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.mux.session import Session

WIDE = Limits(session_window_bytes=MIB, tunnel_receive_bytes=GIB, replay_window_bytes=64 * MIB)
SESSIONS = 600
WIDEST = "\N{GRINNING FACE}"


def sizes(mux: Multiplexer) -> list[int]:
    """The largest encoding of each frame that goes now; everything is acknowledged at once."""
    largest = []
    while (frame := mux.next_frame(0.0)) is not None:
        largest.append(max(len(encode(frame)) for encode, _ in CODECS.values()))
        mux.receive(Frame((), frame.seq), 0.0)
    return largest


def streams(ends: Ends) -> list[Session]:
    for _ in range(SESSIONS):
        ends.client.open(POST, ends.now)
    opened = opened_in(ends.move()[1])
    ends.settle()
    return opened


@pytest.mark.rule("F15")
@pytest.mark.parametrize(
    "head",
    [
        GET,
        HttpRequest("GET", headers=(b"n", b"v") * 200, end=True),
        HttpRequest("GET", headers=(b"", b"") * 200, end=True),
        HttpRequest(WIDEST * 100, original_dst=WIDEST * 100, protocol=WIDEST * 4),
        HttpRequest("POST", body=b"b" * 60_000),
        TcpOpen(WIDEST * 300, WIDEST * 300, WIDEST * 300),
        GrpcFrame(GrpcFrameType.METADATA, WIDEST * 100, WIDEST * 100, (b"k", b"") * 200, message=WIDEST * 50),
    ],
    ids=["bare", "short-fields", "empty-fields", "wide-texts", "body", "tcp", "grpc"],
)
def test_frames_of_openings_fit_in_every_codec(head: HttpRequest) -> None:
    ends = Ends(WIDE)
    for _ in range(SESSIONS):
        ends.client.open(head, ends.now)

    assert 0 < max(sizes(ends.client)) <= MAX_FRAME_BYTES


@pytest.mark.rule("F15")
@pytest.mark.parametrize(
    "payload",
    [
        HttpResponse(200),
        HttpResponse(2**32 - 1, (b"n", b"v") * 300),
        HttpResponse(200, (b"n", b"v") * 2000),
        BodyChunk(b"b"),
        BodyChunk(b"b" * 65_280, end=True),
        GrpcFrame(GrpcFrameType.TRAILER, metadata=(b"", b"") * 300, status=2**32 - 1, message=WIDEST * 200),
    ],
    ids=["bare", "short-fields", "many-fields", "small-chunk", "largest-chunk", "trailer"],
)
def test_frames_of_data_fit_in_every_codec(payload: SessionPayload) -> None:
    ends = Ends(WIDE)
    for session in streams(ends):
        session.offer(payload)

    assert 0 < max(sizes(ends.server)) <= MAX_FRAME_BYTES


@pytest.mark.rule("F15")
def test_frames_of_control_and_data_fit_in_every_codec() -> None:
    ends = Ends(WIDE)
    for number, session in enumerate(streams(ends)):
        if number % 2:
            session.reset(SessionError(ErrorCode.INTERNAL, WIDEST * 2000, detail=WIDEST * 2000))
        else:
            session.stop_receiving(WIDEST * 2000)
            session.offer(BodyChunk(b"b" * 65_000))
    ends.server.go_away(WIDEST * 200)

    assert 0 < max(sizes(ends.server)) <= MAX_FRAME_BYTES
