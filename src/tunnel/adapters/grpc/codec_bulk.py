"""Frames of nothing but large chunks, to protobuf.

Protobuf copies what it encodes several times, into buffers that grow as they fill. Bulk is put together here instead,
each chunk copied once. What comes out is what protobuf makes of such a frame, to the byte.

Source: proto messages ``TunnelFrame``, ``TunnelEnvelope`` and ``BodyChunk``; the encoding of protobuf: a field is its
number and wire type as a varint, then, for bytes, strings and messages, a length, and the contents.
"""

from __future__ import annotations

from typing import Final

from tunnel.adapters.grpc._generated import tunnel_pb2 as pb
from tunnel.domain.envelopes import BodyChunk, Frame

__all__ = ["encode_bulk"]

_LARGE_BYTES: Final = 16 * 1024
"""Of a chunk that is large: with smaller ones, protobuf is faster than Python."""

_VARINT, _LENGTH = 0, 2


def _tag(number: int, wire_type: int) -> bytes:
    return bytes(_varint(number << 3 | wire_type))


def _varint(value: int) -> bytearray:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return encoded


_ENVELOPES: Final = _tag(pb.TunnelFrame.ENVELOPES_FIELD_NUMBER, _LENGTH)
_ACK: Final = _tag(pb.TunnelFrame.ACK_FIELD_NUMBER, _VARINT)
_SEQ: Final = _tag(pb.TunnelFrame.SEQ_FIELD_NUMBER, _VARINT)
_SESSION_ID: Final = _tag(pb.TunnelEnvelope.SESSION_ID_FIELD_NUMBER, _LENGTH)
_BODY_CHUNK: Final = _tag(pb.TunnelEnvelope.BODY_CHUNK_FIELD_NUMBER, _LENGTH)
_DATA: Final = _tag(pb.BodyChunk.DATA_FIELD_NUMBER, _LENGTH)
_END: Final = _tag(pb.BodyChunk.END_FIELD_NUMBER, _VARINT) + b"\1"


def encode_bulk(frame: Frame) -> bytes | None:
    """``frame`` as the bytes of a ``TunnelFrame``; None when it holds anything but large chunks of sessions."""
    parts: list[bytes | bytearray] = []
    for envelope in frame.envelopes:
        chunk = envelope.payload
        if type(chunk) is not BodyChunk or len(chunk.data) < _LARGE_BYTES or not envelope.session_id:
            return None
        session_id = str(envelope.session_id).encode()
        end = _END if chunk.end else b""
        before_data = _DATA + _varint(len(chunk.data))
        size = len(before_data) + len(chunk.data) + len(end)
        before_chunk = b"".join((_SESSION_ID, _varint(len(session_id)), session_id, _BODY_CHUNK, _varint(size)))
        parts += (_ENVELOPES, _varint(len(before_chunk) + size), before_chunk, before_data, chunk.data, end)
    if not parts:
        return None
    if frame.ack:
        parts += (_ACK, _varint(frame.ack))
    if frame.seq:
        parts += (_SEQ, _varint(frame.seq))
    return b"".join(parts)
