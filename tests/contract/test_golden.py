"""Every kind of envelope in both codecs, byte for byte: what another implementation has to read and write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.golden_vectors import CODECS, FOLDER, Vector, decoded, fill, hex_text, unhex, vectors

from tunnel.adapters.grpc._generated import tunnel_pb2
from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    HeadPart,
    HttpRequest,
    Kind,
    UnknownPayload,
    WebSocketFrame,
)
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.limits import Limits
from tunnel.domain.messagepack import FrameError, decode_payload, encode_payload

ROUND_TRIPS = list(vectors("both"))
READ_ONLY = list(vectors("decode"))
REFUSED = list(vectors("refuse"))
JOINED = [vector for vector in ROUND_TRIPS if vector.joined is not None]

_VARINT, _LENGTH_DELIMITED = 0, 2


def with_codec(cases: list[Vector]) -> list[object]:
    """A parameter for each encoding of each vector."""
    return [
        pytest.param(vector, codec, id=f"{vector}-{codec}") for vector in cases for codec in sorted(vector.encodings)
    ]


def lists(value: object) -> object:
    """``value`` with structs and tuples as lists of what they hold."""
    if isinstance(value, msgspec.Struct):
        return lists(msgspec.structs.astuple(value))
    return [lists(each) for each in value] if isinstance(value, tuple) else value


def named(file: str, name: str) -> Vector:
    return next(vector for vector in vectors("both", "decode") if (vector.file, vector.name) == (file, name))


def payloads_of(vector: Vector, codec: str) -> list[object]:
    """What the codec makes of the vector's bytes."""
    _, decode = CODECS[codec]
    return [envelope.payload for envelope in decode(vector.encodings[codec]).envelopes]


def varint(data: bytes, start: int) -> tuple[int, int]:
    """The number that begins at ``start``, and where it ends."""
    number = shift = 0
    while True:
        byte = data[start]
        number |= (byte & 127) << shift
        start, shift = start + 1, shift + 7
        if byte < 128:
            return number, start


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of every protobuf field in ``data``, in order; the content of numbers is left out."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == _VARINT:
            _, at = varint(data, at)
            yield key >> 3, b""
        elif key & 7 == _LENGTH_DELIMITED:
            size, at = varint(data, at)
            yield key >> 3, data[at : at + size]
            at += size
        else:
            at += 8
            yield key >> 3, b""


@pytest.mark.rule("E1")
@pytest.mark.parametrize(("vector", "codec"), with_codec(ROUND_TRIPS + READ_ONLY))
def test_bytes_decode_to_the_value(vector: Vector, codec: str) -> None:
    _, decode = CODECS[codec]

    assert decoded(decode(vector.encodings[codec])) == vector.frame


@pytest.mark.rule("E1")
@pytest.mark.parametrize(("vector", "codec"), with_codec(ROUND_TRIPS))
def test_value_encodes_to_exactly_the_bytes(vector: Vector, codec: str) -> None:
    encode, _ = CODECS[codec]

    assert hex_text(encode(vector.frame)) == hex_text(vector.encodings[codec])


@pytest.mark.rule("W15")
@pytest.mark.parametrize(("vector", "codec"), with_codec(REFUSED))
def test_broken_frame_is_refused(vector: Vector, codec: str) -> None:
    _, decode = CODECS[codec]

    with pytest.raises((FrameError, LinkError)) as caught:
        decode(vector.encodings[codec])

    assert getattr(caught.value, "end", LinkEnd.VIOLATED) is LinkEnd.VIOLATED


@pytest.mark.rule("P6", "P7")
@pytest.mark.parametrize("vector", JOINED, ids=str)
def test_joined_parts_are_the_messagepack_of_the_payload(vector: Vector) -> None:
    announced, *parts = (envelope.payload for envelope in vector.frame.envelopes)
    data = b"".join(part.data for part in parts if isinstance(part, HeadPart))

    assert decode_payload(data) == vector.joined
    assert encode_payload(vector.joined) == data
    assert type(announced) is type(vector.joined)
    assert announced.more
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]


@pytest.mark.rule("W10")
@pytest.mark.parametrize("vector", ROUND_TRIPS, ids=str)
def test_messagepack_is_arrays_of_the_fields_as_written(vector: Vector) -> None:
    """Read by nothing that knows the types, so that the order of fields cannot be mistaken on both ways."""
    envelopes, ack, seq = msgspec.msgpack.decode(vector.encodings["messagepack"])

    assert (ack, seq) == (vector.frame.ack, vector.frame.seq)
    assert envelopes == [
        [each.session_id, each.kind, [each.kind, *lists(each.payload)]] for each in vector.frame.envelopes
    ]


@pytest.mark.parametrize("vector", ROUND_TRIPS, ids=str)
def test_protobuf_is_fields_in_the_order_of_their_numbers(vector: Vector) -> None:
    frame = list(fields(vector.encodings["protobuf"]))
    envelopes = [list(fields(content)) for number, content in frame if number == 1]
    payloads = [list(fields(envelope[-1][1])) for envelope in envelopes]

    for message in (frame, *envelopes, *payloads):
        numbers = [number for number, _ in message]
        assert numbers == sorted(numbers)
    assert [envelope[-1][0] for envelope in envelopes] == [envelope.kind for envelope in vector.frame.envelopes]


