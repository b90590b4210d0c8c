"""What an application in the client's process is told, and what becomes of what it says: ASGI against bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fidelity_bytes import CHUNKED, LAST_CHUNK, asked, chunk
from fidelity_process import Call
from fidelity_sockets import RawSocket
from fidelity_wire import Wire
from websocket_bytes import BINARY, CLOSE, TEXT, close, frame, hear, hear_message, opening, token

HOST = b"process.test"
BODY = "http.response.body"
MIB = 1 << 20


def process(wire: Wire, data: bytes) -> tuple[RawSocket, Call]:
    """A visitor who begins by saying ``data``, and the call of the application for it."""
    visitor = wire.visit(data)
    return visitor, wire.process.call()


@pytest.mark.fidelity("P-SCOPE")
def test_application_is_told_what_the_visitor_said(wire: Wire) -> None:
    fields = b"X-Many: 1\r\nAccept: */*\r\nx-many: 2\r\nCookie: a=\xfc\r\n"
    _, call = process(wire, asked(fields, target=b"/a%2Fb/%C3%BC?x=%20&y", host=HOST))
    scope = call.scope

    assert (scope["type"], scope["http_version"], scope["method"], scope["scheme"]) == ("http", "1.1", "GET", "http")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a/b/ü", b"/a%2Fb/%C3%BC", b"x=%20&y")
    assert (scope["root_path"], scope["server"], scope["client"]) == ("", ("process.test", 80), ("127.0.0.1", 0))
    assert scope["headers"] == [
        (b"host", HOST),
        (b"x-many", b"1"),
        (b"accept", b"*/*"),
        (b"x-many", b"2"),
        (b"cookie", b"a=\xfc"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", HOST),
    ]
    assert call.receive() == {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.fidelity("P-RESPONSE")
def test_head_of_its_response_is_what_it_says(wire: Wire) -> None:
    visitor, call = process(wire, asked(host=HOST))
    call.respond(b"ok", (b"Set-Cookie", b"a=1"), (b"content-length", b"2"), (b"X-B", b"\xfc"), (b"set-cookie", b"b=2"))
    assert visitor.head() == (
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ncontent-length: 2\r\nx-b: \xfc\r\nset-cookie: b=2\r\n"
        b"date: today\r\n\r\n"
    )
    assert visitor.take(2) == b"ok"
    assert visitor.is_quiet()


@pytest.mark.fidelity("P-RESPONSE")
@pytest.mark.parametrize(
    ("method", "status", "head"),
    [
        (b"HEAD", 200, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ndate: today\r\n\r\n"),
        (b"GET", 204, b"HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n"),
        (b"GET", 304, b"HTTP/1.1 304 Not Modified\r\ndate: today\r\n\r\n"),
    ],
    ids=["HEAD", "204", "304"],
)
def test_what_has_no_body_gets_none_though_it_sends_one(wire: Wire, method: bytes, status: int, head: bytes) -> None:
    visitor, call = process(wire, asked(method=method, host=HOST))
    length = [] if status == 204 else [(b"content-length", b"5")]
    call.respond(b"small", *length, status=status)

    assert visitor.head() == head
    call.ends()
    assert visitor.is_quiet()


@pytest.mark.fidelity("P-STREAMS")
def test_bodies_stream_both_ways_at_the_same_time(wire: Wire) -> None:
    visitor, call = process(wire, asked(CHUNKED, method=b"POST", host=HOST))
    for number in (b"1", b"2"):
        visitor.say(chunk(b"up " + number))
        assert call.receive() == {"type": "http.request", "body": b"up " + number, "more_body": True}
        if number == b"1":
            call.respond(b"down 1", more_body=True)
            assert visitor.head().startswith(b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n")
        else:
            call.send(BODY, body=b"down 2", more_body=True)
        assert visitor.take(11) == chunk(b"down " + number)
    visitor.say(LAST_CHUNK)
    assert call.receive() == {"type": "http.request", "body": b"", "more_body": False}
    call.send(BODY)
    assert visitor.take(5) == LAST_CHUNK


@pytest.mark.fidelity("P-STREAMS")
def test_visitor_that_does_not_read_stops_the_application(wire: Wire) -> None:
    visitor, call = process(wire, asked(host=HOST))
    call.respond(b"", more_body=True)
    sent = 0
    part = bytes(256 * 1024)
    sending = call.start_sending(BODY, body=part, more_body=True)
    while wire.finishes(sending):
        sent += 1
        assert sent < 400, "100 MiB were taken from it, and nobody reads them"
        sending = call.start_sending(BODY, body=part, more_body=True)

    visitor.head()
    left = (sent + 1) * len(part)
    while left:
        size = int(visitor.until(b"\r\n"), 16)
        assert visitor.take(size + 2) == bytes(size) + b"\r\n"
        left -= size
    call.send(BODY)
    assert visitor.take(5) == LAST_CHUNK


@pytest.mark.fidelity("P-EXPECT")
def test_body_is_asked_for_when_the_application_asks(wire: Wire) -> None:
    expecting = b"Expect: 100-continue\r\nContent-Length: 5\r\n"
    visitor, call = process(wire, asked(expecting, method=b"POST", host=HOST))
    assert visitor.is_quiet()
    heard = call.start_receiving()
    assert visitor.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    visitor.say(b"hello")
    assert heard() == {"type": "http.request", "body": b"hello", "more_body": False}
    call.respond(b"", (b"content-length", b"0"))
    assert visitor.head().startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.fidelity("P-EXPECT")
def test_body_is_not_asked_for_by_one_that_does_not_want_it(wire: Wire) -> None:
    expecting = b"Expect: 100-continue\r\nContent-Length: 5\r\n"
    visitor, call = process(wire, asked(expecting, method=b"POST", host=HOST))
    call.respond(b"no", (b"content-length", b"2"), status=403)
    assert visitor.head().startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert visitor.take(2) == b"no"


@pytest.mark.fidelity("P-TRAILERS")
def test_its_trailers_are_trailers_and_those_of_requests_are_left_out(wire: Wire) -> None:
    visitor, call = process(wire, asked(CHUNKED + b"TE: trailers\r\n", method=b"POST", host=HOST))
    visitor.say(chunk(b"hi") + b"0\r\nX-Late: request\r\n\r\n")
    assert call.receive()["body"] == b"hi"
    assert call.receive() == {"type": "http.request", "body": b"", "more_body": False}
    call.respond(b"ok", (b"trailer", b"x-late"), trailers=True)
    call.send("http.response.trailers", headers=[(b"X-Late", b"answer")])

    assert b"\r\ntransfer-encoding: chunked\r\n" in visitor.head()
    assert visitor.take(len(chunk(b"ok"))) == chunk(b"ok")
    assert visitor.until(b"\r\n\r\n").lower() == b"0\r\nx-late: answer\r\n\r\n"


@pytest.mark.fidelity("P-LEAVES")
@pytest.mark.parametrize("begun", [False, True])
def test_visitor_that_leaves_is_told_and_the_call_is_cancelled_within_a_second(wire: Wire, *, begun: bool) -> None:
    visitor, call = process(wire, asked(host=HOST))
    call.receive()
    if begun:
        call.respond(b"begun", more_body=True)
        visitor.head()
    visitor.reset()

    assert call.receive() == {"type": "http.disconnect"}
    with pytest.raises(OSError, match="the visitor left"):
        call.send("http.response.start", status=200) if not begun else call.send(BODY, body=b"more")
    wire.pass_time(1)
    assert call.cancelled.wait(5)


@pytest.mark.fidelity("P-AFTER")
def test_application_may_go_on_after_its_response(wire: Wire) -> None:
    visitor, call = process(wire, asked(host=HOST))
    call.receive()
    call.respond(b"ok", (b"content-length", b"2"))
    visitor.head()
    assert visitor.take(2) == b"ok"
    assert call.receive() == {"type": "http.disconnect"}
    wire.check_nothing_is_held()
    visitor.reset()
    wire.pass_time(60)
    assert not call.cancelled.is_set()


@pytest.mark.fidelity("P-FAILS")
@pytest.mark.parametrize("failure", [ValueError("a secret"), None], ids=["raises", "returns without a word"])
def test_failure_before_a_response_is_500_and_tells_nothing(wire: Wire, failure: Exception | None) -> None:
    visitor, call = process(wire, asked(host=HOST))
    call.ends(failure)
    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/problem+json\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = visitor.take(length)
    assert json.loads(body)["code"] == "internal"
    assert b"secret" not in head + body


@pytest.mark.fidelity("P-FAILS")
def test_failure_after_a_response_has_begun_cuts_it(wire: Wire) -> None:
    visitor, call = process(wire, asked(host=HOST))
    call.respond(b"begun", more_body=True)
    visitor.head()
    call.ends(ValueError("a secret"))
    assert visitor.ended() == chunk(b"begun")


# -- WebSocket


def shaken(wire: Wire, fields: bytes = b"") -> tuple[RawSocket, Call]:
    visitor, call = process(wire, opening(fields, host=HOST, target=b"/ws?x"))
    assert call.receive() == {"type": "websocket.connect"}
    return visitor, call


def accepted(wire: Wire) -> tuple[RawSocket, Call]:
    visitor, call = shaken(wire)
    call.send("websocket.accept")
    assert visitor.head().startswith(b"HTTP/1.1 101 ")
    return visitor, call


@pytest.mark.fidelity("P-WEBSOCKET")
def test_handshake_is_the_applications_to_answer(wire: Wire) -> None:
    visitor, call = shaken(wire, b"Sec-WebSocket-Protocol: a, b\r\n")
    scope = call.scope
    assert (scope["type"], scope["scheme"], scope["subprotocols"]) == ("websocket", "ws", ["a", "b"])
    assert (scope["path"], scope["query_string"]) == ("/ws", b"x")
    call.send("websocket.accept", subprotocol="b", headers=[(b"set-cookie", b"a=1")])
    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    for field in (b"set-cookie: a=1", b"sec-websocket-protocol: b", b"sec-websocket-accept: " + token(_KEY)):
        assert b"\r\n" + field + b"\r\n" in head


_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.fidelity("P-WEBSOCKET")
def test_messages_go_both_ways_as_they_are(wire: Wire) -> None:
    visitor, call = accepted(wire)
    large = b"y" * 200_000
    for opcode, payload in ((TEXT, "grüß".encode()), (BINARY, b"\0\1"), (BINARY, large)):
        visitor.say(frame(opcode, payload, masked=True))
        message = call.receive()
        told = message["text"].encode() if opcode == TEXT else message["bytes"]
        assert (message["type"], told) == ("websocket.receive", payload)
        more: dict[str, Any] = {"text": payload.decode()} if opcode == TEXT else {"bytes": payload}
        call.send("websocket.send", **more)
        assert hear_message(visitor) == (opcode, payload)


@pytest.mark.fidelity("P-WEBSOCKET-END")
def test_close_of_either_end_reaches_the_other(wire: Wire) -> None:
    visitor, call = accepted(wire)
    visitor.say(frame(CLOSE, close(4001, b"enough"), masked=True))
    assert call.receive() == {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}
    assert hear(visitor) == (CLOSE, close(4001, b"enough"), True)

    visitor, call = accepted(wire)
    call.send("websocket.close", code=4002, reason="no more")
    assert hear(visitor) == (CLOSE, close(4002, b"no more"), True)


@pytest.mark.fidelity("P-WEBSOCKET-END")
@pytest.mark.parametrize(("failure", "code"), [(None, 1000), (ValueError("a secret"), 1011)], ids=["returns", "raises"])
def test_application_that_ends_closes(wire: Wire, failure: Exception | None, code: int) -> None:
    visitor, call = accepted(wire)
    call.ends(failure)
    opcode, payload, _ = hear(visitor)
    assert (opcode, payload[:2]) == (CLOSE, close(code))


@pytest.mark.fidelity("P-WEBSOCKET-END")
def test_visitor_that_is_lost_is_told_as_1006(wire: Wire) -> None:
    visitor, call = accepted(wire)
    visitor.reset()
    assert call.receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


@pytest.mark.fidelity("P-WEBSOCKET-REFUSED")
def test_application_may_refuse(wire: Wire) -> None:
    visitor, call = shaken(wire)
    call.send("websocket.close")
    assert visitor.head().startswith(b"HTTP/1.1 403 Forbidden\r\n")

    visitor, call = shaken(wire)
    call.send("websocket.http.response.start", status=401, headers=[(b"content-length", b"3")])
    call.send("websocket.http.response.body", body=b"who")
    assert visitor.head().startswith(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n")
    assert visitor.take(3) == b"who"
