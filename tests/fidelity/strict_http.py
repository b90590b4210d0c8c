"""HTTP/1.1 messages read strictly, and independently of every parser that the product uses.

Reads what RFC 9112 has a sender generate and nothing beyond: CRLF alone ends lines, fields are not folded, a body is
framed by one Content-Length or by one ``chunked``, and a request names one host. Whatever a recipient may tolerate
beyond that is what recipients disagree on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Incomplete", "Malformed", "Request", "Response", "read_requests", "read_responses"]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/1\.(1)" % _TOKEN)
_TOLERABLE_LINE = re.compile(rb"(%b) +([\x21-\x7e]+) +(?:HTTP|RTSP)/1\.([01])" % _TOKEN)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5][0-9][0-9]) [\t \x21-\x7e\x80-\xff]*")
_FIELD = re.compile(
    rb"(%b):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*" % _TOKEN
)
_ORIGIN_FORM = re.compile(rb"/[!$-;=?-Z_a-z~\"<>\[\]\\^`{|}]*")
_ABSOLUTE_FORM = re.compile(rb"[hH][tT][tT][pP][sS]?://([^/?#@\\]+)(/[!$-;=?-Z_a-z~\"<>\[\]\\^`{|}]*|\?[!-~]*|)")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|\"[^\"\\\x00-\x08\x0a-\x1f\x7f]*\"))?)*)"
    % (_TOKEN, _TOKEN)
)
_TOLERABLE_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t -~\x80-\xff]*)?")
_NOT_IN_TRAILERS = {b"content-length", b"transfer-encoding", b"host", b"trailer"}


class Malformed(Exception):
    """These bytes are no message."""


class Incomplete(Exception):
    """There is the beginning of a message only."""


@dataclass
class Request:
    method: bytes
    target: bytes
    """In origin form, or ``*``; absolute forms are taken apart."""
    host: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def meaning(self) -> tuple[bytes, bytes, bytes, bytes]:
        """What is to be the same at both ends."""
        return self.method, self.target, self.host, self.body


@dataclass
class Response:
    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes
    closes: bool


class _Reader:
    def __init__(self, data: bytes, *, tolerant: bool = False) -> None:
        self.data = data
        self.at = 0
        self.tolerant = tolerant

    @property
    def left(self) -> bytes:
        return self.data[self.at :]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise Incomplete
        line = self.data[self.at : end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Malformed(line)
        self.at = end + 1
        return line[:-2]

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise Incomplete
        self.at += size
        return self.data[self.at - size : self.at]

    def fields(self) -> list[tuple[bytes, bytes]]:
        fields = []
        while line := self.line():
            if (found := _FIELD.fullmatch(line)) is None:
                raise Malformed(line)
            fields.append((found[1].lower(), found[2]))
        return fields

    def chunks(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        body = b""
        while True:
            line = self.line()
            if (found := (_TOLERABLE_CHUNK if self.tolerant else _CHUNK).fullmatch(line)) is None:
                raise Malformed(line)
            size = int(found[1], 16)
            if size == 0:
                trailers = self.fields()
                if not self.tolerant and _NOT_IN_TRAILERS & {name for name, _ in trailers}:
                    raise Malformed(trailers)
                return body, trailers
            body += self.take(size)
            if self.take(2) != b"\r\n":
                raise Malformed(self.left[:20])

    def request(self) -> Request:
        blank = (b"\r", b"\n") if self.tolerant else b"\r\n"
        while self.data.startswith(blank, self.at):  # RFC 9112 section 2.2
            self.at += 1 if self.tolerant else 2
        line = self.line()
        if (found := (_TOLERABLE_LINE if self.tolerant else _REQUEST_LINE).fullmatch(line)) is None:
            raise Malformed(line)
        method, target, version = found.groups()
        fields = self.fields()
        if version == b"0" and _values(fields, b"transfer-encoding"):
            raise Malformed(fields)  # RFC 9112 section 6.1
        hosts = _values(fields, b"host") or ([b""] if version == b"0" else [])
        if len(hosts) != 1:
            raise Malformed(hosts)
        host = hosts[0]
        if (absolute := _ABSOLUTE_FORM.fullmatch(target)) is not None:
            host, target = absolute.groups()  # RFC 9112 section 3.2.2: Host does not count
            target = target if target.startswith(b"/") else b"/" + target
        elif _ORIGIN_FORM.fullmatch(target) is None and (method, target) != (b"OPTIONS", b"*"):
            raise Malformed(target)
        if not self.tolerant and _HOST.fullmatch(host) is None:
            raise Malformed(host)
        body, trailers = self._body(fields, otherwise=0)
        return Request(method, target, host, fields, body, trailers)

    def response(self, method: bytes) -> Response:
        while (line := self.line()) == b"HTTP/1.1 100 Continue":
            if self.line():
                raise Malformed("an informational response with fields")
        if (found := _STATUS_LINE.fullmatch(line)) is None:
            raise Malformed(line)
        status = int(found[1])
        fields = self.fields()
        closes = b"close" in _values(fields, b"connection")
        if method == b"HEAD" or status in (204, 304):
            return Response(status, fields, b"", closes)
        body, _ = self._body(fields, otherwise=len(self.data) - self.at if closes else None)
        return Response(status, fields, body, closes)

    def _body(
        self, fields: list[tuple[bytes, bytes]], *, otherwise: int | None
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        lengths = _values(fields, b"content-length")
        codings = _values(fields, b"transfer-encoding")
        if codings and (lengths or [coding.lower() for coding in codings] != [b"chunked"]):
            raise Malformed(fields)
        if codings:
            return self.chunks()
        if not lengths:
            if otherwise is None:
                raise Malformed("a body without an end")
            return self.take(otherwise), []
        if len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
            raise Malformed(lengths)
        return self.take(int(lengths[0])), []


def read_requests(data: bytes, *, tolerant: bool = False) -> tuple[list[Request], Malformed | Incomplete | None]:
    """The requests at the beginning of ``data``, and why there are no more; None: nothing is left over.

    Args:
        data: What was said on one connection.
        tolerant: Take what is clear in spite of all: HTTP/1.0, RTSP for HTTP, several blanks for one in the request
            line (RFC 9112 section 3) and any line ends before it, one Host that is no host, any printable chunk
            extension, trailers that are none.
    """
    reader = _Reader(data, tolerant=tolerant)
    requests = []
    while reader.left.strip(b"\r\n") or (reader.left and not requests):
        try:
            requests.append(reader.request())
        except (Malformed, Incomplete) as why:
            return requests, why
    return requests, None


def read_responses(data: bytes, methods: list[bytes]) -> tuple[list[Response], bytes]:
    """The responses in ``data`` to requests with these methods, and what is left over.

    The method of a request that could not be read is not known; it counts as GET.

    Raises:
        Malformed: Something that is no response.
        Incomplete: The last one is.
    """
    reader = _Reader(data)
    responses: list[Response] = []
    while reader.left:
        method = methods[len(responses)] if len(responses) < len(methods) else b"GET"
        responses.append(reader.response(method))
        if responses[-1].closes:
            break
    return responses, reader.left


def _values(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for each, value in fields if each == name]
