"""Frames as MessagePack: the wire format of every transport that has no encoding of its own.

::

    frame    [[envelope, ...], ack, seq]
    envelope [session_id, kind, payload]
    payload  [kind, field, ...]

The payload's array repeats the kind, so that a whole frame decodes in one step; an array may be longer than this
version knows, because fields are append-only. A frame that does not decode in one step is decoded again with its
payloads left raw, so that one bad payload costs its own session and nothing else.

Source: docs/reference/protocol.md, envelopes.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from tunnel.domain.envelopes import KIND_OF, Envelope, Frame, Payload, UnknownPayload
from tunnel.domain.errors import TunnelError

__all__ = ["FrameError", "decode_frame", "decode_payload", "encode_frame", "encode_payload"]


class FrameError(TunnelError):
    """What came in is not a frame, or not a payload, at all: its structure is broken.

    Args:
        why: What is wrong, in words for a log line; never holds what came in.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


_Uint64: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
# MessagePack itself has no integer above 2**64 - 1.


class _RawEnvelope(msgspec.Struct, array_like=True):
    session_id: _Uint64
    kind: int
    payload: msgspec.Raw


class _RawFrame(msgspec.Struct, array_like=True):
    envelopes: tuple[_RawEnvelope, ...]
    ack: _Uint64 = 0
    seq: _Uint64 = 0


_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(Frame)
_raw_frames = msgspec.msgpack.Decoder(_RawFrame)
_payloads: Final[msgspec.msgpack.Decoder[Payload]] = msgspec.msgpack.Decoder(Payload)
_payloads_of_kind: Final[dict[int, msgspec.msgpack.Decoder[Payload]]] = {
    kind: msgspec.msgpack.Decoder(payload_type) for payload_type, kind in KIND_OF.items()
}

_KIND_OF_DECODED: Final[dict[type, int | None]] = {**KIND_OF, UnknownPayload: None}
# What a peer forged as an UnknownPayload is of no kind, and so told apart.

# ValidationError is a DecodeError; text that is not UTF-8 and nesting without end have their own.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_MAX_WHY_CHARS = 200
"""Enough of a reason for a log line, however long a path the peer made it."""


def encode_frame(frame: Frame) -> bytes:
    """The frame's MessagePack encoding."""
    return _encoder.encode(frame)


def decode_frame(data: bytes) -> Frame:
    """The frame that ``data`` encodes.

    A payload of an unknown kind, a malformed payload, and one whose own kind differs from its envelope's become
    ``UnknownPayload``, which says why; the envelopes around it are whole.

    Raises:
        FrameError: The structure around the payloads is broken, or a number is out of range.
    """
    try:
        frame = _frames.decode(data)
    except _MALFORMED:
        return _decode_piecewise(data)
    if frame.ack < 0 or frame.seq < 0:
        raise FrameError("negative frame number")
    kind_of = _KIND_OF_DECODED
    for envelope in frame.envelopes:
        if kind_of[type(envelope.payload)] != envelope.kind or envelope.session_id < 0:
            return _decode_piecewise(data)
    return frame


def encode_payload(payload: Payload) -> bytes:
    """One payload alone: what ``HeadPart`` pieces are cut from."""
    return _encoder.encode(payload)


def decode_payload(data: bytes) -> Payload:
    """The payload that ``data`` encodes.

    Raises:
        FrameError: It is of an unknown kind, or malformed.
    """
    try:
        return _payloads.decode(data)
    except _MALFORMED as exc:
        raise FrameError(_why(exc)) from exc


def _decode_piecewise(data: bytes) -> Frame:
    try:
        raw = _raw_frames.decode(data)
    except _MALFORMED as exc:
        raise FrameError(_why(exc)) from exc
    return Frame(tuple(map(_decode_envelope, raw.envelopes)), raw.ack, raw.seq)


def _decode_envelope(raw: _RawEnvelope) -> Envelope:
    decoder = _payloads_of_kind.get(raw.kind)
    payload: Payload | UnknownPayload
    if decoder is None:
        payload = UnknownPayload(f"unknown kind {raw.kind}")
    else:
        try:
            payload = decoder.decode(raw.payload)
        except _MALFORMED as exc:
            payload = UnknownPayload(_why(exc))
    return Envelope(raw.session_id, raw.kind, payload)


def _why(exc: Exception) -> str:
    # A UnicodeDecodeError's own text may show bytes that came in.
    text = exc.reason if isinstance(exc, UnicodeDecodeError) else str(exc)
    return text[:_MAX_WHY_CHARS]
