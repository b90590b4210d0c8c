"""Frames to and from protobuf.

Decoding, in this order, so that good frames are decoded in one step and a bad payload costs one session only:

1. Parse the frame whole. Protobuf decodes payloads with it; when all is well that is all.
2. If that failed, parse it again as ``TunnelFrameSkeleton``, whose payloads stay bytes, and decode each on its own.
   Those that fail stand in their place as ``UnknownPayload``. If this fails as well, or a session id is no number, the
   structure itself is broken and with it the link.

Source: proto messages ``TunnelFrame``, ``TunnelEnvelope`` and ``TunnelFrameSkeleton``.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from tunnel.adapters.grpc._generated import skeleton_pb2, tunnel_pb2
from tunnel.adapters.grpc.codec_bulk import encode_bulk
from tunnel.adapters.grpc.codec_session import SESSION_DECODERS, SESSION_ENCODERS, Decoder
from tunnel.adapters.grpc.codec_tunnel import TUNNEL_DECODERS, TUNNEL_ENCODERS
from tunnel.domain.envelopes import BodyChunk, Envelope, Frame, Kind, Payload, UnknownPayload
from tunnel.domain.errors import LinkEnd, LinkError

__all__ = ["decode_frame", "encode_frame"]

_ENCODERS: Final = {**SESSION_ENCODERS, **TUNNEL_ENCODERS}
_DECODERS: Final[dict[str, tuple[int, Decoder]]] = {
    field: (Kind[field.upper()].value, decoder) for field, decoder in {**SESSION_DECODERS, **TUNNEL_DECODERS}.items()
}
_UINT64_MAX: Final = 2**64 - 1
_UINT64_DIGITS: Final = 20
_FIRST_KIND: Final = min(Kind)


def encode_frame(frame: Frame) -> bytes:
    """``frame`` as the bytes of a ``TunnelFrame``.

    Raises:
        ValueError: A value does not fit its field: a number is out of range, or an envelope holds no payload that
            can be written.
    """
    envelopes = frame.envelopes
    if envelopes and type(envelopes[0].payload) is BodyChunk:
        bulk = encode_bulk(frame)
        if bulk is not None:
            return bulk
    message = tunnel_pb2.TunnelFrame()
    if frame.ack:
        message.ack = frame.ack
    if frame.seq:
        message.seq = frame.seq
    add = message.envelopes.add
    for envelope in envelopes:
        payload = envelope.payload
        encoder = _ENCODERS.get(type(payload))
        if encoder is None:
            raise ValueError(f"cannot write a {type(payload).__name__}")
        encoder(add(session_id=str(envelope.session_id)) if envelope.session_id else add(), payload)
    return message.SerializeToString()


def decode_frame(data: bytes) -> Frame:
    """The frame whose encoding is ``data``. Payloads that cannot be decoded become ``UnknownPayload``.

    Raises:
        LinkError: ``LinkEnd.VIOLATED``; the frame's structure is broken.
    """
    try:
        message = tunnel_pb2.TunnelFrame.FromString(data)
    except DecodeError:
        return _decode_leniently(data)
    return Frame(tuple(map(_decode_envelope, message.envelopes)), message.ack, message.seq)


def _decode_envelope(message: tunnel_pb2.TunnelEnvelope) -> Envelope:
    field = message.WhichOneof("payload")
    if field is None:
        return Envelope(_session_id(message.session_id), *_unknown(message))
    kind, decoder = _DECODERS[field]
    return Envelope(_session_id(message.session_id), kind, decoder(message))


def _decode_leniently(data: bytes) -> Frame:
    try:
        skeleton = skeleton_pb2.TunnelFrameSkeleton.FromString(data)
    except DecodeError as error:
        raise LinkError(LinkEnd.VIOLATED, f"a frame of {len(data)} bytes cannot be decoded") from error
    return Frame(tuple(map(_decode_skeleton, skeleton.envelopes)), skeleton.ack, skeleton.seq)


def _decode_skeleton(skeleton: skeleton_pb2.TunnelEnvelopeSkeleton) -> Envelope:
    session_id = _session_id(skeleton.session_id)
    field = skeleton.WhichOneof("payload")
    if field is None:
        return Envelope(session_id, *_unknown(skeleton))
    kind, decoder = _DECODERS[field]
    return Envelope(session_id, kind, _decode_payload(skeleton, field, decoder))


def _decode_payload(
    skeleton: skeleton_pb2.TunnelEnvelopeSkeleton, field: str, decoder: Decoder
) -> Payload | UnknownPayload:
    envelope = tunnel_pb2.TunnelEnvelope()
    try:
        envelope.protocol = skeleton.protocol.decode()
        getattr(envelope, field).SetInParent()
        getattr(envelope, field).MergeFromString(getattr(skeleton, field))
    except (DecodeError, UnicodeDecodeError):
        return UnknownPayload(f"malformed {field}")
    return decoder(envelope)


def _session_id(text: str) -> int:
    if not text:
        return 0
    # int() alone would also take signs, spaces, underscores and digits of other scripts.
    if len(text) <= _UINT64_DIGITS and text.isascii() and text.isdigit():
        session_id = int(text)
        if session_id <= _UINT64_MAX:
            return session_id
    raise LinkError(LinkEnd.VIOLATED, f"session id {text[:_UINT64_DIGITS]!r} is not a decimal uint64")


def _unknown(
    message: tunnel_pb2.TunnelEnvelope | skeleton_pb2.TunnelEnvelopeSkeleton,
) -> tuple[int, UnknownPayload]:
    # A kind of a later version, or a known one whose wire type is wrong: protobuf keeps either as an unknown field.
    fields = UnknownFieldSet(message)
    numbers = (fields[index].field_number for index in range(len(fields)))
    kind = next((number for number in numbers if number >= _FIRST_KIND), 0)
    return kind, UnknownPayload(f"unknown kind {kind}" if kind else "no payload")
