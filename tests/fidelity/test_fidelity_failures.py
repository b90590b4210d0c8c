"""What a visitor is told when something fails, and that it is told nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from fidelity_bytes import CHUNKED, asked, chunk, told
from fidelity_settings import MAX_BODY_BYTES
from fidelity_sockets import RawSocket
from fidelity_wire import SECRET, Wire
from websocket_bytes import opening

from tunnel.domain.reason_phrases import REASON_PHRASES

POST = b"POST"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def check_problem(wire: Wire, visitor: RawSocket, status: int, code: str) -> None:
    """The visitor hears exactly one problem document of this status and code, and nothing that is not its business."""
    head = visitor.head()
    line, *fields = head[:-4].split(b"\r\n")
    headers = dict(field.split(b": ", 1) for field in fields)
    assert line.startswith(b"HTTP/1.1 %d" % status)
    assert len(headers) == len(fields)
    body = visitor.take(int(headers.pop(b"content-length")))
    connection = headers.pop(b"connection", b"")
    expected = {b"content-type": b"application/problem+json", b"cache-control": b"no-store"}
    if status == 503:
        assert int(headers.pop(b"retry-after")) > 0
    if status == 401:
        assert headers.pop(b"www-authenticate") != b""
    assert headers == expected

    document = json.loads(body)
    assert document.pop("detail", "of no importance") != ""
    assert document == {"type": "about:blank", "title": REASON_PHRASES[status], "status": status, "code": code}
    for secret in (b"127.0.0.1", b"localhost", b".invalid", b"10.0.0", b"/failing", b"Traceback", b"web", *ports(wire)):
        assert secret not in head + body
    assert SECRET.encode() not in head + body
    if connection:
        assert connection == b"close"
        assert visitor.ended() == b""
    else:
        assert visitor.is_quiet()


def ports(wire: Wire) -> list[bytes]:
    return [b"%d" % port for port in (wire.ports.app, wire.ports.full, wire.ports.refused)]


@pytest.mark.fidelity("F-ROUTE-NOT-FOUND")
@pytest.mark.parametrize("host", [b"nobody.test", b"astray.test"])
def test_no_rule_is_404(wire: Wire, host: bytes) -> None:
    check_problem(wire, wire.visit(asked(host=host)), 404, "route_not_found")


@pytest.mark.fidelity("F-OTHER-PROTOCOL")
@pytest.mark.parametrize("says", [asked, opening], ids=["request", "handshake"])
def test_what_is_led_to_a_server_of_calls_is_404(wire: Wire, says: Callable[..., bytes]) -> None:
    check_problem(wire, wire.visit(says(host=b"calls.test")), 404, "route_not_found")


@pytest.mark.fidelity("F-NO-CLIENT")
def test_group_without_a_client_is_503(wire: Wire) -> None:
    check_problem(wire, wire.visit(asked(host=b"late.test")), 503, "no_client")


@pytest.mark.fidelity("F-NO-CLIENT")
def test_waiting_for_a_client_in_vain_is_503(wire: Wire) -> None:
    visitor = wire.visit(asked(host=b"crowd.test"))
    check_problem(wire, wire.visit(asked(host=b"late.test")), 503, "no_client")
    assert visitor.is_quiet()

    wire.pass_time(61)

    check_problem(wire, visitor, 503, "no_client")


@pytest.mark.fidelity("F-OVERLOADED")
def test_more_waiting_than_there_is_room_for_are_503(wire: Wire) -> None:
    waiting = wire.visit(asked(host=b"crowd.test"))
    check_problem(wire, wire.visit(asked(host=b"late.test")), 503, "no_client")

    check_problem(wire, wire.visit(asked(host=b"crowd.test")), 503, "overloaded")
    assert waiting.is_quiet()


@pytest.mark.fidelity("F-PEER-LOST")
def test_client_that_is_lost_is_502(wire: Wire) -> None:
    with wire.frail_client():
        visitor = wire.visit(asked(b"Content-Length: 2\r\n", method=POST, host=b"frail.test") + b"hi")
        upstream = wire.upstream()
        assert upstream.head() == told(b"content-length: 2\r\n", method=POST, host=b"frail.test")

    check_problem(wire, visitor, 502, "peer_lost")
    assert upstream.ended() == b"hi"


@pytest.mark.fidelity("F-BEGUN")
def test_client_that_is_lost_cuts_a_response_that_has_begun(wire: Wire) -> None:
    with wire.frail_client():
        visitor = wire.visit(asked(host=b"frail.test"))
        upstream = wire.upstream()
        upstream.head()
        upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"some"))
        visitor.until(chunk(b"some"))

    assert visitor.ended() == b""


@pytest.mark.fidelity("F-UPSTREAM-UNREACHABLE")
@pytest.mark.parametrize("host", [b"refused.test", b"unresolved.test"])
def test_upstream_that_cannot_be_reached_is_502(wire: Wire, host: bytes) -> None:
    check_problem(wire, wire.visit(asked(host=host)), 502, "upstream_unreachable")


@pytest.mark.fidelity("F-UPSTREAM-UNREACHABLE")
@pytest.mark.parametrize("ending", ["close", "reset", "half_close"])
@pytest.mark.parametrize("said", [b"", b"HTT", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_upstream_that_goes_before_it_answers_is_502(wire: Wire, ending: str, said: bytes) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()
    upstream.say(said)

    getattr(upstream, ending)()

    check_problem(wire, visitor, 502, "upstream_unreachable")


@pytest.mark.fidelity("F-UPSTREAM-TIMEOUT")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
def test_upstream_that_does_not_take_connections_is_504(wire: Wire) -> None:
    visitor = wire.visit(asked(host=b"full.test"))
    check_problem(wire, wire.visit(asked(host=b"refused.test")), 502, "upstream_unreachable")
    assert visitor.is_quiet()

    wire.pass_time(6)

    check_problem(wire, visitor, 504, "upstream_timeout")


@pytest.mark.fidelity("F-UPSTREAM-TIMEOUT")
def test_upstream_without_a_first_byte_in_time_is_504(wire: Wire) -> None:
    visitor = wire.visit(asked(host=b"impatient.test"))
    upstream = wire.upstream()
    upstream.head()

    check_problem(wire, visitor, 504, "upstream_timeout")
    assert upstream.ended() == b""


@pytest.mark.fidelity("F-UPSTREAM-TIMEOUT")
def test_first_byte_in_time_is_enough(wire: Wire) -> None:
    visitor = wire.visit(asked(host=b"impatient.test"))
    upstream = wire.upstream()
    upstream.head()
    upstream.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
    visitor.until(b"\r\n\r\no")

    # Another fails by the same limit: more than that has passed.
    check_problem(wire, wire.visit(asked(host=b"impatient.test")), 504, "upstream_timeout")
    upstream.say(b"k")
    assert visitor.take(1) == b"k"


@pytest.mark.fidelity("F-TOO-LARGE")
def test_declared_body_over_the_limit_is_413(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Content-Length: %d\r\n" % (MAX_BODY_BYTES + 1), method=POST) + b"some")

    check_problem(wire, visitor, 413, "too_large")
    wire.check_untouched()


@pytest.mark.fidelity("F-TOO-LARGE")
def test_body_of_just_the_limit_is_let_through(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Content-Length: %d\r\n" % MAX_BODY_BYTES, method=POST))
    upstream = wire.upstream()
    upstream.head()
    for _ in range(8):
        visitor.say(b"x" * (MAX_BODY_BYTES // 8))
        upstream.take(MAX_BODY_BYTES // 8)
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK


@pytest.mark.fidelity("F-TOO-LARGE")
def test_body_that_grows_over_the_limit_is_413_and_never_completed(wire: Wire) -> None:
    visitor = wire.visit(asked(b"Transfer-Encoding: chunked\r\n", method=POST))
    upstream = wire.upstream()
    assert upstream.head() == told(method=POST, framing=CHUNKED)
    for _ in range(8):
        visitor.say(chunk(b"x" * (MAX_BODY_BYTES // 8)))
        upstream.until(b"x" * 1024)
    visitor.say(chunk(b"x") + b"0\r\n\r\n")

    check_problem(wire, visitor, 413, "too_large")
    assert not upstream.ended().endswith(b"0\r\n\r\n")


@pytest.mark.fidelity("F-TOO-LARGE")
@pytest.mark.parametrize(
    "data",
    [
        asked(b"X-Large: " + b"x" * 66_000 + b"\r\n"),
        asked(b"X-Many: 1\r\n" * 201),
        asked(target=b"/" + b"x" * 66_000),
        b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Endless: " + b"x" * 600_000,
        b"GET /" + b"x" * 600_000,
        b"x" * 600_000,
    ],
    ids=["field", "fields", "target", "endless-field", "endless-target", "endless-method"],
)
def test_head_over_the_limit_is_431(wire: Wire, data: bytes) -> None:
    visitor = wire.visitor()
    visitor.say_what_is_taken(data)

    if data.startswith(b"xx"):
        assert visitor.head().startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    else:
        check_problem(wire, visitor, 431, "too_large")
    wire.check_untouched()


@pytest.mark.fidelity("F-TOO-LARGE")
def test_head_below_the_limits_is_let_through(wire: Wire) -> None:
    fields = b"X-Many: 1\r\n" * 195 + b"X-Large: " + b"x" * 60_000 + b"\r\n"

    wire.visit(asked(fields))

    assert wire.upstream().head() == told(fields.lower())


@pytest.mark.fidelity("F-TOO-LARGE")
@pytest.mark.parametrize("others", [197, 198, 199])
def test_head_that_is_too_large_with_what_is_added_is_431(wire: Wire, others: int) -> None:
    check_problem(wire, wire.visit(asked(b"X-Many: 1\r\n" * others)), 431, "too_large")


@pytest.mark.fidelity("F-TIMEOUT")
@pytest.mark.parametrize(
    "part", [b"G", b"GET / HTTP/1.1\r\nHost: app.test\r\n", b"GET / HTTP/1.1\r\nHost: app.test\r\nX: "]
)
def test_head_that_does_not_come_is_408(wire: Wire, part: bytes) -> None:
    visitor = wire.visit(part)
    wire.check_untouched()

    wire.pass_time(11)

    check_problem(wire, visitor, 408, "bad_request")


@pytest.mark.fidelity("F-TIMEOUT")
def test_second_head_that_does_not_come_is_408(wire: Wire) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.head()
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK
    visitor.say(b"GET /second HT")
    wire.check_untouched()

    wire.pass_time(11)

    check_problem(wire, visitor, 408, "bad_request")


@pytest.mark.fidelity("F-FORBIDDEN")
def test_upstream_that_may_not_be_dialled_is_403(wire: Wire) -> None:
    check_problem(wire, wire.visit(asked(host=b"forbidden.test")), 403, "forbidden")


@pytest.mark.fidelity("F-CODES", "F-PRIVATE")
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("bad_request", 400),
        ("route_not_found", 404),
        ("no_client", 503),
        ("peer_lost", 502),
        ("upstream_unreachable", 502),
        ("upstream_timeout", 504),
        ("too_large", 413),
        ("overloaded", 503),
        ("unauthenticated", 401),
        ("forbidden", 403),
        ("protocol_error", 502),
        ("flow_control", 502),
        ("superseded", 502),
        ("cancelled", 502),
        ("internal", 500),
        ("loop_detected", 508),
    ],
)
def test_each_code_that_comes_through_the_tunnel_has_its_status(wire: Wire, code: str, status: int) -> None:
    target = b"/" + code.encode()

    check_problem(wire, wire.visit(asked(host=b"failing.test", target=target, method=POST)), status, code)


@pytest.mark.fidelity("F-CODES")
def test_request_that_the_only_client_refuses_has_nobody_to_go_to(wire: Wire) -> None:
    check_problem(wire, wire.visit(asked(host=b"failing.test", target=b"/refused")), 503, "no_client")


@pytest.mark.fidelity("F-BEGUN")
@pytest.mark.parametrize("code", ["upstream_unreachable", "internal", "peer_lost"])
def test_response_that_has_begun_is_cut_whatever_fails(wire: Wire, code: str) -> None:
    visitor = wire.visit(asked(host=b"failing.test", target=b"/%b/begun" % code.encode()))

    assert visitor.head() == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n" + CHUNKED + b"\r\n"
    assert visitor.ended() == chunk(b"begun")


@pytest.mark.fidelity("F-BAD-REQUEST")
@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"hello\r\n\r\n"])
def test_what_is_no_request_is_400(wire: Wire, garbage: bytes) -> None:
    check_problem(wire, wire.visit(garbage), 400, "bad_request")


@pytest.mark.fidelity("F-BAD-REQUEST")
@pytest.mark.parametrize(
    "data", [b"GET /\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/2.0\r\nHost: app.test\r\n\r\n"]
)
def test_other_versions_are_505(wire: Wire, data: bytes) -> None:
    check_problem(wire, wire.visit(data), 505, "bad_request")
    wire.check_untouched()


@pytest.mark.fidelity("F-BAD-REQUEST")
@pytest.mark.parametrize(
    "target", [b"/..", b"/a/../b", b"/a/.", b"/./a", b"/%2e%2E/a", b"/a/%2e", b"/.%2e", b"/a/..?q"]
)
def test_dot_segments_are_400(wire: Wire, target: bytes) -> None:
    check_problem(wire, wire.visit(asked(target=target)), 400, "bad_request")
    wire.check_untouched()


@pytest.mark.fidelity("F-BAD-REQUEST")
@pytest.mark.parametrize(
    "misunderstood", [asked(target=b"/a/../b"), asked(target=b"/%2e%2e"), asked(host=b"app.test/x"), asked(host=b"a@b")]
)
def test_what_follows_a_request_that_was_misunderstood_is_not_listened_to(wire: Wire, misunderstood: bytes) -> None:
    visitor = wire.visit(misunderstood + asked())

    assert b"\r\nconnection: close\r\n" in visitor.head()
    assert visitor.ended().count(b"HTTP/1.1 ") == 0
    wire.check_untouched()
