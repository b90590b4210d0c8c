"""What comes is passed on as it comes, for as long as it takes, and not any longer than somebody wants it."""

from __future__ import annotations

import time

import pytest
from fidelity_bytes import CHUNKED, LAST_CHUNK, asked, chunk, told
from fidelity_sockets import RawSocket
from fidelity_wire import Wire

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
POST = b"POST"

LONG_S = 600.0
"""Longer than any timeout there is."""

STALL_S = 60.0
"""Longer than ``upload_stall_s``."""


def check_cancelled(upstream: RawSocket) -> None:
    """The upstream is told within a second that nobody wants its answer."""
    start = time.monotonic()
    upstream.ended()
    assert time.monotonic() - start < 1


@pytest.mark.fidelity("H-STREAM-RESPONSE")
@pytest.mark.parametrize(
    "kind", [b"text/event-stream", b"application/json", b"application/octet-stream", b"text/html", b"video/mp4", b""]
)
def test_response_is_passed_on_piece_by_piece(wire: Wire, kind: bytes) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()
    head = b"content-type: " + kind + b"\r\n" if kind else b""

    upstream.say(b"HTTP/1.1 200 OK\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\n" + head + CHUNKED + b"\r\n"
    for piece in (b"x", b"data: 1\n\n", b"\n"):
        upstream.say(chunk(piece))
        assert visitor.take(len(chunk(piece))) == chunk(piece)


@pytest.mark.fidelity("H-STREAM-RESPONSE")
def test_response_with_a_length_is_passed_on_piece_by_piece(wire: Wire) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()

    upstream.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    for piece in (b"abc", b"d", b"efghi"):
        upstream.say(piece)
        assert visitor.take(len(piece)) == piece


@pytest.mark.fidelity("H-STREAM-REQUEST")
def test_request_is_passed_on_piece_by_piece(wire: Wire) -> None:
    fields = b"content-length: 100000\r\n"
    visitor = wire.visit(asked(fields, method=POST))
    upstream = wire.upstream()
    assert upstream.head() == told(fields, method=POST)

    for piece in (b"abc", b"d", b"efghi"):
        visitor.say(piece)
        assert upstream.take(len(piece)) == piece


@pytest.mark.fidelity("H-STREAM-BOTH")
def test_both_directions_stream_at_the_same_time(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: chunked\r\n", method=POST))
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    visitor.head()

    for piece in (b"one", b"two", b"three"):
        visitor.say(chunk(piece))
        assert upstream.take(len(chunk(piece))) == chunk(piece)
        upstream.say(chunk(piece.upper()))
        assert visitor.take(len(chunk(piece))) == chunk(piece.upper())
    visitor.say(LAST_CHUNK)
    assert upstream.take(5) == LAST_CHUNK
    upstream.say(LAST_CHUNK)
    assert visitor.take(5) == LAST_CHUNK


@pytest.mark.fidelity("H-NO-TIMEOUT")
def test_answer_may_be_long_in_coming(wire: Wire) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()

    wire.pass_time(LONG_S)

    upstream.say(OK)
    assert visitor.take(len(OK)) == OK


@pytest.mark.fidelity("H-NO-TIMEOUT")
def test_streams_may_pause_for_long(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: chunked\r\n", method=POST))
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    visitor.head()

    for _ in range(3):
        wire.pass_time(LONG_S)
        visitor.say(chunk(b"up"))
        assert upstream.take(7) == chunk(b"up")
        upstream.say(chunk(b"down"))
        assert visitor.take(9) == chunk(b"down")


@pytest.mark.fidelity("H-NO-TIMEOUT")
def test_visitor_that_reads_slowly_is_not_cut(wire: Wire) -> None:
    size = 4 << 20
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    said = upstream.say_until_stuck(b"x" * 65536, most_bytes=size)

    wire.pass_time(LONG_S)

    visitor.head()
    assert visitor.take(said) == b"x" * said


@pytest.mark.fidelity("H-EARLY")
def test_answer_before_the_end_of_the_request_is_passed_on(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Content-Length: 100000\r\n", method=POST) + b"some")
    upstream = wire.upstream()
    upstream.head()
    upstream.take(4)

    upstream.say(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge")

    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 413 ")
    assert head.endswith(b"\r\ncontent-length: 5\r\nconnection: close\r\n\r\n")
    assert visitor.rest() == b"large"


@pytest.mark.fidelity("H-EARLY")
def test_rest_of_an_unread_body_is_no_request(wire: Wire) -> None:
    smuggled = asked(target=b"/smuggled")
    visitor = wire.visit(asked(b"Content-Length: %d\r\n" % (1000 + len(smuggled)), method=POST) + b"x" * 1000)
    upstream = wire.upstream()
    upstream.head()
    upstream.say(OK)
    assert visitor.head().endswith(b"\r\nconnection: close\r\n\r\n")
    assert visitor.take(2) == b"ok"

    visitor.say(smuggled + asked(target=b"/after"))

    assert visitor.ended() == b""
    wire.check_untouched()


@pytest.mark.fidelity("H-LEAVE")
@pytest.mark.parametrize("leaving", ["reset", "close"])
def test_visitor_that_leaves_before_the_answer_cancels_it(wire: Wire, leaving: str) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()

    getattr(visitor, leaving)()

    check_cancelled(upstream)


@pytest.mark.fidelity("H-LEAVE")
@pytest.mark.parametrize("leaving", ["reset", "close"])
@pytest.mark.parametrize("framing", [b"content-length: 100\r\n\r\nsome", CHUNKED + b"\r\n4\r\nsome\r\n"])
def test_visitor_that_leaves_during_the_answer_cancels_it(wire: Wire, leaving: str, framing: bytes) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 200 OK\r\n" + framing)
    visitor.until(b"some")

    getattr(visitor, leaving)()

    check_cancelled(upstream)


@pytest.mark.fidelity("H-LEAVE")
@pytest.mark.parametrize("leaving", ["reset", "close"])
def test_visitor_that_leaves_during_its_request_cancels_it(wire: Wire, leaving: str) -> None:
    visitor = wire.visit(asked(b"Content-Length: 100000\r\n", method=POST) + b"some")
    upstream = wire.upstream()
    upstream.head()
    upstream.take(4)

    getattr(visitor, leaving)()

    check_cancelled(upstream)


@pytest.mark.fidelity("H-LEAVE-STALLED")
def test_visitor_that_leaves_a_stalled_upload_is_found_gone_in_the_end(wire: Wire) -> None:
    size = 64 << 20
    with wire.reloaded(max_body_bytes=size):
        visitor = wire.visit(asked(b"Content-Length: %d\r\n" % size, method=POST, host=b"stalled.test"))
        upstream = wire.upstream(wire.stalled)
        upstream.head()
        assert visitor.say_until_stuck(b"x" * 65536, most_bytes=size) < size

        visitor.reset()
        wire.pass_time(STALL_S)

        check_cancelled(upstream)


@pytest.mark.fidelity("H-LEAVE-STALLED")
def test_visitor_that_leaves_requests_waiting_is_found_gone_in_the_end(wire: Wire) -> None:
    visitor = wire.visit(asked(target=b"/running") + asked(target=b"/waiting"))
    upstream = wire.upstream()
    assert upstream.head() == told(target=b"/running")

    visitor.reset()
    wire.pass_time(STALL_S)

    check_cancelled(upstream)
    wire.check_untouched()
