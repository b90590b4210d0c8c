"""Where bodies end: of requests towards the upstream, of responses towards the visitor."""

from __future__ import annotations

import pytest
from fidelity_bytes import CHUNKED, LAST_CHUNK, asked, chunk, told
from fidelity_sockets import RawSocket
from fidelity_wire import Wire
from strict_http import read_responses

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
POST = b"POST"
EXPECT = b"Expect: 100-continue\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def get(wire: Wire, *, method: bytes = b"GET", version: int = 1) -> tuple[RawSocket, RawSocket]:
    """A visitor, and the upstream, which has heard the head."""
    visitor = wire.visit(asked(method=method, version=version))
    upstream = wire.upstream()
    assert upstream.head() == told(method=method)
    return visitor, upstream


def check_usable(wire: Wire, visitor: RawSocket) -> None:
    """The visitor's connection carries another exchange."""
    visitor.say(asked(target=b"/after"))
    upstream = wire.upstream()
    assert upstream.head() == told(target=b"/after")
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK


def expecting(wire: Wire, *, framing: bytes = b"Content-Length: 5\r\n") -> tuple[RawSocket, RawSocket]:
    """A visitor that waits to be asked for its body, and the upstream, which has heard the head."""
    visitor = wire.visit(asked(EXPECT + framing, method=POST))
    upstream = wire.upstream()
    heard = (b"expect: 100-continue\r\n" + framing.lower(), b"") if framing.startswith(b"C") else (EXPECT, CHUNKED)
    assert upstream.head() == told(heard[0].replace(b"Expect", b"expect"), method=POST, framing=heard[1])
    return visitor, upstream


# -- requests


