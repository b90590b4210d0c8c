"""What peers of yet other versions would have said where a recorded one spoke."""

from __future__ import annotations

from typing import Any

import msgspec
from support.recorded_peer import Rewrite
from support.recordings import Step, load

from tunnel.adapters.grpc._generated import tunnel_pb2
from tunnel.domain.envelopes import KIND_OF, Error, Register, RegisterResponse

__all__ = ["later", "shorter", "terser"]

_UNKNOWN_KIND = 999
_UNKNOWN_FIELD = b"\xba\x3e\x03new"
"""That field of any message, three bytes long. In an envelope the field is the kind."""

_FIELDS = {kind: msgspec.structs.fields(payload) for payload, kind in KIND_OF.items()}


def shorter(step: Step) -> bytes:
    """The MessagePack frame as an earlier version writes it, without the fields at the end that it need not write.

    Which these are is in the recording, which leaves out what had its default then, whatever that is today.
    """
    envelopes, ack, seq = msgspec.msgpack.decode(step.encodings["messagepack"])
    less = []
    for (session, kind, payload), written in zip(envelopes, step.text["envelopes"], strict=True):
        (said,) = (value for key, value in written.items() if key != "session")
        needed = [index for index, field in enumerate(_FIELDS[kind], start=1) if field.name in said]
        less.append([session, kind, payload[: max(needed, default=0) + 1]])
    return msgspec.msgpack.encode([less, ack, seq])


def terser(name: str) -> Rewrite:
    """An earlier version of the peer that was recorded under ``name``, in MessagePack."""
    return {step.encodings["messagepack"]: shorter(step) for step in load(name).steps}.__getitem__


def later(codec: str) -> Rewrite:
    """What a later version writes: fields, messages of the tunnel and capabilities that nobody knows yet."""
    return _later_messagepack if codec == "messagepack" else _later_protobuf


def _later_messagepack(data: bytes) -> bytes:
    envelopes, ack, seq = msgspec.msgpack.decode(data)
    longer = [[session, kind, _longer(kind, payload), "new"] for session, kind, payload in envelopes]
    if _may_be_joined(envelopes, seq):
        longer.append([0, _UNKNOWN_KIND, [_UNKNOWN_KIND, "new"], "new"])
    return msgspec.msgpack.encode([longer, ack, seq, "new"])


def _longer(kind: int, payload: list[Any]) -> list[Any]:
    fields = _FIELDS[kind]
    payload = [*payload, *[{"new": 1}] * (len(payload) - 1 >= len(fields))]
    for index, each in enumerate(fields, start=1):
        if each.name == "capabilities":
            payload[index] = [*payload[index], "time-travel"]
    return payload


def _later_protobuf(data: bytes) -> bytes:
    frame = tunnel_pb2.TunnelFrame.FromString(data)
    joined = _may_be_joined([[0 if not each.session_id else 1, _kind(each)] for each in frame.envelopes], frame.seq)
    for envelope in frame.envelopes:
        message = getattr(envelope, envelope.WhichOneof("payload"))
        if "capabilities" in message.DESCRIPTOR.fields_by_name:
            message.capabilities.append("time-travel")
        message.MergeFromString(_UNKNOWN_FIELD)
        envelope.MergeFromString(_UNKNOWN_FIELD)
    if joined:
        frame.envelopes.add().MergeFromString(_UNKNOWN_FIELD)
    return frame.SerializeToString() + _UNKNOWN_FIELD


def _kind(envelope: Any) -> int:
    return envelope.DESCRIPTOR.fields_by_name[envelope.WhichOneof("payload")].number


def _may_be_joined(envelopes: list[Any], seq: int) -> bool:
    """Whether the frame is one of the tunnel's own after the handshake, to which another message may be added."""
    handshake = {KIND_OF[each] for each in (Register, RegisterResponse, Error)}
    return not seq and bool(envelopes) and not handshake & {each[1] for each in envelopes}
