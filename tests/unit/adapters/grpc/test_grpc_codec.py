from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.adapters.grpc._generated import skeleton_pb2, tunnel_pb2
from tunnel.adapters.grpc.codec import decode_frame, encode_frame
from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Frame,
    GrpcFrame,
    GrpcFrameType,
    HttpRequest,
    Kind,
    Ping,
    Register,
    RegisterResponse,
    TcpOpen,
    UnknownPayload,
)
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.limits import Limits
from tunnel.testing.strategies import PAYLOADS, frames, payloads

BAD_UTF8 = b"\xff"


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field, short enough for lengths of one byte."""
    assert number < 2**11
    assert len(data) < 128
    tag = number << 3 | 2
    key = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
    return key + bytes([len(data)]) + data


def envelope(session_id: bytes, number: int, payload: bytes) -> bytes:
    return field(1, field(2, session_id) + field(number, payload))


@pytest.mark.parametrize("payload_class", PAYLOADS, ids=lambda payload_class: payload_class.__name__)
def test_every_payload_survives_the_wire(payload_class: type) -> None:
    @given(PAYLOADS[payload_class])
    def survives(payload: object) -> None:
        frame = Frame((Envelope(5, KIND_OF[payload_class], payload),))
        assert decode_frame(encode_frame(frame)) == frame

    survives()


@given(frames())
@example(Frame(()))
@example(Frame((Envelope(0, Kind.PING, Ping(0)),), ack=2**64 - 1, seq=2**64 - 1))
def test_frames_survive_the_wire(frame: Frame) -> None:
    assert decode_frame(encode_frame(frame)) == frame


def test_every_payload_class_has_a_strategy() -> None:
    assert set(PAYLOADS) == set(KIND_OF)


@pytest.mark.rule("W17")
def test_field_numbers_are_those_of_kind() -> None:
    for message in (tunnel_pb2.TunnelEnvelope, skeleton_pb2.TunnelEnvelopeSkeleton):
        oneof = message.DESCRIPTOR.oneofs_by_name["payload"]
        assert {member.name.upper(): member.number for member in oneof.fields} == {kind.name: kind for kind in Kind}


def test_a_request_on_the_wire() -> None:
    request = HttpRequest("GET", b"/a", b"", b"h", (b"k", b"\xff"), end=True)
    body = field(1, b"GET") + field(3, b"h") + field(4, b"/a") + field(5, b"")
    body += field(9, b"k") + field(9, b"\xff") + b"\x50\x01"
    wire = field(1, field(1, b"http") + field(2, b"7") + field(5, body)) + b"\x10\x03\x18\x04"
    frame = Frame((Envelope(7, Kind.HTTP_REQUEST, request),), ack=3, seq=4)
    assert encode_frame(frame) == wire
    assert decode_frame(wire) == frame


@pytest.mark.rule("W18")
@pytest.mark.parametrize(
    ("payload", "protocol"),
    [
        (HttpRequest("GET"), "http"),
        (HttpRequest("GET", protocol="websocket"), "websocket"),
        (TcpOpen("ssh"), "tcp"),
        (GrpcFrame(GrpcFrameType.METADATA, "pkg.Service", "Method"), "grpc"),
        (GrpcFrame(GrpcFrameType.METADATA), ""),
        (GrpcFrame(GrpcFrameType.DATA, data=b"x"), ""),
        (BodyChunk(b"x"), ""),
    ],
)
def test_openings_name_their_protocol(payload: object, protocol: str) -> None:
    wire = encode_frame(Frame((Envelope(1, KIND_OF[type(payload)], payload),)))
    assert tunnel_pb2.TunnelFrame.FromString(wire).envelopes[0].protocol == protocol


@pytest.mark.rule("W18")
def test_request_without_protocol_is_http() -> None:
    (decoded,) = decode_frame(envelope(b"1", 5, field(1, b"GET"))).envelopes
    assert decoded.payload == HttpRequest("GET", b"", protocol="http")


@pytest.mark.rule("W16")
def test_tunnel_itself_is_session_0_absent_or_said() -> None:
    ping = field(21, b"\x08\x01")
    for wire in (field(1, ping), field(1, field(2, b"") + ping), field(1, field(2, b"0") + ping)):
        assert decode_frame(wire).envelopes == (Envelope(0, Kind.PING, Ping(1)),)
    assert encode_frame(Frame((Envelope(0, Kind.PING, Ping(1)),))) == field(1, ping)


@pytest.mark.rule("W20")
def test_absent_limits_are_the_defaults() -> None:
    registered = decode_frame(field(1, field(16, b""))).envelopes[0].payload
    assert registered == Register((), "", "", b"", "", limits=Limits())
    answered = decode_frame(field(1, field(17, field(8, b"\x50\x05")))).envelopes[0].payload
    assert answered == RegisterResponse("", b"", "", 0, limits=Limits(max_sessions=5))


@pytest.mark.rule("W20")
def test_unknown_fields_are_skipped() -> None:
    wire = envelope(b"1", 10, field(1, b"x") + field(900, b"later")) + field(901, b"later")
    assert decode_frame(wire).envelopes == (Envelope(1, Kind.BODY_CHUNK, BodyChunk(b"x")),)


def test_unknown_kind_costs_nothing_but_itself() -> None:
    wire = envelope(b"3", 99, b"later") + envelope(b"5", 10, field(1, b"x"))
    strange, known = decode_frame(wire).envelopes
    assert (strange.session_id, strange.kind) == (3, 99)
    assert isinstance(strange.payload, UnknownPayload)
    assert known == Envelope(5, Kind.BODY_CHUNK, BodyChunk(b"x"))


def test_envelope_without_payload_is_unknown() -> None:
    (decoded,) = decode_frame(field(1, field(2, b"3"))).envelopes
    assert decoded == Envelope(3, 0, UnknownPayload("no payload"))


def test_payload_of_the_wrong_wire_type_is_unknown() -> None:
    (decoded,) = decode_frame(field(1, field(2, b"3") + b"\x50\x01")).envelopes
    assert (decoded.session_id, decoded.kind) == (3, Kind.BODY_CHUNK)
    assert isinstance(decoded.payload, UnknownPayload)


@pytest.mark.rule("W21")
@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.HTTP_REQUEST, field(1, BAD_UTF8)),
        (Kind.BODY_CHUNK, b"\x0a\x7f"),
        (Kind.ERROR, b"\x00"),
        (Kind.PING, b"\x08"),
    ],
)
def test_malformed_payload_spares_its_neighbours(kind: Kind, payload: bytes) -> None:
    good = Envelope(5, Kind.HTTP_REQUEST, HttpRequest("GET"))
    wire = envelope(b"3", kind, payload) + encode_frame(Frame((good,), ack=6, seq=7))
    frame = decode_frame(wire)
    assert frame == Frame((Envelope(3, kind, UnknownPayload(f"malformed {kind.name.lower()}")), good), ack=6, seq=7)


def test_malformed_protocol_is_its_sessions_trouble() -> None:
    wire = field(1, field(1, BAD_UTF8) + field(2, b"3") + field(5, b""))
    assert decode_frame(wire).envelopes == (Envelope(3, Kind.HTTP_REQUEST, UnknownPayload("malformed http_request")),)


@given(st.lists(payloads(), max_size=4))
def test_decoding_leniently_finds_the_same(items: list[object]) -> None:
    good = tuple(Envelope(number, KIND_OF[type(item)], item) for number, item in enumerate(items))
    bad = Envelope(3, Kind.PING, UnknownPayload("malformed ping"))
    assert decode_frame(encode_frame(Frame(good)) + envelope(b"3", Kind.PING, b"\x08")).envelopes == (*good, bad)


@pytest.mark.rule("W16")
@pytest.mark.parametrize(
    "session_id",
    [b"-1", b"+1", b" 1", b"1_0", b"0x1", b"one", b"18446744073709551616", b"1" * 21, "٣".encode(), BAD_UTF8],
)
def test_session_id_that_is_no_uint64_breaks_the_frame(session_id: bytes) -> None:
    with pytest.raises(LinkError) as caught:
        decode_frame(envelope(session_id, 10, field(1, b"x")))
    assert caught.value.end is LinkEnd.VIOLATED


@pytest.mark.rule("W15")
@pytest.mark.parametrize("wire", [b"\x0a", b"\x0a\x05\x00", b"\xff", b"\x0a\x01\x12"])
def test_broken_structure_violates(wire: bytes) -> None:
    with pytest.raises(LinkError) as caught:
        decode_frame(wire)
    assert caught.value.end is LinkEnd.VIOLATED


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_violation(wire: bytes) -> None:
    ends = []
    try:
        decode_frame(wire)
    except LinkError as error:
        ends.append(error.end)
    assert ends in ([], [LinkEnd.VIOLATED])


@pytest.mark.parametrize(
    "payload", [UnknownPayload("what came in"), Ping(-1), Ping(2**64), HttpRequest("\ud800")], ids=repr
)
def test_what_cannot_be_written_is_a_value_error(payload: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # protobuf words it
        encode_frame(Frame((Envelope(1, 5, payload),)))


@pytest.mark.rule("K5")
def test_payloads_own_their_bytes() -> None:
    wire = bytearray(envelope(b"1", 10, field(1, b"x")))
    (decoded,) = decode_frame(bytes(wire)).envelopes
    assert type(decoded.payload.data) is bytes