@pytest.mark.fidelity("H-REQUEST-LENGTH")
@pytest.mark.parametrize("size", [1, 5, 40_000, 300_000])
def test_request_with_a_length_keeps_it(wire: Wire, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    head = b"Content-Length: %d\r\n" % size
    visitor = wire.visit(asked(head, method=POST) + body)

    upstream = wire.upstream()
    assert upstream.head() == told(head.lower(), method=POST)
    assert upstream.take(size) == body
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-REQUEST-CHUNKED")
def test_request_in_chunks_stays_in_chunks(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: chunked\r\n", method=POST))
    upstream = wire.upstream()
    assert upstream.head() == told(method=POST, framing=CHUNKED)

    for piece in (b"a", b"\r\n0\r\n\r\n", b"x" * 0x1A):
        visitor.say(chunk(piece))
        assert upstream.take(len(chunk(piece))) == chunk(piece)
    visitor.say(LAST_CHUNK)

    assert upstream.take(5) == LAST_CHUNK
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-REQUEST-CHUNKED")
def test_small_request_in_chunks_that_came_whole_may_be_told_its_length(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: chunked\r\n", method=POST) + chunk(b"abc") + LAST_CHUNK)
    upstream = wire.upstream()
    head = upstream.head()
    if head == told(method=POST, framing=CHUNKED):
        assert upstream.take(len(chunk(b"abc") + LAST_CHUNK)) == chunk(b"abc") + LAST_CHUNK
    else:
        assert head == told(method=POST, framing=b"content-length: 3\r\n")
        assert upstream.take(3) == b"abc"
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-REQUEST-CHUNKED")
def test_chunks_are_written_anew(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: Chunked\r\n", method=POST))
    upstream = wire.upstream()
    upstream.head()

    visitor.say(b'00003;name=value;quoted="a;b"\r\nabc\r\n')
    assert upstream.take(8) == b"3\r\nabc\r\n"
    visitor.say(b"0000;last\r\n\r\n")
    assert upstream.take(5) == LAST_CHUNK


@pytest.mark.fidelity("H-REQUEST-TRAILERS")
def test_trailers_of_a_request_stay_trailers(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Trailer: X-Sum\r\nX-Head: 0\r\nTransfer-Encoding: chunked\r\n", method=POST))
    upstream = wire.upstream()
    assert upstream.head() == told(b"trailer: X-Sum\r\nx-head: 0\r\n", method=POST, framing=CHUNKED)

    visitor.say(chunk(b"body") + b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n")

    assert upstream.take(len(chunk(b"body"))) == chunk(b"body")
    assert upstream.until(b"\r\n\r\n").lower() == b"0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n"
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-REQUEST-TRAILERS")
def test_trailers_cannot_pass_for_fields_of_the_head(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: chunked\r\n", method=POST))
    upstream = wire.upstream()
    assert upstream.head() == told(method=POST, framing=CHUNKED)

    visitor.say(chunk(b"body") + b"0\r\nHost: evil.test\r\nAuthorization: Bearer x\r\nCookie: a=1\r\n\r\n")

    assert upstream.take(len(chunk(b"body"))) == chunk(b"body")
    assert upstream.take(5) == LAST_CHUNK
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK


@pytest.mark.fidelity("H-REQUEST-TRAILERS")
@pytest.mark.parametrize("trailer", [b"Content-Length: 5", b"Transfer-Encoding: gzip", b"bad name: 1", b"X: a\0b"])
def test_request_with_trailers_that_are_none_is_left_without_them_or_cut(wire: Wire, trailer: bytes) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: chunked\r\n", method=POST))
    upstream = wire.upstream()
    assert upstream.head() == told(method=POST, framing=CHUNKED)

    visitor.say(chunk(b"body"))
    # A request that is cut may lose what was on its way.
    assert upstream.take(len(chunk(b"body"))) == chunk(b"body")

    visitor.say(b"0\r\n" + trailer + b"\r\n\r\n")

    visitor.half_close()
    if upstream.heard or (first := upstream.socket.recv(1 << 16)):
        upstream.heard += first
        assert upstream.take(5) == LAST_CHUNK


@pytest.mark.fidelity("H-REQUEST-NONE")
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
def test_request_without_a_body_gets_no_framing(wire: Wire, method: bytes) -> None:
    wire.visit(asked(method=method))

    upstream = wire.upstream()
    assert upstream.head() == told(method=method)
    assert upstream.is_quiet()


@pytest.mark.fidelity("H-REQUEST-NONE")
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
def test_empty_body_where_one_is_expected_says_so(wire: Wire, method: bytes) -> None:
    wire.visit(asked(method=method))

    upstream = wire.upstream()
    assert upstream.head() == told(method=method, framing=b"content-length: 0\r\n")
    assert upstream.is_quiet()


@pytest.mark.fidelity("H-EXPECT")
@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"Content-Length: 5\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", chunk(b"hello") + LAST_CHUNK)],
)
def test_expected_body_is_asked_for_when_the_upstream_asks_for_it(wire: Wire, framing: bytes, body: bytes) -> None:
    visitor, upstream = expecting(wire, framing=framing)
    wire.check_untouched()
    assert visitor.is_quiet()

    upstream.say(CONTINUE)
    assert visitor.head() == CONTINUE
    visitor.say(body)

    assert upstream.take(len(body)) == body
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-EXPECT")
def test_expected_body_is_asked_for_when_the_upstream_says_nothing_for_a_second(wire: Wire) -> None:
    visitor, upstream = expecting(wire)
    wire.pass_time(0.9)
    assert visitor.is_quiet()

    wire.pass_time(0.2)

    assert visitor.head() == CONTINUE
    visitor.say(b"hello")
    assert upstream.take(5) == b"hello"


@pytest.mark.fidelity("H-EXPECT")
def test_body_that_comes_unasked_is_not_waited_for(wire: Wire) -> None:
    visitor, upstream = expecting(wire)

    visitor.say(b"he")
    upstream.say(CONTINUE)
    assert upstream.take(2) == b"he"
    visitor.say(b"llo")
    assert upstream.take(3) == b"llo"

    upstream.say(OK)
    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-EXPECT")
def test_expectation_that_comes_with_its_body_is_left_out(wire: Wire) -> None:
    visitor = wire.visit(asked(EXPECT + b"Content-Length: 5\r\n", method=POST) + b"hello")

    upstream = wire.upstream()
    assert upstream.head() == told(b"content-length: 5\r\n", method=POST)
    assert upstream.take(5) == b"hello"
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK


@pytest.mark.fidelity("H-EXPECT-ANSWERED")
@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"401 Unauthorized", b"200 OK"])
def test_upstream_that_answers_instead_leaves_the_body_with_the_visitor(wire: Wire, status: bytes) -> None:
    visitor, upstream = expecting(wire)

    upstream.say(b"HTTP/1.1 %b\r\nx-why: a\r\ncontent-length: 2\r\n\r\nno" % status)

    head = b"HTTP/1.1 %b\r\nx-why: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno" % status
    assert visitor.rest() == head
    assert upstream.ended() == b""


@pytest.mark.fidelity("H-EXPECT-1.0")
def test_body_is_asked_for_at_once_where_the_upstream_is_known_to_speak_http10(wire: Wire) -> None:
    visitor, upstream = expecting(wire)
    wire.pass_time(1.1)
    assert visitor.head() == CONTINUE
    visitor.say(b"hello")
    assert upstream.take(5) == b"hello"
    upstream.say(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert visitor.take(len(OK)) == OK

    visitor.say(asked(EXPECT + b"Content-Length: 5\r\n", method=POST))
    upstream = wire.upstream()
    assert upstream.head() == told(b"content-length: 5\r\n", method=POST)
    assert visitor.head() == CONTINUE
    visitor.say(b"again")
    assert upstream.take(5) == b"again"
    upstream.say(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    assert visitor.take(len(OK)) == OK

    _, upstream = expecting(wire)
    upstream.say(OK)


@pytest.mark.fidelity("H-EXPECT-1.0")
def test_what_a_visitor_of_http10_expects_is_left_out(wire: Wire) -> None:
    visitor = wire.visit(asked(EXPECT + b"Content-Length: 50000\r\n", method=POST, version=0))

    upstream = wire.upstream()
    assert upstream.head() == told(b"content-length: 50000\r\n", method=POST)
    assert visitor.is_quiet()


@pytest.mark.fidelity("H-EXPECT-ANSWERED")
def test_body_that_nobody_wants_is_not_asked_for(wire: Wire) -> None:
    fields = b"Expect: 100-continue\r\nContent-Length: 5\r\n"
    visitor = wire.visit(asked(fields, method=POST, host=b"nobody.test"))

    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nconnection: close\r\n" in head
    visitor.close()
    wire.check_untouched()


@pytest.mark.fidelity("H-PIPELINE")
def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    visitor = wire.visit(b"".join(asked(target=b"/%d" % number) for number in range(3)))

    for number in range(3):
        upstream = wire.upstream()
        assert upstream.head() == told(target=b"/%d" % number)
        upstream.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number)
        assert visitor.head() + visitor.take(1) == b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number
    assert visitor.is_quiet()


@pytest.mark.fidelity("H-KEEP-ALIVE")
def test_connections_are_kept_at_both_ends(wire: Wire) -> None:
    visitor = wire.visitor()
    upstream: RawSocket | None = None
    for number in range(4):
        visitor.say(asked(b"Content-Length: 1\r\n", method=POST, host=b"kept.test") + b"%d" % number)
        upstream = upstream or wire.upstream(wire.kept)
        assert upstream.head() == told(b"content-length: 1\r\n", method=POST, host=b"kept.test")
        assert upstream.take(1) == b"%d" % number
        upstream.say(OK)
        assert visitor.take(len(OK)) == OK


@pytest.mark.fidelity("H-KEEP-ALIVE")
def test_upstream_connection_with_something_beyond_the_response_is_not_used_again(wire: Wire) -> None:
    visitor = wire.visit(asked(host=b"kept.test"))
    first = wire.upstream(wire.kept)
    first.head()
    first.say(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
    assert visitor.take(len(OK)) == OK

    visitor.say(asked(host=b"kept.test", target=b"/next"))

    second = wire.upstream(wire.kept)
    assert second.head() == told(host=b"kept.test", target=b"/next")
    second.say(OK)
    assert visitor.take(len(OK)) == OK


@pytest.mark.fidelity("H-KEEP-ALIVE")
@pytest.mark.parametrize(
    ("method", "said"),
    [
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2c\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\nH"),
    ],
)
def test_upstream_connection_that_may_have_more_to_say_is_not_used_again(
    wire: Wire, method: bytes, said: bytes
) -> None:
    visitor = wire.visit(asked(host=b"kept.test", method=method))
    first = wire.upstream(wire.kept)
    first.head()
    first.say(said)
    visitor.head()

    other = wire.visit(asked(host=b"kept.test", target=b"/next"))

    second = wire.upstream(wire.kept)
    assert second.head() == told(host=b"kept.test", target=b"/next")
    second.say(OK)
    assert other.take(len(OK)) == OK
    assert first.ended() == b""


@pytest.mark.fidelity("H-HALF-CLOSE")
def test_visitor_that_says_no_more_gets_its_answer(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Content-Length: 2\r\n", method=POST) + b"hi")
    visitor.half_close()

    upstream = wire.upstream()
    assert upstream.head() == told(b"content-length: 2\r\n", method=POST)
    assert upstream.take(2) == b"hi"
    upstream.say(OK)
    assert visitor.rest() in (OK, OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))


@pytest.mark.fidelity("H-HALF-CLOSE")
def test_visitor_that_says_no_more_gets_an_answer_that_pauses(wire: Wire) -> None:
    visitor = wire.visit(asked())
    visitor.half_close()
    upstream = wire.upstream()
    upstream.head()
    wire.pass_time(2)
    upstream.say(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n" + chunk(b"some"))
    head = visitor.head()
    wire.pass_time(2)

    upstream.say(chunk(b"more") + LAST_CHUNK)

    said = head + visitor.rest()
    (answer,), left = read_responses(said, [b"GET"])
    assert said.startswith(b"HTTP/1.1 200 OK\r\n" + CHUNKED)
    assert (answer.body, left) == (b"somemore", b"")


@pytest.mark.fidelity("H-HALF-CLOSE")
def test_request_that_is_cut_off_is_not_completed(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Content-Length: 5\r\n", method=POST) + b"hi")
    upstream = wire.upstream()
    assert upstream.head() == told(b"content-length: 5\r\n", method=POST)
    assert upstream.take(2) == b"hi"

    visitor.half_close()

    assert upstream.ended() == b""


# -- responses


@pytest.mark.fidelity("H-RESPONSE-LENGTH")
@pytest.mark.parametrize("size", [0, 2, 70_000])
def test_response_with_a_length_keeps_it(wire: Wire, size: int) -> None:
    visitor, upstream = get(wire)
    response = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size

    upstream.say(response)

    assert visitor.take(len(response)) == response
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-RESPONSE-CHUNKED")
def test_response_in_chunks_stays_in_chunks(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"

    for piece in (b"a", b"\r\n0\r\n\r\n", b"x" * 0x1A):
        upstream.say(chunk(piece))
        assert visitor.take(len(chunk(piece))) == chunk(piece)
    upstream.say(LAST_CHUNK)

    assert visitor.take(5) == LAST_CHUNK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-RESPONSE-CHUNKED")
def test_small_response_in_chunks_that_came_whole_may_be_told_its_length(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abc") + LAST_CHUNK)
    head = visitor.head()
    if head == b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n":
        assert visitor.take(len(chunk(b"abc") + LAST_CHUNK)) == chunk(b"abc") + LAST_CHUNK
    else:
        assert head == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        assert visitor.take(3) == b"abc"
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-STATUS")
def test_reason_phrase_is_ours(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n")
    assert visitor.head() == b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.fidelity("H-RESPONSE-EOF")
def test_response_that_ends_with_its_connection_is_sent_in_chunks(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"

    upstream.say(b"some")
    assert visitor.take(9) == chunk(b"some")
    upstream.half_close()

    assert visitor.take(5) == LAST_CHUNK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-RESPONSE-TRAILERS")
def test_trailers_of_a_response_stay_trailers(wire: Wire) -> None:
    visitor = wire.visit(asked(b"TE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n"))
    upstream = wire.upstream()
    # Without being asked some servers send no trailers.
    assert upstream.head() == told(framing=b"connection: TE\r\nte: trailers\r\n")
    upstream.say(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\ntrailer: X-Sum\r\n" + CHUNKED + b"\r\n"

    upstream.say(chunk(b"body") + b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n")

    assert visitor.take(len(chunk(b"body"))) == chunk(b"body")
    assert visitor.until(b"\r\n\r\n").lower() == b"0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n"
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-HEAD")
@pytest.mark.parametrize("framing", [b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_response_to_head_has_no_body(wire: Wire, framing: bytes) -> None:
    visitor, upstream = get(wire, method=b"HEAD")

    upstream.say(b"HTTP/1.1 200 OK\r\n" + framing + b"x-kept: 1\r\n\r\n")

    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-kept: 1\r\n" in head
    assert (b"content-length: 5\r\n" in head) == (framing == b"content-length: 5\r\n")
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-HEAD")
def test_failure_of_a_head_has_no_body(wire: Wire) -> None:
    visitor = wire.visit(asked(method=b"HEAD", host=b"nobody.test"))

    head = visitor.head()

    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"\r\ncontent-length: " in head
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-NO-CONTENT")
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("framing", [b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_response_without_content_has_no_body_and_no_length(wire: Wire, status: bytes, framing: bytes) -> None:
    visitor, upstream = get(wire)

    upstream.say(b"HTTP/1.1 " + status + b'\r\netag: "e"\r\n' + framing + b"\r\n")

    assert visitor.head() == b"HTTP/1.1 " + status + b'\r\netag: "e"\r\n\r\n'
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-NO-CONTENT")
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_body_of_a_response_without_content_is_left_out(wire: Wire, status: bytes) -> None:
    visitor, upstream = get(wire)

    upstream.say(b"HTTP/1.1 " + status + b"\r\ncontent-length: 5\r\n\r\nhello")

    assert visitor.head() == b"HTTP/1.1 " + status + b"\r\n\r\n"
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-1XX")
@pytest.mark.parametrize("dropped", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Whatever"])
def test_informational_responses_are_dropped(wire: Wire, dropped: bytes) -> None:
    visitor, upstream = get(wire)

    upstream.say((b"HTTP/1.1 " + dropped + b"\r\nlink: </a>; rel=preload\r\n\r\n") * 2 + OK)

    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-STATUS")
@pytest.mark.parametrize("status", [b"200 Fine", b"299 ", b"418 I'm a teapot", b"451 Unavailable", b"599 Last"])
def test_status_is_kept(wire: Wire, status: bytes) -> None:
    visitor, upstream = get(wire)

    upstream.say(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")

    assert visitor.head().startswith(b"HTTP/1.1 " + status[:3] + b" ")


@pytest.mark.fidelity("H-STATUS")
@pytest.mark.parametrize("line", [b"101 Switching Protocols", b"600 Beyond", b"999 Beyond", b"099 Below", b"000 None"])
def test_status_that_is_none_becomes_502(wire: Wire, line: bytes) -> None:
    visitor, upstream = get(wire)

    upstream.say(b"HTTP/1.1 " + line + b"\r\ncontent-length: 0\r\n\r\n")

    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"content-type: application/problem+json\r\n" in head


@pytest.mark.fidelity("H-STATUS")
@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: 1\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551618\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
        b"HTTP/3.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"RTSP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nconnection: upgrade\r\nupgrade: h2c\r\nx: \0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" * 3000,
        b"HTTP/1.1 199 Odd\r\ncontent-length: 5\r\n\r\nhello" + OK,
        b"HTTP/1.1 199 Odd\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n" + OK,
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n" + OK,
        b"hello\r\n\r\n",
    ],
)
def test_ambiguous_response_becomes_502(wire: Wire, response: bytes) -> None:
    visitor, upstream = get(wire)

    upstream.say(response)

    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"content-type: application/problem+json\r\n" in head


@pytest.mark.fidelity("H-STATUS")
@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"\r\n" + OK,
        b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 103 Early\r\ncontent-length: 5\r\n\r\n" + OK,
        b"HTTP/1.1 100 Continue\r\nconnection: close\r\n\r\n" + OK,
    ],
)
def test_what_all_others_read_in_the_same_way_is_read_so(wire: Wire, response: bytes) -> None:
    visitor, upstream = get(wire)

    upstream.say(response)

    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)


@pytest.mark.fidelity("H-RESPONSE-CHUNKED")
def test_chunks_of_a_response_are_written_anew(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"

    upstream.say(b'003  \r\nabc\r\n2;name="v"\r\nde\r\n')
    heard = visitor.take(8)
    heard += visitor.take(7 if heard == chunk(b"abc") else 2)
    assert read_responses(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n" + heard + LAST_CHUNK, [])[0][0].body == b"abcde"
    upstream.say(b"00\r\n\r\n")
    assert visitor.take(5) == LAST_CHUNK
    check_usable(wire, visitor)


# -- HTTP/1.0


@pytest.mark.fidelity("H-1.0")
def test_visitor_of_1_0_gets_no_chunks(wire: Wire) -> None:
    visitor, upstream = get(wire, version=0)

    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"some"))
    head = visitor.head()
    assert visitor.take(4) == b"some"
    upstream.say(chunk(b" more") + LAST_CHUNK)

    assert visitor.rest() == b" more"
    assert head in (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\n")


@pytest.mark.fidelity("H-1.0")
def test_visitor_of_1_0_is_forwarded_as_1_1_with_its_length(wire: Wire) -> None:
    visitor = wire.visit(b"POST / HTTP/1.0\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nhi")
    upstream = wire.upstream()
    assert upstream.head() == told(b"content-length: 2\r\n", method=POST)
    assert upstream.take(2) == b"hi"

    upstream.say(OK)

    assert visitor.head().endswith(b"content-length: 2\r\nconnection: close\r\n\r\n")
    assert visitor.rest() == b"ok"


# -- responses that break off


@pytest.mark.fidelity("H-CUT")
def test_response_with_a_length_that_is_cut_stays_short(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    assert visitor.take(3) == b"hel"

    upstream.close()

    assert visitor.ended() == b""


@pytest.mark.fidelity("H-CUT")
@pytest.mark.parametrize(("partial", "passed"), [(b"", b""), (b"5\r\nhel", b"hel"), (b"5\r\nhello\r\n0\r\n", b"hello")])
def test_response_in_chunks_that_is_cut_has_no_last_chunk(wire: Wire, partial: bytes, passed: bytes) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"some"))
    assert visitor.head() == b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"
    assert visitor.take(9) == chunk(b"some")
    upstream.say(partial)
    assert visitor.take(len(chunk(passed)) if passed else 0) == (chunk(passed) if passed else b"")

    upstream.close()

    assert visitor.ended() == b""


@pytest.mark.fidelity("H-CUT")
def test_response_with_trailers_over_the_limit_is_cut(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"some"))
    assert visitor.head() == b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"
    assert visitor.take(9) == chunk(b"some")

    upstream.say_what_is_taken(chunk(b"more") + b"0\r\n" + b"X: y\r\n" * 201 + b"\r\n")

    assert visitor.ended() in (b"", chunk(b"more"))


@pytest.mark.fidelity("H-CUT")
def test_response_that_is_reset_instead_of_closed_is_cut(wire: Wire) -> None:
    visitor, upstream = get(wire)
    upstream.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome")
    assert visitor.head() == b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"
    assert visitor.take(9) == chunk(b"some")

    upstream.reset()

    assert visitor.ended() == b""


@pytest.mark.fidelity("H-CUT")
def test_response_to_1_0_that_is_cut_is_reset(wire: Wire) -> None:
    visitor, upstream = get(wire, version=0)
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"some"))
    visitor.head()
    assert visitor.take(4) == b"some"

    upstream.close()

    with pytest.raises(ConnectionResetError):
        visitor.rest()


@pytest.mark.fidelity("H-CUT")
def test_response_that_is_longer_than_its_length_ends_there(wire: Wire) -> None:
    visitor, upstream = get(wire)

    upstream.say(OK + b"more")

    assert visitor.take(len(OK)) == OK
    check_usable(wire, visitor)