@pytest.mark.rule("E1")
def test_every_kind_has_vectors_in_a_file_of_its_own() -> None:
    shown = Counter(
        vector.file
        for vector in ROUND_TRIPS
        if Kind.__members__.get(vector.file.upper()) in {each.kind for each in vector.frame.envelopes}
    )

    assert set(shown) == {Kind(kind).name.lower() for kind in KIND_OF.values()}
    assert min(shown.values()) >= 2


@pytest.mark.parametrize("payload", KIND_OF, ids=lambda payload: payload.__name__)
def test_every_field_is_shown_with_another_value_than_its_default(payload: type) -> None:
    shown = [each.payload for vector in ROUND_TRIPS for each in vector.frame.envelopes if type(each.payload) is payload]

    for field in msgspec.structs.fields(payload):
        values = {getattr(each, field.name) for each in shown}
        assert values - {field.default} if field.default is not msgspec.NODEFAULT else any(values), field.name


@pytest.mark.rule("E3")
@pytest.mark.parametrize("codec", CODECS)
def test_header_blocks_keep_order_and_repetitions(codec: str) -> None:
    (response,) = payloads_of(named("http_response", "whole"), codec)

    assert response.headers == (
        *(b"Content-Type", b"text/plain", b"Set-Cookie", b"a=1; Path=/", b"Set-Cookie", b"b=2; HttpOnly"),
        *(b"X-Binary", b"\x00\xff\\"),
    )


@pytest.mark.rule("E4")
@pytest.mark.parametrize("codec", CODECS)
def test_query_that_is_empty_is_told_from_none(codec: str) -> None:
    (without,) = payloads_of(named("http_request", "minimal"), codec)
    (empty,) = payloads_of(named("http_request", "whole"), codec)

    assert (without.query, empty.query) == (None, b"")


@pytest.mark.rule("W12")
def test_fields_left_out_have_the_documented_defaults() -> None:
    request, response, frame, error = payloads_of(named("compatibility", "trailing-fields-missing"), "messagepack")

    assert (request.path, request.query, request.protocol) == (b"/", None, "http")
    assert (request.host, request.headers, request.body, request.end, request.more) == (b"", (), b"", False, False)
    assert (response.headers, response.body, response.end, response.more) == ((), b"", False, False)
    assert (frame.payload, frame.fin, frame.seq, frame.headers) == (b"", True, 0, ())
    assert (error.message, error.detail) == ("", "")
    register, registered = payloads_of(named("compatibility", "limits-missing"), "messagepack")
    assert register.limits == Limits()
    assert registered.limits == Limits(session_window_bytes=8192)


@pytest.mark.rule("W19")
def test_what_is_said_of_the_link_is_ignored() -> None:
    vector = named("compatibility", "stream-id")
    (envelope,) = tunnel_pb2.TunnelFrame.FromString(vector.encodings["protobuf"]).envelopes
    assert envelope.stream_id == "link-7"

    assert payloads_of(vector, "protobuf") == [BodyChunk(b"body", end=True)]


@pytest.mark.rule("W20")
def test_what_is_absent_in_protobuf_is_empty() -> None:
    assert payloads_of(named("compatibility", "absent-in-protobuf"), "protobuf") == [
        HttpRequest("GET", b""),
        WebSocketFrame(1, b"x", fin=False),
    ]


def test_unreadable_envelopes_stand_between_good_ones() -> None:
    malformed = [vector for vector in READ_ONLY if vector.file == "malformed"]

    assert malformed
    for vector in malformed:
        before, unreadable, after = vector.frame.envelopes
        assert isinstance(unreadable.payload, UnknownPayload)
        assert before == after == Envelope(5, before.kind, before.payload)


def test_names_are_unique_within_a_file() -> None:
    names = Counter(str(vector) for vector in (*ROUND_TRIPS, *READ_ONLY, *REFUSED))

    assert [name for name, times in names.items() if times > 1] == []


def test_both_codecs_read_and_refuse_what_they_can() -> None:
    assert all(vector.encodings.keys() == CODECS.keys() for vector in ROUND_TRIPS)
    assert all(vector.encodings for vector in (*READ_ONLY, *REFUSED))


@pytest.mark.parametrize("data", [b"", b"\x00", b"a" * 31, b"a" * 32, b"ab" * 40, b"x" + b"\n" * 500 + b"y"])
def test_notation_of_bytes_is_exact(data: bytes) -> None:
    assert unhex(hex_text(data)) == data


def test_filling_in_changes_no_bytes_that_are_there(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.json"):
        copy = tmp_path / path.name
        copy.write_text(path.read_text())
        fill(copy)
        assert copy.read_text() == path.read_text()


def test_filling_in_writes_the_bytes_of_a_new_vector(tmp_path: Path) -> None:
    text = (FOLDER / "ping.json").read_text()
    copy = tmp_path / "ping.json"
    copy.write_text(re.sub(r',\s+"messagepack": "[^"]*",\s+"protobuf": "[^"]*"', "", text))
    assert '"protobuf": ' not in copy.read_text()

    fill(copy)

    assert copy.read_text() == text


def test_protobuf_is_read_by_the_generated_classes_alone() -> None:
    """A program of another language has nothing but the proto file."""
    for vector in ROUND_TRIPS:
        message = tunnel_pb2.TunnelFrame.FromString(vector.encodings["protobuf"])
        kinds = [Kind[envelope.WhichOneof("payload").upper()] for envelope in message.envelopes]
        assert kinds == [envelope.kind for envelope in vector.frame.envelopes]
        assert message.SerializeToString(deterministic=True) == vector.encodings["protobuf"]
