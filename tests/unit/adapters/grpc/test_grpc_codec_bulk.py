"""Frames of large chunks are what protobuf makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.adapters.grpc._generated import tunnel_pb2 as pb
from tunnel.adapters.grpc.codec import decode_frame, encode_frame
from tunnel.adapters.grpc.codec_bulk import encode_bulk
from tunnel.domain.envelopes import BodyChunk, Envelope, Frame, Kind, WindowUpdate

LARGE = 16 * 1024
UINT64 = st.integers(0, 2**64 - 1)


def by_protobuf(frame: Frame) -> bytes:
    message = pb.TunnelFrame(ack=frame.ack, seq=frame.seq)
    for envelope in frame.envelopes:
        payload = envelope.payload
        assert isinstance(payload, BodyChunk)
        chunk = pb.BodyChunk(data=payload.data, end=payload.end)
        message.envelopes.add(session_id=str(envelope.session_id), body_chunk=chunk)
    return message.SerializeToString(deterministic=True)


def chunk(session_id: int, size: int, *, end: bool = False) -> Envelope:
    return Envelope(session_id, Kind.BODY_CHUNK, BodyChunk(b"x" * size, end))


chunks = st.builds(chunk, UINT64.filter(bool), st.integers(LARGE, 66_000), end=st.booleans())


@given(st.lists(chunks, min_size=1, max_size=4), UINT64, UINT64)
def test_bulk_is_what_protobuf_makes_of_it(envelopes: list[Envelope], ack: int, seq: int) -> None:
    frame = Frame(tuple(envelopes), ack, seq)
    assert encode_bulk(frame) == by_protobuf(frame)
    assert decode_frame(encode_frame(frame)) == frame


@pytest.mark.parametrize(
    "frame",
    [
        Frame((), 1, 0),
        Frame((chunk(1, LARGE - 1),), 0, 1),
        Frame((chunk(1, LARGE), chunk(3, LARGE - 1)), 0, 1),
        Frame((chunk(1, LARGE), Envelope(1, Kind.WINDOW_UPDATE, WindowUpdate(1))), 0, 1),
        Frame((chunk(0, LARGE),), 0, 1),
    ],
    ids=["nothing", "small", "one-small", "control", "tunnel"],
)
def test_all_else_is_left_to_protobuf(frame: Frame) -> None:
    assert encode_bulk(frame) is None
    assert decode_frame(encode_frame(frame)) == frame
