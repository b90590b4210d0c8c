"""What becomes of WebSocket conversations, frame by frame at both ends."""

from __future__ import annotations

import json
import select

import pytest
from fidelity_wire import SECRET, Wire
from support.ports import unused_port
from websocket_bytes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    accepting,
    close,
    frame,
    hear,
    hear_message,
    key_of,
    opened,
    opening,
    token,
)

MIB = 1 << 20
CLOSING_S = 10.0
"""What either end has to answer a close frame."""
DRAIN_S = 10.0
"""What conversations of a listener have that drains."""


# -- handshakes


@pytest.mark.fidelity("W-FIELDS")
def test_fields_of_a_handshake_are_forwarded_and_those_of_the_hop_are_renewed(wire: Wire) -> None:
    wire.visit(
        opening(b"Cookie: a=1\r\nX-Many: 1\r\nSec-WebSocket-Extensions: permessage-deflate\r\nx-many: 2\r\n",
                target=b"/a%2Fb?c=%20")
    )  # fmt: skip

    head = wire.upstream().head()
    key = key_of(head)
    assert key != KEY
    assert len(key) == 24
    assert head == (
        b"GET /a%%2Fb?c=%%20 HTTP/1.1\r\nhost: app.test\r\ncookie: a=1\r\nx-many: 1\r\nx-many: 2\r\n"
        b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: app.test\r\n"
        b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: %b\r\n\r\n" % key
    )


@pytest.mark.fidelity("W-FIELDS")
def test_fields_of_an_acceptance_are_forwarded(wire: Wire) -> None:
    visitor = wire.visit(opening())
    upstream = wire.upstream()
    upstream.say(accepting(key_of(upstream.head()), b"Set-Cookie: a=1\r\nServer: theirs\r\nset-cookie: b=2\r\n"))

    assert visitor.head() == (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: %b\r\nset-cookie: a=1\r\nserver: theirs\r\nset-cookie: b=2\r\n\r\n" % token(KEY)
    )


@pytest.mark.fidelity("W-SUBPROTOCOL")
def test_subprotocols_are_offered_and_the_chosen_one_told(wire: Wire) -> None:
    visitor = wire.visit(opening(b"Sec-WebSocket-Protocol: Chat.v2, chat.v1\r\nSec-WebSocket-Protocol: x\r\n"))
    upstream = wire.upstream()
    head = upstream.head()
    assert b"sec-websocket-protocol: Chat.v2, chat.v1\r\nsec-websocket-protocol: x\r\n" in head
    upstream.say(accepting(key_of(head), b"Sec-WebSocket-Protocol: chat.v1\r\n"))

    assert b"\r\nsec-websocket-protocol: chat.v1\r\n" in visitor.head()


@pytest.mark.fidelity("W-HANDSHAKE")
@pytest.mark.parametrize(
    "wrong",
    [
        b"Sec-WebSocket-Protocol: other\r\n",
        b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
    ],
)
def test_acceptance_that_is_none_of_what_was_asked_is_502(wire: Wire, wrong: bytes) -> None:
    visitor = wire.visit(opening(b"Sec-WebSocket-Protocol: chat\r\n"))
    upstream = wire.upstream()
    upstream.say(accepting(key_of(upstream.head()), wrong))

    assert visitor.head().startswith(b"HTTP/1.1 502 ")
    upstream.ended()


@pytest.mark.fidelity("W-HANDSHAKE")
@pytest.mark.parametrize(
    ("handshake", "status"),
    [
        (opening().replace(b"Version: 13", b"Version: 8"), 426),
        (opening().replace(KEY, b"c2hvcnQ="), 400),
        (opening().replace(KEY, b"not base64 at all!"), 400),
        (opening().replace(b"Sec-WebSocket-Key: ", b"X-Key: "), 400),
        (opening(b"Content-Length: 3\r\n"), 400),
        (opening(b"Sec-WebSocket-Protocol: a,,b\r\n"), 400),
        (opening().replace(b"GET ", b"POST "), 400),
    ],
)
def test_handshake_that_is_none_is_refused_and_reaches_nobody(wire: Wire, handshake: bytes, status: int) -> None:
    visitor = wire.visit(handshake)

    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nsec-websocket-version: 13\r\n" in head) is (status == 426)
    wire.check_untouched()


