"""Bytes that parsers are known to disagree on, and what is to become of them.

Collected from the published research: Linhart et al., "HTTP Request Smuggling" (2005); Kettle, "HTTP Desync Attacks"
(2019), "Browser-Powered Desync Attacks" (2022), "HTTP/1.1 must die" (2025); Klein, "HTTP Request Smuggling in 2020";
Jabiyev et al., "T-Reqs" (2021); Grenfeldt et al., "Attacking Websites Using HTTP Request Smuggling" (2021); Kallus and
others on the parsers' own leniency (narfindustries/http-garden); and RFC 9112, sections 2.2, 3.2, 5, 6, 7 and 11.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["VECTORS", "Fate", "Vector"]

H = b"Host: kept.test\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: kept.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\n" + H


class Fate(Enum):
    REFUSED = "refused"
    """Answered with one 4xx, 501 or 505 and closed; nothing reaches the upstream."""
    UNROUTABLE = "unroutable"
    """Answered with one 4xx; nothing reaches the upstream. It is clear where it ends, so the connection may go on."""
    FORWARDED = "forwarded"
    """The upstream gets exactly the requests given, each in the one canonical form."""
    CUT = "cut"
    """Refused, or dropped after the beginning of one request, which the upstream never gets whole."""
    EITHER = "either"
    """Cut, or forwarded as given."""


@dataclass(frozen=True)
class Vector:
    name: str
    data: bytes
    fate: Fate
    requests: tuple[tuple[bytes, bytes, bytes, bytes], ...] = ()
    """Method, target, Host and body of each request that reaches the upstream."""


def _refused(name: str, data: bytes) -> Vector:
    return Vector(name, data, Fate.REFUSED)


def _unroutable(name: str, data: bytes) -> Vector:
    return Vector(name, data, Fate.UNROUTABLE)


def _cut(name: str, data: bytes) -> Vector:
    return Vector(name, data, Fate.CUT)


def _get(target: bytes = b"/", host: bytes = b"kept.test") -> tuple[bytes, bytes, bytes, bytes]:
    return b"GET", target, host, b""


def _post(body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return b"POST", b"/", b"kept.test", body


def _forwarded(name: str, data: bytes, *requests: tuple[bytes, bytes, bytes, bytes]) -> Vector:
    return Vector(name, data, Fate.FORWARDED, requests)


def _either(name: str, data: bytes, *requests: tuple[bytes, bytes, bytes, bytes]) -> Vector:
    return Vector(name, data, Fate.EITHER, requests)


def _field(line: bytes, body: bytes = b"") -> bytes:
    """A request with one more line in its head."""
    return POST + line + b"\r\n\r\n" + body


CHUNKS = b"0\r\n\r\n" + SMUGGLED

_LENGTH_AND_CODING = [
    _refused("cl-te", _field(b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(CHUNKS), CHUNKS)),
    _refused("te-cl", _field(b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"5c\r\n" + SMUGGLED + b"0\r\n\r\n")),
    _refused("cl-te-agreeing", _field(b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n")),
    _refused("cl0-te", _field(b"Content-Length: 0\r\nTransfer-Encoding: chunked", CHUNKS)),
    _refused("cl-te-identity", _field(b"Content-Length: 3\r\nTransfer-Encoding: identity", b"abc")),
    _refused(
        "cl-te-get", b"GET / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
    ),
    _refused(
        "cl-te-1.0", b"POST / HTTP/1.0\r\n" + H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
    ),
    _refused("te-1.0", b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS),
]

_CODINGS = [
    _refused(f"te-{name}", _field(line, CHUNKS))
    for name, line in {
        "identity": b"Transfer-Encoding: identity",
        "gzip": b"Transfer-Encoding: gzip",
        "gzip-chunked": b"Transfer-Encoding: gzip, chunked",
        "chunked-gzip": b"Transfer-Encoding: chunked, gzip",
        "chunked-identity": b"Transfer-Encoding: chunked, identity",
        "chunked-twice": b"Transfer-Encoding: chunked, chunked",
        "two-fields": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "two-fields-second-other": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "two-fields-first-other": b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "xchunked": b"Transfer-Encoding: xchunked",
        "chunkedx": b"Transfer-Encoding: chunkedx",
        "empty": b"Transfer-Encoding:",
        "comma": b"Transfer-Encoding: ,",
        "quoted": b'Transfer-Encoding: "chunked"',
        "single-quoted": b"Transfer-Encoding: 'chunked'",
        "parameter": b"Transfer-Encoding: chunked;q=1",
        "semicolon": b"Transfer-Encoding: chunked;",
        "vertical-tab": b"Transfer-Encoding: \x0bchunked",
        "form-feed-after": b"Transfer-Encoding: chunked\x0c",
        "nul-after": b"Transfer-Encoding: chunked\x00",
        "high-byte": b"Transfer-Encoding: chunked\xff",
        "nbsp": b"Transfer-Encoding: \xa0chunked",
        "cow": b"Transfer-Encoding: cow\r\nTransfer-encoding: chunked",
        "space-before-colon": b"Transfer-Encoding : chunked",
        "tab-before-colon": b"Transfer-Encoding\t: chunked",
        "space-before-name": b" Transfer-Encoding: chunked",
        "tab-before-name": b"\tTransfer-Encoding: chunked",
        "nul-in-name": b"Transfer-\x00Encoding: chunked",
        "nul-before-colon": b"Transfer-Encoding\x00: chunked",
        "name-with-return": b"Transfer-Encoding\r: chunked",
        "no-colon": b"Transfer-Encoding chunked",
        "folded": b"Transfer-Encoding:\r\n chunked",
        "folded-tab": b"Transfer-Encoding:\r\n\tchunked",
        "folded-before": b"X: y\r\n Transfer-Encoding: chunked",
        "return-before": b"X: y\rTransfer-Encoding: chunked",
        "feed-before": b"X: y\nTransfer-Encoding: chunked",
        "return-in-value": b"Transfer-Encoding: \rchunked",
        "lf-only-end": b"Transfer-Encoding: chunked\nX: y",
    }.items()
]

_HIDDEN_CODINGS = [
    # Names that are not Transfer-Encoding: they are fields like any other, and there is no body.
    _forwarded("te-underscore", _field(b"Transfer_Encoding: chunked") + SMUGGLED, _post(b""), _get(b"/smuggled")),
    _forwarded("te-longer-name", _field(b"Transfer-Encodingg: chunked") + SMUGGLED, _post(b""), _get(b"/smuggled")),
    _forwarded("te-case", _field(b"tRANSFER-eNCODING: cHUNKED", b"2\r\nhi\r\n0\r\n\r\n"), _post(b"hi")),
    _forwarded("te-blanks", _field(b"Transfer-Encoding: \t chunked", b"2\r\nhi\r\n0\r\n\r\n"), _post(b"hi")),
    _either("te-blanks-after", _field(b"Transfer-Encoding: chunked \t", b"2\r\nhi\r\n0\r\n\r\n"), _post(b"hi")),
    _either("te-leading-comma", _field(b"Transfer-Encoding: , chunked", b"2\r\nhi\r\n0\r\n\r\n"), _post(b"hi")),
    _either(
        "te-named-hop",
        _field(b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", b"2\r\nhi\r\n0\r\n\r\n"),
        _post(b"hi"),
    ),
    _forwarded("cl-named-hop", _field(b"Connection: Content-Length\r\nContent-Length: 2", b"hi"), _post(b"hi")),
]

_LENGTHS = [
    _refused(f"cl-{name}", _field(line, b"hello" + SMUGGLED))
    for name, line in {
        "two-different": b"Content-Length: 5\r\nContent-Length: 0",
        "two-different-cases": b"Content-Length: 5\r\ncontent-length: 6",
        "list-different": b"Content-Length: 5, 6",
        "plus": b"Content-Length: +5",
        "minus": b"Content-Length: -5",
        "minus-zero": b"Content-Length: -0",
        "hexadecimal": b"Content-Length: 0x5",
        "inner-space": b"Content-Length: 0 5",
        "exponent": b"Content-Length: 5e0",
        "point": b"Content-Length: 5.0",
        "underscore": b"Content-Length: 0_5",
        "letters": b"Content-Length: five",
        "empty": b"Content-Length:",
        "blank": b"Content-Length:  ",
        "comma-first": b"Content-Length: ,5",
        "comma-last": b"Content-Length: 5,",
        "semicolon": b"Content-Length: 5;x",
        "quoted": b'Content-Length: "5"',
        "overflow-64": b"Content-Length: 18446744073709551621",
        "overflow-32-and-far": b"Content-Length: 79228162514264337593543950341",
        "nul": b"Content-Length: 5\x00",
        "vertical-tab": b"Content-Length: \x0b5",
        "arabic-digit": b"Content-Length: \xd9\xa5",
        "fullwidth-digit": b"Content-Length: \xef\xbc\x95",
        "folded": b"Content-Length:\r\n 5",
        "space-before-colon": b"Content-Length : 5",
        "space-before-name": b" Content-Length: 5",
        "feed-before": b"X: y\nContent-Length: 5",
        "return-before": b"X: y\rContent-Length: 5",
    }.items()
] + [
    _either("cl-two-same", _field(b"Content-Length: 5\r\nContent-Length: 5", b"hello"), _post(b"hello")),
    _either("cl-list-same", _field(b"Content-Length: 5, 5", b"hello"), _post(b"hello")),
    _either("cl-leading-zeros", _field(b"Content-Length: 0005", b"hello"), _post(b"hello")),
    _either("cl-blank-after", _field(b"Content-Length: 5 ", b"hello"), _post(b"hello")),
    _forwarded("cl-0-pipelined", _field(b"Content-Length: 0") + SMUGGLED, _post(b""), _get(b"/smuggled")),
    _forwarded("cl-underscore-name", _field(b"Content_Length: 5") + SMUGGLED, _post(b""), _get(b"/smuggled")),
    # CL.0 and 0.CL: what a backend that ignores the length of a GET would take for a second request is body.
    _forwarded(
        "cl-of-get",
        b"GET / HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        (b"GET", b"/", b"kept.test", SMUGGLED),
    ),
    _forwarded(
        "cl-of-options",
        b"OPTIONS / HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        (b"OPTIONS", b"/", b"kept.test", SMUGGLED),
    ),
    _forwarded(
        "expect-with-cl",
        POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        _post(SMUGGLED),
    ),
    _either(
        "expect-odd",
        POST + b"Expect: y 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        _post(SMUGGLED),
    ),
]

_CHUNKED_HEAD = POST + b"Transfer-Encoding: chunked\r\n\r\n"
_CHUNKS = [
    _cut(f"chunk-{name}", _CHUNKED_HEAD + body)
    for name, body in {
        "plus": b"+2\r\nhi\r\n" + CHUNKS,
        "minus": b"-2\r\nhi\r\n" + CHUNKS,
        "0x": b"0x2\r\nhi\r\n" + CHUNKS,
        "0x0": b"0x0\r\n\r\n" + SMUGGLED,
        "underscore": b"0_2\r\nhi\r\n" + CHUNKS,
        "leading-space": b" 2\r\nhi\r\n" + CHUNKS,
        "leading-tab": b"\t2\r\nhi\r\n" + CHUNKS,
        "trailing-letter": b"2g\r\nhi\r\n" + CHUNKS,
        "empty-size": b"\r\nhi\r\n" + CHUNKS,
        "only-extension": b";a\r\nhi\r\n" + CHUNKS,
        "overflow-64": b"10000000000000002\r\nhi\r\n" + CHUNKS,
        "overflow-64-zero": b"10000000000000000\r\n\r\n" + SMUGGLED,
        "overflow-far": b"F" * 40 + b"2\r\nhi\r\n" + CHUNKS,
        "nul-in-size": b"2\x00\r\nhi\r\n" + CHUNKS,
        "size-lf": b"2\nhi\r\n" + CHUNKS,
        "size-cr": b"2\rhi\r\n" + CHUNKS,
        "size-cr-x-lf": b"2\rX\nhi\r\n" + CHUNKS,
        "data-lf": b"2\r\nhi\n" + CHUNKS,
        "data-cr": b"2\r\nhi\r" + CHUNKS,
        "data-none": b"2\r\nhi" + CHUNKS,
        "data-longer": b"2\r\nhiXX\r\n" + CHUNKS,
        "data-any-two": b"2\r\nhiXX0\r\n\r\n" + SMUGGLED,
        "data-shorter": b"5\r\nhi\r\n",
        "last-lf": b"2\r\nhi\r\n0\n\n" + SMUGGLED,
        "last-crlf-lf": b"2\r\nhi\r\n0\r\n\n" + SMUGGLED,
        "last-cr": b"2\r\nhi\r\n0\r\r" + SMUGGLED,
        "last-missing": b"2\r\nhi\r\n",
        "last-half": b"2\r\nhi\r\n0\r\n",
        "extension-lf": b"2;a\nhi\r\n" + CHUNKS,
        "extension-cr": b"2;a\rb\r\nhi\r\n" + CHUNKS,
        "extension-lf-chunk": b"2;\nxx\r\n4c\r\n0\r\n\r\n" + SMUGGLED,
        "extension-nul": b"2;a\x00\r\nhi\r\n" + CHUNKS,
        "extension-quoted-lf": b'2;a="\n"\r\nhi\r\n' + CHUNKS,
        "extension-quoted-crlf": b'2;a="\r\n"\r\nhi\r\n' + CHUNKS,
        "trailer-smuggled": b"2\r\nhi\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "trailer-folded": b"2\r\nhi\r\n0\r\nX: a\r\n b\r\n\r\n" + SMUGGLED,
        "trailer-lf": b"2\r\nhi\r\n0\r\nX: a\nY: b\r\n\r\n" + SMUGGLED,
        "trailer-space-colon": b"2\r\nhi\r\n0\r\nX : a\r\n\r\n" + SMUGGLED,
        "trailer-nul": b"2\r\nhi\r\n0\r\nX: a\x00\r\n\r\n" + SMUGGLED,
    }.items()
] + [
    _forwarded("chunk-leading-zeros", _CHUNKED_HEAD + b"00000002\r\nhi\r\n000\r\n\r\n", _post(b"hi")),
    _forwarded("chunk-capitals", _CHUNKED_HEAD + b"A\r\n0123456789\r\n0\r\n\r\n", _post(b"0123456789")),
    _forwarded("chunk-extension", _CHUNKED_HEAD + b'2;a=b;c="d;e"\r\nhi\r\n0;f\r\n\r\n', _post(b"hi")),
    _forwarded("chunk-extension-size", _CHUNKED_HEAD + b"2;5\r\nhi\r\n0\r\n\r\n", _post(b"hi")),
    _either("chunk-extension-bare", _CHUNKED_HEAD + b"2;\r\nhi\r\n0\r\n\r\n", _post(b"hi")),
    _either("chunk-space-extension", _CHUNKED_HEAD + b"2 ; a = b\r\nhi\r\n0\r\n\r\n", _post(b"hi")),
    _either("chunk-trailing-space", _CHUNKED_HEAD + b"2 \r\nhi\r\n0\r\n\r\n", _post(b"hi")),
    _forwarded("chunk-pipelined", _CHUNKED_HEAD + b"2\r\nhi\r\n" + CHUNKS, _post(b"hi"), _get(b"/smuggled")),
    _forwarded(
        "chunk-holding-a-request",
        _CHUNKED_HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        _post(SMUGGLED),
    ),
    _forwarded("trailer-known", _CHUNKED_HEAD + b"2\r\nhi\r\n0\r\nHost: evil.test\r\n\r\n", _post(b"hi")),
    _either("trailer-length", _CHUNKED_HEAD + b"2\r\nhi\r\n0\r\nContent-Length: 44\r\n\r\n", _post(b"hi")),
]

_LINES = [
    _refused(name, data)
    for name, data in {
        "lf-only": b"GET / HTTP/1.1\nHost: kept.test\n\n",
        "lf-request-line": b"GET / HTTP/1.1\nHost: kept.test\r\n\r\n",
        "lf-field": b"GET / HTTP/1.1\r\nHost: kept.test\nX: y\r\n\r\n",
        "lf-end": b"GET / HTTP/1.1\r\nHost: kept.test\r\n\n" + SMUGGLED,
        "lf-lf-end": b"GET / HTTP/1.1\r\nHost: kept.test\n\n" + SMUGGLED,
        "cr-only": b"GET / HTTP/1.1\rHost: kept.test\r\r",
        "cr-field": b"GET / HTTP/1.1\r\nHost: kept.test\rX: y\r\n\r\n",
        "cr-cr-lf": b"GET / HTTP/1.1\r\r\nHost: kept.test\r\n\r\n",
        "cr-end": b"GET / HTTP/1.1\r\nHost: kept.test\r\n\r\rGET /smuggled HTTP/1.1\r\n\r\n",
        "lf-cr": b"GET / HTTP/1.1\n\rHost: kept.test\n\r\n\r",
        "folded-field": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX: a\r\n b\r\n\r\n",
        "folded-host": b"GET / HTTP/1.1\r\nHost:\r\n kept.test\r\n\r\n",
        "folded-first": b"GET / HTTP/1.1\r\n X: a\r\nHost: kept.test\r\n\r\n",
        "no-name": b"GET / HTTP/1.1\r\nHost: kept.test\r\n: a\r\n\r\n",
        "no-colon": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX\r\n\r\n",
        "nul-in-value": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX: a\x00b\r\n\r\n",
        "bell-in-value": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX: a\x07b\r\n\r\n",
        "del-in-value": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX: a\x7fb\r\n\r\n",
        "parenthesis-in-name": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX(: a\r\n\r\n",
        "high-byte-in-name": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX\xe9: a\r\n\r\n",
        "nul-first": b"\x00GET / HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "space-first": b" GET / HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "tab": b"GET\t/\tHTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "space-in-target": b"GET /a b HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "tab-in-target": b"GET /a\tb HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "nul-in-target": b"GET /a\x00b HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "high-byte-in-target": b"GET /a\xe9b HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "return-in-target": b"GET /a\rb HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "fragment": b"GET /a#b HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "version-in-target": b"GET / HTTP/1.1 HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "space-after-version": b"GET / HTTP/1.1 \r\nHost: kept.test\r\n\r\n",
        "lower-case-version": b"GET / http/1.1\r\nHost: kept.test\r\n\r\n",
        "version-1.2": b"GET / HTTP/1.2\r\nHost: kept.test\r\n\r\n",
        "version-1.10": b"GET / HTTP/1.10\r\nHost: kept.test\r\n\r\n",
        "version-01.1": b"GET / HTTP/01.1\r\nHost: kept.test\r\n\r\n",
        "version-2.0": b"GET / HTTP/2.0\r\nHost: kept.test\r\n\r\n",
        "version-9.9": b"GET / HTTP/9.9\r\nHost: kept.test\r\n\r\n",
        "version-comma": b"GET / HTTP/1,1\r\nHost: kept.test\r\n\r\n",
        "version-ice": b"GET / ICE/1.0\r\nHost: kept.test\r\n\r\n",
        "0.9": b"GET /\r\n",
        "0.9-fields": b"GET /\r\nHost: kept.test\r\n\r\n",
        "version-0.9": b"GET / HTTP/0.9\r\nHost: kept.test\r\n\r\n",
        "http2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
        "lower-case-method": b"get / HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "method-only": b"GET\r\nHost: kept.test\r\n\r\n",
        "response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "relative-target": b"GET a HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "empty-target": b"GET ?a HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "asterisk-get": b"GET * HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "backslash-target": b"GET \\a HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        "half-head": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX: y",
        "garbage-then-request": b"\r\n\x01\r\n" + SMUGGLED,
        "refused-then-request": b"GET / HTTP/1.1\r\nHost: kept.test\r\nX : y\r\n\r\n" + SMUGGLED,
        "refused-with-body-then-request": _field(b"Content-Length: x", b"hello") + SMUGGLED,
    }.items()
] + [
    # RFC 9112 section 3 lets recipients take several blanks for one.
    _either("two-spaces", b"GET  / HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get()),
    _either("space-before-version", b"GET /  HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get()),
    _unroutable("connect", b"CONNECT kept.test:443 HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _unroutable("connect-url", b"CONNECT http://kept.test/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused(
        "connect-with-body", b"CONNECT kept.test:443 HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nhello" + SMUGGLED
    ),
    _refused("connect-pipelined", b"CONNECT http://kept.test/any HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED),
    *(
        _refused(f"method-{name}", b"%b / HTTP/1.1\r\nHost: kept.test\r\n\r\n" % method)
        for name, method in {"unknown": b"FOO", "odd": b"a!b", "of-rtsp": b"SETUP", "longer": b"GETT"}.items()
    ),
    _refused("rtsp", b"SETUP / RTSP/1.0\r\nHost: kept.test\r\n\r\n"),
    _refused("rtsp-1.1", b"DESCRIBE / RTSP/1.1\r\nHost: kept.test\r\n\r\n"),
    _forwarded(
        "trace-with-body",
        b"TRACE / HTTP/1.1\r\n" + H + b"Content-Length: 2\r\n\r\nhi",
        (b"TRACE", b"/", b"kept.test", b"hi"),
    ),
    _forwarded(
        "query", b"QUERY / HTTP/1.1\r\n" + H + b"Content-Length: 2\r\n\r\nhi", (b"QUERY", b"/", b"kept.test", b"hi")
    ),
    _unroutable("connect-path", b"CONNECT / HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _either("version-rtsp", b"GET / RTSP/1.0\r\nHost: kept.test\r\n\r\n", _get()),
    _forwarded("blank-lines-first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get()),
    _forwarded("pipelined", SMUGGLED * 3, *[_get(b"/smuggled")] * 3),
    _forwarded("pipelined-with-blank-line", SMUGGLED + b"\r\n" + SMUGGLED, *[_get(b"/smuggled")] * 2),
    _either(
        "asterisk-options", b"OPTIONS * HTTP/1.1\r\nHost: kept.test\r\n\r\n", (b"OPTIONS", b"*", b"kept.test", b"")
    ),
]

_HOSTS = [
    _unroutable(f"host-{name}", data)
    for name, data in {
        "none": b"GET /any HTTP/1.1\r\nX: y\r\n\r\n",
        "two-same": b"GET /any HTTP/1.1\r\nHost: kept.test\r\nHost: kept.test\r\n\r\n",
        "two-different": b"GET /any HTTP/1.1\r\nHost: kept.test\r\nhost: evil.test\r\n\r\n",
        "two-second-bad": b"GET /any HTTP/1.1\r\nHost: kept.test\r\nHost:\r\n\r\n",
        "list": b"GET /any HTTP/1.1\r\nHost: kept.test, evil.test\r\n\r\n",
        "space-inside": b"GET /any HTTP/1.1\r\nHost: kept.test evil.test\r\n\r\n",
        "userinfo": b"GET /any HTTP/1.1\r\nHost: evil@kept.test\r\n\r\n",
        "slash": b"GET /any HTTP/1.1\r\nHost: kept.test/evil\r\n\r\n",
        "query": b"GET /any HTTP/1.1\r\nHost: kept.test?x\r\n\r\n",
        "fragment": b"GET /any HTTP/1.1\r\nHost: kept.test#x\r\n\r\n",
        "backslash": b"GET /any HTTP/1.1\r\nHost: kept.test\\x\r\n\r\n",
        "port-letters": b"GET /any HTTP/1.1\r\nHost: kept.test:8o\r\n\r\n",
        "port-twice": b"GET /any HTTP/1.1\r\nHost: kept.test:80:81\r\n\r\n",
        "port-sign": b"GET /any HTTP/1.1\r\nHost: kept.test:+80\r\n\r\n",
        "scheme": b"GET /any HTTP/1.1\r\nHost: http://kept.test\r\n\r\n",
        "space-before-colon": b"GET /any HTTP/1.1\r\nHost : kept.test\r\n\r\n",
        "high-byte": b"GET /any HTTP/1.1\r\nHost: kept.test\xff\r\n\r\n",
        "not-ascii": b"GET /any HTTP/1.1\r\nHost: k\xc3\xa9pt.test\r\n\r\n",
        "encoded": b"GET /any HTTP/1.1\r\nHost: kept%2etest\r\n\r\n",
        "semicolon": b"GET /any HTTP/1.1\r\nHost: kept.test;x\r\n\r\n",
        "empty-label": b"GET /any HTTP/1.1\r\nHost: kept..test\r\n\r\n",
        "dot-first": b"GET /any HTTP/1.1\r\nHost: .kept.test\r\n\r\n",
        "dot": b"GET /any HTTP/1.1\r\nHost: .\r\n\r\n",
        "port-only": b"GET /any HTTP/1.1\r\nHost: :80\r\n\r\n",
        "port-too-large": b"GET /any HTTP/1.1\r\nHost: kept.test:65536\r\n\r\n",
        "port-too-long": b"GET /any HTTP/1.1\r\nHost: kept.test:000080\r\n\r\n",
        "ipv6-without-brackets": b"GET /any HTTP/1.1\r\nHost: ::1\r\n\r\n",
        "ipv6-not-closed": b"GET /any HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "ipv6-not-an-address": b"GET /any HTTP/1.1\r\nHost: [1::2::3]\r\n\r\n",
        "ipv6-zone": b"GET /any HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n",
        "ipv6-zone-encoded": b"GET /any HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n",
        "ipv6-then-name": b"GET /any HTTP/1.1\r\nHost: [::1]kept.test\r\n\r\n",
        "ipv-future": b"GET /any HTTP/1.1\r\nHost: [v1.kept]\r\n\r\n",
        "control": b"GET /any HTTP/1.1\r\nHost: kept.\x01test\r\n\r\n",
    }.items()
] + [
    _refused("host-second-spaced", b"GET /any HTTP/1.1\r\nHost: kept.test\r\nHost : evil.test\r\n\r\n"),
    _refused("host-second-folded", b"GET /any HTTP/1.1\r\n Host: evil.test\r\nHost: kept.test\r\n\r\n"),
    _forwarded("host-like", b"GET /any HTTP/1.1\r\nHost: kept.test\r\nX-Host: evil.test\r\n\r\n", _get(b"/any")),
    _forwarded("host-blank-after", b"GET /any HTTP/1.1\r\nHost: kept.test \t\r\n\r\n", _get(b"/any")),
    # An empty Host is one (RFC 9110 section 7.2); and so are these, which go as they came.
    _forwarded("host-empty", b"GET /any HTTP/1.1\r\nHost:\r\n\r\n", _get(b"/any", b"")),
    *(
        _forwarded(f"host-{name}", b"GET /any HTTP/1.1\r\nHost: %b\r\n\r\n" % host, _get(b"/any", host))
        for name, host in {
            "capitals": b"KEPT.Test",
            "trailing-dot": b"kept.test.",
            "empty-port": b"kept.test:",
            "port-0": b"kept.test:0",
            "ipv6": b"[2001:DB8::1]:81",
            "ipv6-of-ipv4": b"[::ffff:192.0.2.1]",
            "underscore": b"a_b.test",
        }.items()
    ),
    _forwarded("host-blank-before", b"GET /any HTTP/1.1\r\nHost:kept.test\r\n\r\n", _get(b"/any")),
]

_TARGETS = [
    # RFC 9112 section 3.2.2: the target's authority counts, and Host is made to agree.
    Vector(
        "absolute-host-differs",
        b"GET http://kept.test/a HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Fate.EITHER,
        (_get(b"/a"),),
    ),
    _refused("absolute-without-host", b"GET http://kept.test/any HTTP/1.1\r\nX: y\r\n\r\n"),
    _refused("absolute-two-hosts", b"GET http://kept.test/any HTTP/1.1\r\nHost: kept.test\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-userinfo", b"GET http://evil@kept.test/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-empty", b"GET http:///any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-one-slash", b"GET http:/kept.test/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-backslash", b"GET http://kept.test\\@evil.test/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-fragment", b"GET http://kept.test/any#b HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-other-scheme", b"GET gopher://kept.test/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-password", b"GET http://a:b@kept.test/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _refused("absolute-no-scheme", b"GET kept.test/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _unroutable("absolute-zone", b"GET http://[fe80::1%25eth0]/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _unroutable("absolute-encoded-host", b"GET http://kept%2etest/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _unroutable("absolute-port-too-large", b"GET http://kept.test:99999/any HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _forwarded("absolute-ipv6", b"GET http://[::1]/any HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"/any", b"[::1]")),
    _forwarded("absolute-without-path", b"GET http://kept.test?a HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"/?a")),
    _unroutable("absolute-dots", b"GET http://kept.test/a/../b HTTP/1.1\r\nHost: kept.test\r\n\r\n"),
    _either("absolute-https", b"GET https://kept.test/a HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"/a")),
    _forwarded("absolute-same", b"GET http://kept.test/a HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"/a")),
    _forwarded("double-slash", b"GET //evil.test/a HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"//evil.test/a")),
    _forwarded("encoded-slash", b"GET /a%2Fb%2f%5c HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"/a%2Fb%2f%5c")),
    _forwarded(
        "encoded-end",
        b"GET /%20HTTP/1.1%0d%0aX:%20y HTTP/1.1\r\nHost: kept.test\r\n\r\n",
        _get(b"/%20HTTP/1.1%0d%0aX:%20y"),
    ),
    _forwarded("encoded-twice", b"GET /%252e%252e/a HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"/%252e%252e/a")),
    _forwarded("dots-in-query", b"GET /?/../a HTTP/1.1\r\nHost: kept.test\r\n\r\n", _get(b"/?/../a")),
    *(
        _unroutable(f"dots-{number}", b"GET %b HTTP/1.1\r\nHost: kept.test\r\n\r\n" % target)
        for number, target in enumerate(
            (b"/../a", b"/a/..", b"/%2e%2e/a", b"/.%2E/a", b"/%2e/a", b"/a/.", b"/a/%2e%2E?q", b"/..;/a/..")
        )
    ),
]

# An upgrade ends HTTP for a parser, and its body becomes the next request, though nobody has agreed to it.
_ASKED = POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
_WEBSOCKET = (
    H + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_UPGRADES = [
    _forwarded("upgrade-length", _ASKED + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, _post(SMUGGLED)),
    _forwarded(
        "upgrade-chunked",
        _ASKED + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        _post(SMUGGLED),
    ),
    _forwarded(
        "upgrade-get-with-body",
        _ASKED.replace(b"POST", b"GET") + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        (b"GET", b"/", b"kept.test", SMUGGLED),
    ),
    _forwarded("upgrade-without-body", _ASKED + b"Content-Length: 0\r\n\r\n", _post(b"")),
    _refused("upgrade-websocket-post", _ASKED.replace(b"h2c", b"websocket") + b"Content-Length: 3\r\n\r\nabc"),
    _refused(
        "upgrade-websocket-chunked",
        b"GET / HTTP/1.1\r\n" + _WEBSOCKET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    ),
    _refused(
        "upgrade-websocket-length", b"GET / HTTP/1.1\r\n" + _WEBSOCKET + b"Content-Length: 3\r\n\r\nabc" + SMUGGLED
    ),
    _refused("upgrade-websocket-version", b"GET / HTTP/1.1\r\n" + _WEBSOCKET.replace(b"13", b"8") + b"\r\n" + SMUGGLED),
    _refused(
        "upgrade-websocket-no-key", b"GET / HTTP/1.1\r\n" + _WEBSOCKET.replace(b"-Key", b"-Kay") + b"\r\n" + SMUGGLED
    ),
    # To HTTP/1.0 an upgrade means nothing, and neither does one that Connection does not name.
    _forwarded("upgrade-1.0", b"GET / HTTP/1.0\r\n" + _WEBSOCKET + b"\r\n", _get()),
    _forwarded(
        "upgrade-not-named",
        b"GET / HTTP/1.1\r\n" + _WEBSOCKET.replace(b"Connection: Upgrade", b"Connection: x") + b"\r\n" + SMUGGLED,
        _get(),
        _get(b"/smuggled"),
    ),
    _forwarded("upgrade-unknown-pipelined", _ASKED + b"\r\n" + SMUGGLED, _post(b""), _get(b"/smuggled")),
    _refused("upgrade-and-both-framings", _ASKED + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
]

VECTORS = [
    *_LENGTH_AND_CODING,
    *_CODINGS,
    *_HIDDEN_CODINGS,
    *_LENGTHS,
    *_CHUNKS,
    *_LINES,
    *_HOSTS,
    *_TARGETS,
    *_UPGRADES,
]
