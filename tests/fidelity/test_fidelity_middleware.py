"""What middleware of the server's and of the client's rules changes on the wire, and what it leaves alone."""

from __future__ import annotations

import base64
import zlib

import pytest
from fidelity_bytes import CHUNKED, LAST_CHUNK, asked, chunk
from fidelity_wire import Wire
from websocket_bytes import TEXT, frame, hear_message, opened, opening

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FORWARDED = b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: %b\r\n"


@pytest.mark.fidelity("M-CHANGES")
def test_fields_and_path_are_changed_and_the_rest_is_as_it_came(wire: Wire) -> None:
    fields = b"X-Many: 1\r\nX-Secret: s\r\nx-many: 2\r\n"
    visitor = wire.visit(asked(fields, target=b"/api/a%2Fb?x=%20", host=b"mended.test"))
    upstream = wire.upstream()
    assert upstream.head() == (
        b"GET /a%2Fb?x=%20 HTTP/1.1\r\nhost: mended.test\r\nx-many: 1\r\nx-many: 2\r\n"
        + FORWARDED % b"mended.test"
        + b"x-edge: seen\r\nx-forwarded-prefix: /api\r\n\r\n"
    )
    upstream.say(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Internal: s\r\nContent-Length: 2\r\nX-B: \xfc\r\n\r\nok")
    assert visitor.head() == (
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ncontent-length: 2\r\nx-b: \xfc\r\nset-cookie: mark=1\r\n\r\n"
    )
    assert visitor.take(2) == b"ok"


@pytest.mark.fidelity("M-CHANGES")
def test_bodies_stream_through_it_both_ways(wire: Wire) -> None:
    visitor = wire.visit(asked(CHUNKED, method=b"POST", host=b"mended.test") + chunk(b"up"))
    upstream = wire.upstream()
    upstream.head()
    assert upstream.take(len(chunk(b"up"))) == chunk(b"up")
    upstream.say(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n" + chunk(b"down"))
    visitor.head()
    assert visitor.take(len(chunk(b"down"))) == chunk(b"down")
    visitor.say(LAST_CHUNK)
    assert upstream.take(5) == LAST_CHUNK
    upstream.say(LAST_CHUNK)
    assert visitor.take(5) == LAST_CHUNK


@pytest.mark.fidelity("M-CHANGES")
def test_websockets_pass_it(wire: Wire) -> None:
    visitor, upstream = opened(wire, host=b"mended.test")
    visitor.say(frame(TEXT, b"hello", masked=True))
    assert hear_message(upstream, masked=True) == (TEXT, b"hello")


@pytest.mark.fidelity("M-ANSWERS")
def test_what_middleware_answers_reaches_no_upstream(wire: Wire) -> None:
    moved = wire.visit(asked(target=b"/a%2Fb?x", host=b"moved.test"))
    head = moved.head()
    assert head.startswith(b"HTTP/1.1 302 Found\r\n")
    assert b"\r\nlocation: https://elsewhere.test/a%2Fb?x\r\n" in head

    for request in (asked(host=b"guarded.test"), opening(host=b"guarded.test")):
        refused = wire.visit(request).head()
        assert refused.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert b'\r\nwww-authenticate: Basic realm="tunnel"' in refused
    wire.check_untouched()


@pytest.mark.fidelity("M-ANSWERS")
def test_what_it_lets_pass_is_as_it_came(wire: Wire) -> None:
    given = b"Authorization: Basic %b\r\n" % base64.b64encode(b"ada:secret")
    visitor = wire.visit(asked(given, host=b"guarded.test"))
    upstream = wire.upstream()
    assert upstream.head() == (
        b"GET / HTTP/1.1\r\nhost: guarded.test\r\n%b" % given.replace(b"Authorization", b"authorization")
        + FORWARDED % b"guarded.test"
        + b"\r\n"
    )
    upstream.say(OK)
    assert visitor.head() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.fidelity("M-COMPRESSES")
def test_each_piece_is_compressed_as_it_comes(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Accept-Encoding: gzip\r\n", host=b"packed.test"))
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + CHUNKED + b"\r\n")
    inflate = zlib.decompressobj(wbits=31)
    for piece in (b"first", b"second"):
        upstream.say(chunk(piece))
        if piece == b"first":
            head = visitor.head()
            assert b"\r\ncontent-encoding: gzip\r\n" in head
            assert b"\r\nvary: accept-encoding\r\n" in head.lower()
        inflated = b""
        while inflated != piece:
            size = int(visitor.until(b"\r\n"), 16)
            inflated += inflate.decompress(visitor.take(size + 2)[:-2])
    upstream.say(LAST_CHUNK)
    assert visitor.until(b"0\r\n\r\n").endswith(LAST_CHUNK)


@pytest.mark.fidelity("M-COMPRESSES")
def test_visitor_that_does_not_want_it_gets_what_came(wire: Wire) -> None:
    visitor = wire.visit(asked(host=b"packed.test"))
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nplain")
    head = visitor.head()
    assert b"\r\ncontent-length: 5\r\n" in head
    assert b"content-encoding" not in head
    assert visitor.take(5) == b"plain"
