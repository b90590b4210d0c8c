"""Records of conversations as lines: words for people, or JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

from tunnel.ports.telemetry import SessionEnded

__all__ = ["LINES", "LineFormat", "json_line", "text_line"]

LineFormat: TypeAlias = Literal["text", "json"]

_USUAL: Final = "to_client"
"""A direction that is left out of words."""

_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]*").fullmatch


def text_line(at_s: float, record: SessionEnded) -> bytes:
    """``2026-01-31T12:00:00.000Z protocol=http ... status=200``: what is empty or absent is left out.

    Values that are not plain words are quoted as JSON, so that no value breaks the line or looks like another.

    Args:
        at_s: Seconds since the epoch at which it was over.
        record: What there is to tell.
    """
    r = record
    # All of them are looked at together, since nearly always they are plain.
    plain = _PLAIN(f"{r.request_id}{r.peer}{r.method}{r.host}{r.path}{r.rule}{r.group}{r.member}{r.upstream}")
    word = str if plain else _quoted
    return (
        f"{_timestamp(at_s)} protocol={r.protocol}"
        f"{'' if r.direction == _USUAL else f' direction={r.direction}'}"
        f"{f' request_id={word(r.request_id)}' if r.request_id else ''}"
        f"{f' peer={word(r.peer)}' if r.peer else ''}"
        f"{f' method={word(r.method)}' if r.method else ''}"
        f"{f' host={word(r.host)}' if r.host else ''}"
        f"{f' path={word(r.path)}' if r.path else ''}"
        f"{f' rule={word(r.rule)}' if r.rule else ''}"
        f"{f' group={word(r.group)}' if r.group else ''}"
        f"{f' member={word(r.member)}' if r.member else ''}"
        f"{f' upstream={word(r.upstream)}' if r.upstream else ''}"
        f"{f' route={r.route}' if r.route else ''}"
        f" outcome={r.outcome} status={r.status} duration_s={r.duration_s:.6f}"
        f"{'' if r.first_byte_s is None else f' first_byte_s={r.first_byte_s:.6f}'}"
        f" received_bytes={r.received_bytes} sent_bytes={r.sent_bytes} tries={r.tries}\n"
    ).encode()


def json_line(at_s: float, record: SessionEnded) -> bytes:
    """``{"time": "2026-01-31T12:00:00.000Z", "protocol": "http", ...}``: every field of the record, in its order.

    ASCII only: beyond it there are line ends, and characters that steer terminals, which JSON leaves as they are.

    Args:
        at_s: Seconds since the epoch at which it was over.
        record: What there is to tell.
    """
    try:
        told = msgspec.json.encode(record)
    except UnicodeEncodeError:
        # Half of a surrogate pair, for which UTF-8 has no bytes.
        told = _escaped(record)
    if not told.isascii():
        told = _escaped(record)
    return b'{"time":"%b",%b\n' % (_timestamp(at_s).encode(), told[1:])


def _escaped(record: SessionEnded) -> bytes:
    return json.dumps(msgspec.to_builtins(record), separators=(",", ":")).encode()


def _quoted(value: str) -> str:
    return value if _PLAIN(value) else json.dumps(value)


LINES: Final[dict[LineFormat, Callable[[float, SessionEnded], bytes]]] = {"text": text_line, "json": json_line}
"""How a record becomes a line, by the name of the format."""


def _timestamp(at_s: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    seconds, millis = divmod(int(at_s * 1000), 1000)
    return f"{_second(seconds)}.{millis:03d}Z"


@lru_cache(4)
def _second(seconds: int) -> str:
    """Cached, since thousands of lines share it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
