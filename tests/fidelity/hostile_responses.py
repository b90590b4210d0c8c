"""Answers as an upstream might say them that is careless or hostile: drawn from a grammar, and then damaged."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["FORGED", "hostile_responses"]

FORGED = b"HTTP/1.1 200 OK\r\nx-forged: yes\r\nContent-Length: 6\r\n\r\nforged"
"""What nobody is to hear as a response of its own."""

_STATUS_LINES = [
    *[b"HTTP/1.1 200 OK"] * 12,
    *(b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 205 Reset", b"HTTP/1.1 404 Not Found"),
    *(b"HTTP/1.0 200 OK", b"HTTP/1.0 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.2 200 OK", b"RTSP/1.0 200 OK"),
    *(b"HTTP/1.1 200", b"HTTP/1.1 600 X", b"HTTP/1.1 101 Switching", b"HTTP/1.1 100 Continue", b"ICY 200 OK"),
]
_BEFORE = [
    *[b""] * 8,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2,
    b"HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 199 Odd\r\nContent-Length: 5\r\n\r\nhello",
]
_AFTER = [*[b""] * 6, b"\r\n", b"X", b"0\r\n\r\n", FORGED, b"\r\n" + FORGED, b"HTTP/1.1 408 Timeout\r\n\r\n"]
_FIELDS = [
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: content-length", b"Connection: upgrade"),
    *(b"Upgrade: h2c", b"Keep-Alive: timeout=5", b"Set-Cookie: a=1", b"X: a \t", b"X:", b"X: \xff", b"Trailer: X-Sum"),
    *(b"X y: z", b"X : z", b": z", b"z", b"X: a\0b", b"X: a\rb", b"X: a\nb", b"X: a\r\n b"),
]
_LENGTHS = [
    *[b"Content-Length: %d"] * 12,
    *(b"content-length:\t%d ", b"Content-Length: 00%d", b"Content-Length: +%d", b"Content-Length: -%d"),
    *(b"Content-Length: %d, %d", b"Content-Length: %d\r\nContent-Length: %d", b"Content-Length: 9%d"),
    *(b"Content-Length : %d", b"Content-Length:\r\n %d", b"Content-Length: 18446744073709551616%d"),
]
_CODINGS = [
    *[b"Transfer-Encoding: chunked"] * 8,
    *(b"transfer-encoding:CHUNKED ", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip"),
    *(b"Transfer-Encoding: identity", b"Transfer-Encoding: x", b"Transfer-Encoding : chunked"),
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
]
_LAST_CHUNKS = [
    *[b"0\r\n\r\n"] * 6,
    *(b"000;a\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n", b"0\r\nContent-Length: 9\r\n\r\n", b"0\r\nConnection: close\r\n\r\n"),
    *(b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nbad name: 1\r\n\r\n", b"0\n\n", b"0\r\n", b""),
]
_SIZES = [
    *[b"%x\r\n"] * 8,
    b"0%X\r\n",
    b'%x;a="b"\r\n',
    b"%x \r\n",
    b"0x%x\r\n",
    b"-%x\r\n",
    b"%x\n",
    b"ffffffffffffffff%x\r\n",
]
_BODIES = [b"", b"hello", b"hello", FORGED, b"0\r\n\r\n" + FORGED]
_DAMAGE = [b"", b"\r\n", b"\n", b"\r", b" ", b"\0", b":", b"0", b"\r\n\r\n"]


@st.composite
def _chunks(draw: st.DrawFn, body: bytes) -> bytes:
    cut = draw(st.integers(0, len(body)))
    pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
    return b"".join(
        draw(st.sampled_from(_SIZES)).replace(b"%x", b"%x" % len(piece)).replace(b"%X", b"%X" % len(piece))
        + piece
        + b"\r\n"
        for piece in pieces
    ) + draw(st.sampled_from(_LAST_CHUNKS))


@st.composite
def hostile_responses(draw: st.DrawFn) -> bytes:
    """What comes on a connection as the answer to one request."""
    body = draw(st.sampled_from(_BODIES))
    fields = draw(st.lists(st.sampled_from(_FIELDS), max_size=2))
    framing = draw(st.sampled_from(["length", "length", "chunks", "chunks", "both", "none"]))
    said = body
    if framing in ("length", "both"):
        size = b"%d" % max(0, len(body) + draw(st.sampled_from([0, 0, 0, 0, 1, -1])))
        fields.append(draw(st.sampled_from(_LENGTHS)).replace(b"%d", size))
    if framing in ("chunks", "both"):
        fields.append(draw(st.sampled_from(_CODINGS)))
        said = draw(_chunks(body))
    lines = [draw(st.sampled_from(_STATUS_LINES)), *draw(st.permutations(fields))]
    data = draw(st.sampled_from(_BEFORE)) + b"\r\n".join(lines) + b"\r\n\r\n" + said + draw(st.sampled_from(_AFTER))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(_DAMAGE)) + data[at + draw(st.integers(0, 2)) :]
    return data
