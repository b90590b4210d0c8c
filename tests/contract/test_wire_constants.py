"""Numbers that both ends of a tunnel count by, and that an older peer has already."""

from __future__ import annotations

import pytest

from tunnel.app.handshake import PROTOCOL_VERSION
from tunnel.domain.envelopes import BodyChunk, GrpcFrameType, HttpRequest, Kind, WebSocketOpcode
from tunnel.domain.limits import COST_OVERHEAD_BYTES, MAX_CHUNK_COST, MAX_FRAME_BYTES, MAX_UNFINISHED_HEADS, Limits

KINDS = {
    "HTTP_REQUEST": 5,
    "HTTP_RESPONSE": 6,
    "GRPC_FRAME": 7,
    "WS_FRAME": 8,
    "ERROR": 9,
    "BODY_CHUNK": 10,
    "TRAILERS": 11,
    "TCP_OPEN": 12,
    "HEAD_PART": 13,
    "WINDOW_UPDATE": 14,
    "STOP_SENDING": 15,
    "REGISTER": 16,
    "REGISTER_RESPONSE": 17,
    "CONFIG_SYNC_RESPONSE": 18,
    "CONFIG_APPLIED": 19,
    "CONFIG_REJECTED": 20,
    "PING": 21,
    "PONG": 22,
    "GO_AWAY": 23,
    "CLOSE": 24,
}


def test_numbers_that_older_peers_count_by_are_the_same() -> None:
    assert (COST_OVERHEAD_BYTES, MAX_CHUNK_COST, MAX_FRAME_BYTES, MAX_UNFINISHED_HEADS) == (256, 65536, 262144, 64)
    assert PROTOCOL_VERSION == 1


def test_enumerations_keep_the_numbers_they_have() -> None:
    assert KINDS.items() <= {kind.name: kind.value for kind in Kind}.items()
    frames = {"DATA": 0, "METADATA": 1, "TRAILER": 2, "ERROR": 3, "CLOSE": 4, "WHOLE": 5}
    assert frames.items() <= {each.name: each.value for each in GrpcFrameType}.items()
    opcodes = {"CONTINUATION": 0, "TEXT": 1, "BINARY": 2, "CLOSE": 8, "PING": 9, "PONG": 10}
    assert opcodes.items() <= {each.name: each.value for each in WebSocketOpcode}.items()


@pytest.mark.parametrize(
    ("payload", "cost"),
    [
        (BodyChunk(b"12345"), 261),
        (HttpRequest("GET", b"/a", b"q", b"h", (b"n", b"v"), b"body", url=b"u", original_dst="d"), 256 + 3 + 2 + 7 + 3),
    ],
)
def test_cost_is_what_older_peers_charge(payload: BodyChunk | HttpRequest, cost: int) -> None:
    assert payload.cost == cost


def test_limits_left_out_are_those_that_older_peers_mean() -> None:
    """An older peer leaves out what is its default, and counts by it."""
    assert Limits() == Limits(
        max_frame_bytes=262_144,
        session_window_bytes=65_536,
        session_window_max_bytes=4_194_304,
        tunnel_receive_bytes=268_435_456,
        replay_window_bytes=8_388_608,
        max_grpc_message_bytes=67_108_864,
        max_websocket_message_bytes=16_777_216,
        max_header_bytes=65_536,
        max_headers=200,
        max_sessions=20_000,
        max_links=16,
        heartbeat_s=5.0,
        resume_s=30.0,
    )
