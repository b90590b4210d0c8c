"""Golden vectors: frames written out as plain values beside the bytes they have in each codec.

The files and their notation are described in tests/contract/golden/README.md. Run as a program, this writes the bytes
of vectors that have none yet::

    python tests/support/golden_vectors.py

It never changes bytes that are there. They are the truth: when an encoding changes, the test fails, and somebody has
to decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from tunnel.adapters.grpc import codec as protobuf
from tunnel.domain import messagepack
from tunnel.domain.envelopes import KIND_OF, Envelope, Frame, Kind, Payload, UnknownPayload

__all__ = ["CODECS", "FOLDER", "Vector", "decoded", "hex_text", "json_text", "unhex", "vectors"]

FOLDER = Path(__file__).parents[1] / "contract" / "golden"

CODECS: Final[dict[str, tuple[Callable[[Frame], bytes], Callable[[bytes], Frame]]]] = {
    "messagepack": (messagepack.encode_frame, messagepack.decode_frame),
    "protobuf": (protobuf.encode_frame, protobuf.decode_frame),
}
"""Encoder and decoder by the key of a vector."""

UNREADABLE = UnknownPayload("")
"""Stands for every payload that a decoder could not read, whatever its reason."""

_PAYLOAD_OF = {kind: payload for payload, kind in KIND_OF.items()}
_WIDTH = 120
_LEAST_REPEATED_BYTES = 32


class Vector(msgspec.Struct, frozen=True):
    """One vector of a file.

    Args:
        file: Stem of its file.
        name: Unique within the file.
        check: ``both`` when the bytes decode to the value and it encodes to them; ``decode`` when only the former;
            ``refuse`` when the bytes are no frame at all.
        frame: The value; None with ``refuse``.
        encodings: The bytes by codec.
        joined: The payload that the frame's head parts make together; None when it has none.
    """

    file: str
    name: str
    check: str
    frame: Frame | None
    encodings: dict[str, bytes]
    joined: Payload | None

    def __str__(self) -> str:
        return f"{self.file}-{self.name}"


def vectors(*checks: str) -> Iterator[Vector]:
    """All vectors whose ``check`` is one of ``checks``."""
    for path in sorted(FOLDER.glob("*.json")):
        for plain in json.loads(path.read_text())["vectors"]:
            if plain["check"] in checks:
                yield Vector(
                    path.stem,
                    plain["name"],
                    plain["check"],
                    frame_of(plain["frame"]) if "frame" in plain else None,
                    {codec: unhex(plain[codec]) for codec in CODECS if codec in plain},
                    payload_of(plain["joined"]) if "joined" in plain else None,
                )


def frame_of(plain: dict[str, Any]) -> Frame:
    """The frame written out as ``plain``."""
    envelopes = tuple(
        Envelope(
            envelope["session_id"],
            kind_of(envelope),
            payload_of(envelope) if envelope["payload"] is not None else UNREADABLE,
        )
        for envelope in plain["envelopes"]
    )
    return Frame(envelopes, plain["ack"], plain["seq"])


def kind_of(envelope: dict[str, Any]) -> int:
    """The number of the kind that is written by name, or by number when this version does not know it."""
    kind = envelope["kind"]
    return kind if isinstance(kind, int) else Kind[kind.upper()].value


def payload_of(envelope: dict[str, Any]) -> Payload:
    """The payload written out in ``envelope``."""
    return _value(inspect.type_info(_PAYLOAD_OF[kind_of(envelope)]), envelope["payload"])


def _value(kind: inspect.Type, plain: Any) -> Any:
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            assert sorted(plain) == sorted(field.name for field in fields), f"not the fields of {cls.__name__}"
            return cls(**{field.name: _value(field.type, plain[field.name]) for field in fields})
        case inspect.UnionType(types=(known, *_)):
            return None if plain is None else _value(known, plain)
        case inspect.VarTupleType(item_type=item):
            return tuple(_value(item, each) for each in plain)
        case inspect.BytesType():
            return _bytes(plain)
        case _:
            return plain


def _bytes(plain: str | dict[str, Any]) -> bytes:
    if isinstance(plain, dict):
        return _bytes(plain["repeat"]) * plain["times"]
    return re.sub(rb"\\x(..)", lambda escape: bytes.fromhex(escape[1].decode()), plain.encode("ascii"))


def unhex(text: str) -> bytes:
    """The bytes of a vector, ``93 91*3`` being one byte and then three."""
    pieces = (piece.partition("*") for piece in text.split())
    return b"".join(bytes.fromhex(digits) * int(times or 1) for digits, _, times in pieces)


def hex_text(data: bytes) -> str:
    """``data`` as a vector writes it."""
    runs = re.compile(rb"(.)\1{%d,}" % (_LEAST_REPEATED_BYTES - 1), re.DOTALL)
    text, end = "", 0
    for run in runs.finditer(data):
        text += f"{data[end : run.start()].hex()} {run[1].hex()}*{len(run[0])} "
        end = run.end()
    return (text + data[end:].hex()).strip()


def decoded(frame: Frame) -> Frame:
    """``frame`` without the reasons why payloads could not be read, which are each decoder's own words."""
    return Frame(
        tuple(
            Envelope(each.session_id, each.kind, UNREADABLE) if isinstance(each.payload, UnknownPayload) else each
            for each in frame.envelopes
        ),
        frame.ack,
        frame.seq,
    )


def json_text(value: Any, indent: int = 0) -> str:
    """``value`` on as few lines as fit, an entry on each where they do not."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or (indent + len(line) <= _WIDTH and not _has_vectors(value)):
        return line
    inner = indent + 2
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {json_text(each, inner)}" for key, each in value.items()]
        return "{" + _lines(parts, inner) + "\n" + " " * indent + "}"
    parts = [json_text(each, inner) for each in value]
    if not any(isinstance(each, dict | list) for each in value):
        parts = _filled(parts, _WIDTH - inner)
    return "[" + _lines(parts, inner) + "\n" + " " * indent + "]"


def _has_vectors(value: Any) -> bool:
    return isinstance(value, dict) and ("vectors" in value or "check" in value)


def _filled(parts: list[str], width: int) -> list[str]:
    """``parts`` joined to lines as long as fit."""
    lines = parts[:1]
    for part in parts[1:]:
        joined = f"{lines[-1]}, {part}"
        if len(joined) < width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _lines(parts: list[str], indent: int) -> str:
    return ",".join(f"\n{' ' * indent}{part}" for part in parts)


def fill(path: Path) -> None:
    """Write the bytes of the vectors in ``path`` that are to be encoded and have none."""
    content = json.loads(path.read_text())
    for plain in content["vectors"]:
        if plain["check"] == "both":
            for codec, (encode, _) in CODECS.items():
                plain.setdefault(codec, hex_text(encode(frame_of(plain["frame"]))))
    path.write_text(json_text(content) + "\n")


if __name__ == "__main__":
    for file in sorted(FOLDER.glob("*.json")):
        fill(file)