@pytest.mark.fidelity("W-REFUSAL")
def test_refusal_is_passed_on_with_status_fields_and_body(wire: Wire) -> None:
    visitor = wire.visit(opening())
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 403 Forbidden\r\nX-Reason: tea\r\nContent-Length: 6\r\n\r\nno tea")

    assert visitor.head() == (
        b"HTTP/1.1 403 Forbidden\r\nx-reason: tea\r\ncontent-length: 6\r\nconnection: close\r\n\r\n"
    )
    assert visitor.rest() == b"no tea"
    assert upstream.ended() == b""


@pytest.mark.fidelity("W-REFUSAL")
def test_refusal_is_passed_on_though_the_visitor_spoke_ahead(wire: Wire) -> None:
    visitor = wire.visit(opening() + frame(TEXT, b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", masked=True))
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")

    assert visitor.head().startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert visitor.rest() == b"no"


@pytest.mark.fidelity("W-FAILURE")
@pytest.mark.parametrize(
    ("host", "status", "code"),
    [
        (b"astray.test", 404, "route_not_found"),
        (b"nobody.test", 404, "route_not_found"),
        (b"late.test", 503, "no_client"),
        (b"refused.test", 502, "upstream_unreachable"),
        (b"forbidden.test", 403, "forbidden"),
    ],
)
def test_failure_before_acceptance_is_a_problem_document(wire: Wire, host: bytes, status: int, code: str) -> None:
    visitor = wire.visit(opening(host=host))

    assert visitor.head().startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(visitor.rest())["code"] == code


@pytest.mark.fidelity("W-FAILURE")
def test_handshake_that_is_not_answered_in_time_is_504(wire: Wire) -> None:
    visitor = wire.visit(opening(host=b"impatient.test"))
    wire.upstream().head()
    wire.pass_time(1)

    assert visitor.head().startswith(b"HTTP/1.1 504 ")


@pytest.mark.fidelity("W-PIPELINE")
def test_handshake_waits_for_the_requests_before_it(wire: Wire) -> None:
    visitor = wire.visit(b"GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\n" + opening() + frame(TEXT, b"early", masked=True))
    first = wire.upstream()
    assert first.head().startswith(b"GET /1 ")
    first.say(b"HTTP/1.1 204 No Content\r\n\r\n")
    upstream = wire.upstream()
    upstream.say(accepting(key_of(upstream.head())))

    assert visitor.head() == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert visitor.head().startswith(b"HTTP/1.1 101 ")
    assert hear(upstream, masked=True) == (TEXT, b"early", True)


# -- messages

MESSAGES = [
    (TEXT, b""),
    (BINARY, b""),
    (TEXT, b"hello"),
    (TEXT, "h\u00e9llo \u2603 \U0001f40d".encode()),
    (BINARY, bytes(range(256))),
    (BINARY, bytes(125)),
    (BINARY, bytes(126)),
    (TEXT, b"x" * 65535),
    (BINARY, bytes(65536)),
]


@pytest.mark.fidelity("W-MESSAGES")
@pytest.mark.parametrize(("opcode", "payload"), MESSAGES)
def test_message_is_one_frame_at_the_other_end(wire: Wire, opcode: int, payload: bytes) -> None:
    visitor, upstream = opened(wire)

    visitor.say(frame(opcode, payload, masked=True))
    assert hear(upstream, masked=True) == (opcode, payload, True)
    upstream.say(frame(opcode, payload))
    assert hear(visitor) == (opcode, payload, True)


@pytest.mark.fidelity("W-MESSAGES")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_fragments_are_joined_and_text_may_be_cut_within_a_character(wire: Wire, opcode: int) -> None:
    visitor, upstream = opened(wire)
    whole = "h\u00e9llo".encode()

    for end, other, masked in ((visitor, upstream, True), (upstream, visitor, False)):
        end.say(frame(opcode, whole[:2], fin=False, masked=masked))
        end.say(frame(PING, b"between", masked=masked))
        end.say(frame(CONTINUATION, b"", fin=False, masked=masked) + frame(CONTINUATION, whole[2:], masked=masked))
        assert hear(end, masked=not masked) == (PONG, b"between", True)
        assert hear(other, masked=masked) == (opcode, whole, True)


@pytest.mark.fidelity("W-LARGE")
def test_message_of_16_mib_passes_both_ways(wire: Wire) -> None:
    visitor, upstream = opened(wire)
    payload = bytes(range(256)) * (16 * MIB // 256)

    for end, other, masked in ((visitor, upstream, True), (upstream, visitor, False)):
        data = frame(BINARY, payload, masked=masked)
        heard = _while_hearing(end.socket, data, other.socket, least=len(payload))
        other.heard += heard
        assert hear_message(other, masked=masked) == (BINARY, payload)


def _while_hearing(speaking, data: bytes, hearing, *, least: int) -> bytes:
    """Say ``data`` at one end while the other hears at least so many bytes of it."""
    heard = bytearray()
    view = memoryview(data)
    while view or len(heard) < least:
        readable, writable, _ = select.select([hearing], [speaking] if view else [], [], 5)
        assert readable or writable, "stuck"
        if writable:
            speaking.setblocking(False)
            view = view[speaking.send(view) :]
            speaking.settimeout(5)
        if readable:
            heard += hearing.recv(1 << 18)
    return bytes(heard)


@pytest.mark.fidelity("W-STREAM")
def test_large_message_is_passed_on_before_it_is_whole(wire: Wire) -> None:
    visitor, upstream = opened(wire)
    data = frame(BINARY, bytes(MIB), masked=True)

    visitor.say(data[: 512 * 1024])
    opcode, payload, fin = hear(upstream, masked=True)
    assert (opcode, fin) == (BINARY, False)
    visitor.say(data[512 * 1024 :])
    rest = b""
    while not fin:
        opcode, more, fin = hear(upstream, masked=True)
        assert opcode == CONTINUATION
        rest += more
    assert payload + rest == bytes(MIB)


@pytest.mark.fidelity("W-TOO-LARGE")
@pytest.mark.parametrize("fragmented", [False, True])
def test_message_over_the_limit_is_1009_for_whoever_said_it(wire: Wire, fragmented: bool) -> None:
    if fragmented:
        beginning = frame(BINARY, b"x", fin=False, masked=True)
        visitor, upstream = opened(wire)
        visitor.say(beginning + frame(CONTINUATION, bytes(0), fin=False, masked=True))
        visitor.say(frame(CONTINUATION, b"", masked=True)[:1] + b"\xff" + (16 * MIB).to_bytes(8, "big") + bytes(4))
    else:
        visitor, upstream = opened(wire)
        visitor.say(b"\x82\xff" + (16 * MIB + 1).to_bytes(8, "big") + bytes(4))
    assert hear(visitor)[:2] == (CLOSE, close(1009, b"over 16777216 bytes"))
    assert CLOSE not in [each[0] for each in _frames(upstream.ended())]

    visitor, upstream = opened(wire)
    upstream.say(b"\x82\x7f" + (16 * MIB + 1).to_bytes(8, "big"))
    assert hear(upstream, masked=True)[:2] == (CLOSE, close(1009, b"over 16777216 bytes"))
    assert hear(visitor)[1][:2] == close(1014)


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    """Small masked frames."""
    found = []
    while data:
        length = data[1] & 0x7F
        found.append((data[0] & 0x0F, data[6 : 6 + length]))
        data = data[6 + length :]
    return found


@pytest.mark.fidelity("W-PING")
def test_pings_are_answered_on_their_hop_and_pongs_are_dropped(wire: Wire) -> None:
    visitor, upstream = opened(wire)

    visitor.say(frame(PING, b"of the visitor", masked=True) + frame(PONG, b"unasked", masked=True))
    assert hear(visitor) == (PONG, b"of the visitor", True)
    upstream.say(frame(PING, b"of the upstream") + frame(PONG, b"unasked"))
    assert hear(upstream, masked=True) == (PONG, b"of the upstream", True)
    visitor.say(frame(TEXT, b"next", masked=True))
    assert hear(upstream, masked=True) == (TEXT, b"next", True)
    upstream.say(frame(TEXT, b"next"))
    assert hear(visitor) == (TEXT, b"next", True)


@pytest.mark.fidelity("W-IDLE")
def test_silence_ends_nothing(wire: Wire) -> None:
    visitor, upstream = opened(wire)
    wire.pass_time(100)  # heartbeats of the tunnel apart, for which its settings have 300 s

    visitor.say(frame(TEXT, b"still here", masked=True))
    assert hear(upstream, masked=True) == (TEXT, b"still here", True)


# -- closing


@pytest.mark.fidelity("W-CLOSE")
@pytest.mark.parametrize(
    ("payload", "answer"),
    [(close(1000), close(1000)), (close(4321, "au revoir \u2603".encode()), close(3000, b"bye")), (b"", close(1000))],
)
def test_close_of_the_visitor_and_the_upstreams_answer_are_passed_on(wire: Wire, payload: bytes, answer: bytes) -> None:
    visitor, upstream = opened(wire)

    visitor.say(frame(TEXT, b"last", masked=True) + frame(CLOSE, payload, masked=True))
    assert hear(upstream, masked=True) == (TEXT, b"last", True)
    assert hear(upstream, masked=True) == (CLOSE, payload, True)
    upstream.say(frame(TEXT, b"meanwhile") + frame(CLOSE, answer))
    upstream.close()
    assert hear(visitor) == (TEXT, b"meanwhile", True)
    assert hear(visitor) == (CLOSE, answer, True)
    assert visitor.rest() == b""


@pytest.mark.fidelity("W-CLOSE")
def test_close_of_the_upstream_is_answered_there_and_passed_on(wire: Wire) -> None:
    visitor, upstream = opened(wire)

    upstream.say(frame(TEXT, b"last") + frame(CLOSE, close(4001, b"enough")))
    assert hear(upstream, masked=True) == (CLOSE, close(4001, b"enough"), True)
    assert hear(visitor) == (TEXT, b"last", True)
    assert hear(visitor) == (CLOSE, close(4001, b"enough"), True)
    visitor.say(frame(CLOSE, close(4001), masked=True))
    assert visitor.rest() == b""
    upstream.close()


@pytest.mark.fidelity("W-CLOSE-NO-CODE")
def test_upstream_that_closes_without_a_code_is_1000_for_the_visitor(wire: Wire) -> None:
    visitor, upstream = opened(wire)

    upstream.say(frame(CLOSE))
    assert hear(upstream, masked=True) == (CLOSE, b"", True)
    assert hear(visitor) == (CLOSE, close(1000), True)


@pytest.mark.fidelity("W-CLOSE-SLOW")
def test_close_that_is_not_answered_ends_after_a_while(wire: Wire) -> None:
    visitor, upstream = opened(wire)
    visitor.say(frame(CLOSE, close(1001), masked=True))
    assert hear(upstream, masked=True)[0] == CLOSE
    wire.pass_time(CLOSING_S)
    assert hear(visitor) == (CLOSE, close(1001), True)
    upstream.ended()

    visitor, upstream = opened(wire)
    upstream.say(frame(CLOSE, close(1000)))
    assert hear(upstream, masked=True)[0] == CLOSE
    assert hear(visitor)[0] == CLOSE
    wire.pass_time(CLOSING_S)
    upstream.ended()
    visitor.ended()


@pytest.mark.fidelity("W-UPSTREAM-LOST")
@pytest.mark.parametrize("reset", [False, True])
def test_upstream_that_is_lost_is_1014_for_the_visitor_after_all_it_said(wire: Wire, reset: bool) -> None:
    visitor, upstream = opened(wire)
    upstream.say(frame(TEXT, b"last"))
    assert hear(visitor) == (TEXT, b"last", True)

    upstream.reset() if reset else upstream.close()
    assert hear(visitor) == (CLOSE, close(1014, b"the upstream was lost"), True)
    visitor.say(frame(CLOSE, close(1014), masked=True))
    assert visitor.rest() == b""


@pytest.mark.fidelity("W-VISITOR-LOST")
@pytest.mark.parametrize("reset", [False, True])
def test_visitor_that_is_lost_is_told_without_a_close_frame(wire: Wire, reset: bool) -> None:
    visitor, upstream = opened(wire)

    visitor.reset() if reset else visitor.close()
    assert upstream.ended() == b""


@pytest.mark.fidelity("W-VISITOR-LOST")
def test_visitor_that_leaves_during_the_handshake_ends_it(wire: Wire) -> None:
    visitor = wire.visit(opening())
    upstream = wire.upstream()
    upstream.head()

    visitor.close()
    assert upstream.ended() == b""


@pytest.mark.fidelity("W-CLOSE")
def test_visitor_that_says_close_and_is_gone_has_said_close(wire: Wire) -> None:
    visitor, upstream = opened(wire)

    visitor.say(frame(CLOSE, close(1001, b"tab closed"), masked=True))
    visitor.close()
    assert hear(upstream, masked=True) == (CLOSE, close(1001, b"tab closed"), True)
    upstream.say(frame(CLOSE, close(1001)))
    upstream.close()


@pytest.mark.fidelity("W-TUNNEL-LOST")
def test_tunnel_that_is_lost_is_1014_for_the_visitor(wire: Wire) -> None:
    with wire.frail_client():
        visitor, upstream = opened(wire, host=b"frail.test")

    assert hear(visitor)[1][:2] == close(1014)
    assert upstream.ended() == b""


@pytest.mark.fidelity("W-FAILED")
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("overloaded", 1013),
        ("no_client", 1013),
        ("refused", 1013),
        ("peer_lost", 1014),
        ("upstream_unreachable", 1014),
        ("upstream_timeout", 1014),
        ("protocol_error", 1014),
        ("internal", 1014),
    ],
)
def test_failure_after_acceptance_is_a_close_with_its_code(wire: Wire, code: str, told: int) -> None:
    visitor = wire.visit(opening(host=b"failing.test", target=f"/{code}/begun".encode()))
    assert visitor.head().startswith(b"HTTP/1.1 101 ")

    opcode, payload, _ = hear(visitor)
    assert (opcode, payload[:2]) == (CLOSE, close(told))
    assert SECRET.encode() not in payload


@pytest.mark.fidelity("W-DRAIN")
def test_listener_that_drains_is_closed_first_and_tells_both_ends_1001_when_its_time_is_over(wire: Wire) -> None:
    visitor, upstream = opened(wire)
    before = visitor.socket.getpeername()

    with wire.reloaded(listen=f"127.0.0.1:{unused_port()}"):
        wire.refuses(before)
        visitor.say(frame(TEXT, b"during", masked=True))
        assert hear(upstream, masked=True) == (TEXT, b"during", True)
        upstream.say(frame(TEXT, b"it"))
        assert hear(visitor) == (TEXT, b"it", True)

        wire.pass_time(DRAIN_S)
        assert hear(visitor)[1][:2] == close(1001)
        assert hear(upstream, masked=True)[1][:2] == close(1001)
        # They have half a second to agree, which a busy machine may take.
        visitor.say_what_is_taken(frame(CLOSE, close(1001), masked=True))
        upstream.say_what_is_taken(frame(CLOSE, close(1001)))
        assert visitor.ended() == b""


@pytest.mark.fidelity("W-DRAIN")
def test_conversation_that_ends_while_its_listener_drains_ends_as_ever(wire: Wire) -> None:
    visitor, upstream = opened(wire)

    with wire.reloaded(listen=f"127.0.0.1:{unused_port()}"):
        visitor.say(frame(CLOSE, close(4000, b"done"), masked=True))
        assert hear(upstream, masked=True) == (CLOSE, close(4000, b"done"), True)
        upstream.say(frame(CLOSE, close(4000, b"too")))
        assert hear(visitor) == (CLOSE, close(4000, b"too"), True)


VIOLATIONS = [
    (frame(TEXT, b"x", masked=True, reserved=0x40), 1002),
    (frame(TEXT, b"x", masked=True, reserved=0x20), 1002),
    (frame(BINARY, b"x", masked=True, reserved=0x10), 1002),
    (frame(3, b"x", masked=True), 1002),
    (frame(11, b"x", masked=True), 1002),
    (frame(CONTINUATION, b"x", masked=True), 1002),
    (frame(TEXT, b"x", fin=False, masked=True) + frame(TEXT, b"x", masked=True), 1002),
    (frame(PING, bytes(126), masked=True), 1002),
    (frame(PING, b"x", fin=False, masked=True), 1002),
    (frame(TEXT, b"\xc3", masked=True), 1007),
    (frame(TEXT, b"\xc3", fin=False, masked=True) + frame(CONTINUATION, b"(", masked=True), 1007),
    (frame(TEXT, b"\xed\xa0\x80", masked=True), 1007),
    (frame(CLOSE, b"\x03", masked=True), 1002),
    (frame(CLOSE, close(999), masked=True), 1002),
    (frame(CLOSE, close(1005), masked=True), 1002),
    (frame(CLOSE, close(1006), masked=True), 1002),
    (frame(CLOSE, close(1015), masked=True), 1002),
    (frame(CLOSE, close(5000), masked=True), 1002),
    (frame(CLOSE, close(1000, b"\xff"), masked=True), 1007),
]


@pytest.mark.fidelity("W-VIOLATION")
@pytest.mark.parametrize(("said", "code"), [*VIOLATIONS, (frame(TEXT, b"unmasked"), 1002)])
def test_visitor_that_breaks_the_protocol_is_told_and_the_upstream_abnormally(
    wire: Wire, said: bytes, code: int
) -> None:
    visitor, upstream = opened(wire)
    visitor.say(frame(TEXT, b"right", masked=True))
    assert hear(upstream, masked=True) == (TEXT, b"right", True)

    visitor.say(said)
    opcode, payload, _ = hear(visitor)
    assert (opcode, payload[:2]) == (CLOSE, close(code))
    assert CLOSE not in [each[0] for each in _frames(upstream.ended())]


@pytest.mark.fidelity("W-VIOLATION")
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (frame(TEXT, b"masked", masked=True), 1002),
        (frame(TEXT, b"x", reserved=0x40), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(CLOSE, close(1005)), 1002),
    ],
)
def test_upstream_that_breaks_the_protocol_is_told_and_the_visitor_gets_1014(
    wire: Wire, said: bytes, code: int
) -> None:
    visitor, upstream = opened(wire)

    upstream.say(frame(TEXT, b"right") + said)
    assert hear(visitor) == (TEXT, b"right", True)
    assert hear(upstream, masked=True)[1][:2] == close(code)
    assert hear(visitor)[1] == close(1014, b"the upstream broke the WebSocket protocol")


@pytest.mark.fidelity("W-BACKPRESSURE")
def test_reader_that_stalls_stalls_its_sender_and_nobody_else(wire: Wire) -> None:
    stalled, stalling = opened(wire)
    others = [opened(wire) for _ in range(3)]
    said = stalling.say_until_stuck(frame(BINARY, bytes(65536)), most_bytes=64 * MIB)
    assert said < 64 * MIB

    for visitor, upstream in others:
        for end, other, masked in ((visitor, upstream, True), (upstream, visitor, False)):
            end.say(frame(TEXT, b"past", masked=masked))
            assert hear(other, masked=masked) == (TEXT, b"past", True)
    # The other direction of the same socket goes on too.
    stalled.say(frame(TEXT, b"past", masked=True))
    assert hear(stalling, masked=True) == (TEXT, b"past", True)
