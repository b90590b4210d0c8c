"""Fields by which requests are found again: ours, and those of tracing, which are none of our business."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from fidelity_bytes import asked, told
from fidelity_settings import TRUSTED_PROXY
from fidelity_wire import Wire
from websocket_bytes import accepting, key_of, opening

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n%b\r\nok"
CREATED = rb"[0-9a-f]{16}-[0-9a-f]+"


@pytest.fixture
def keeping(wire: Wire) -> Iterator[None]:
    """As a server is when nobody says otherwise; the other tests here have ``off``."""
    with wire.reloaded(request_id="keep"):
        yield


def heard_id(head: bytes) -> bytes:
    """The name in a head, which tells exactly one."""
    (name,) = re.findall(rb"(?m)^x-request-id: ([^\r\n]*)\r$", head)
    return name


def told_named(name: bytes, *, before: bytes = b"", target: bytes = b"/") -> bytes:
    """The head that the upstream hears of a request that came without a name."""
    return told(before + b"x-request-id: %b\r\n" % name, target=target)


@pytest.mark.fidelity("H-REQUEST-ID")
def test_request_without_a_name_is_given_one_that_both_ends_are_told(wire: Wire, keeping: None) -> None:
    names = []
    visitor = wire.visitor()
    for _ in range(2):
        visitor.say(asked())
        upstream = wire.upstream()
        head = upstream.head()
        names.append(heard_id(head))
        assert head == told_named(names[-1])
        upstream.say(OK % b"X-Other: 1\r\n")
        answer = OK % (b"X-Other: 1\r\nx-request-id: %b\r\n" % names[-1])
        assert visitor.take(len(answer)) == answer

    assert all(re.fullmatch(CREATED, name) for name in names)
    assert names[0] != names[1]


@pytest.mark.fidelity("H-REQUEST-ID")
@pytest.mark.parametrize("name", [b"a", b"f" * 128, b"!#$%&'*+-.^_`|~09Az"])
def test_well_formed_name_of_the_visitor_is_kept_in_its_place(wire: Wire, keeping: None, name: bytes) -> None:
    visitor = wire.visit(asked(b"X-Request-ID: %b\r\nX-After: 1\r\n" % name))

    upstream = wire.upstream()
    assert upstream.head() == told(b"x-request-id: %b\r\nx-after: 1\r\n" % name)
    upstream.say(OK % b"")
    assert heard_id(visitor.head()) == name


@pytest.mark.fidelity("H-REQUEST-ID")
@pytest.mark.parametrize(
    "lines",
    [
        b"X-Request-Id:\r\n",
        b"X-Request-Id: %b\r\n" % (b"f" * 129),
        b"X-Request-Id: two words\r\n",
        b'X-Request-Id: "quoted"\r\n',
        b"X-Request-Id: caf\xe9\r\n",
        b"X-Request-Id: one\r\nx-request-id: two\r\n",
    ],
)
def test_any_other_name_is_replaced_by_ours(wire: Wire, keeping: None, lines: bytes) -> None:
    wire.visit(asked(lines + b"X-After: 1\r\n"))

    head = wire.upstream().head()
    name = heard_id(head)
    assert re.fullmatch(CREATED, name)
    assert head == told(b"x-request-id: %b\r\nx-after: 1\r\n" % name)


@pytest.mark.fidelity("H-REQUEST-ID")
@pytest.mark.parametrize("answered", [b"X-Request-Id: mine\r\n", b"x-request-id: other\r\nX-REQUEST-ID: another\r\n"])
def test_response_tells_the_name_of_the_request_alone(wire: Wire, keeping: None, answered: bytes) -> None:
    visitor = wire.visit(asked(b"X-Request-Id: mine\r\n"))

    wire.upstream().say(OK % answered)
    answer = OK % b"x-request-id: mine\r\n"
    assert visitor.take(len(answer)) == answer


@pytest.mark.fidelity("H-REQUEST-ID-REPLACED")
def test_names_are_taken_from_trusted_proxies_alone_where_they_are_replaced(wire: Wire) -> None:
    with wire.reloaded(request_id="replace"):
        wire.visit(asked(b"X-Request-Id: forged\r\n"))
        assert re.fullmatch(CREATED, heard_id(wire.upstream().head()))

        wire.visit(asked(b"X-Request-Id: proxied\r\n"), source=TRUSTED_PROXY)
        assert heard_id(wire.upstream().head()) == b"proxied"


@pytest.mark.fidelity("H-REQUEST-ID-OFF")
def test_name_is_a_field_like_any_other_where_that_is_configured(wire: Wire) -> None:
    visitor = wire.visit(asked(b"X-Request-Id: two words\r\n"))

    upstream = wire.upstream()
    assert upstream.head() == told(b"x-request-id: two words\r\n")
    answer = OK % b"X-Request-Id: the upstream's own\r\n"
    upstream.say(answer)
    assert visitor.take(len(answer)) == answer


@pytest.mark.fidelity("H-TRACE")
def test_fields_of_tracing_pass_unchanged(wire: Wire, keeping: None) -> None:
    fields = (
        b"traceparent: 00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        b"tracestate: rojo=00f067aa0ba902b7 ,\tcongo=t61rcWkgMzE\r\ntracestate: x=1\r\n"
        b"baggage: userId=alice;p=1, isProduction=false\r\nX-Request-Id: r\r\n"
    )
    visitor = wire.visit(asked(fields))

    upstream = wire.upstream()
    assert upstream.head() == told(fields.replace(b"X-Request-Id", b"x-request-id"))
    upstream.say(OK % b"traceresponse: 00-1-2-01\r\ntraceparent: 00-1-2-00\r\n")
    answer = OK % b"traceresponse: 00-1-2-01\r\ntraceparent: 00-1-2-00\r\nx-request-id: r\r\n"
    assert visitor.take(len(answer)) == answer


@pytest.mark.fidelity("F-REQUEST-ID")
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (asked(b"X-Request-Id: mine\r\n", host=b"nobody.test"), 404),
        (asked(b"X-Request-Id: mine\r\n", host=b"late.test"), 503),
        (asked(b"X-Request-Id: mine\r\n", host=b"refused.test"), 502),
        (asked(b"X-Request-Id: mine\r\nHost: other.test\r\n"), 400),
        (asked(b"X-Request-Id: mine\r\nContent-Length: 9999999\r\n", method=b"POST"), 413),
    ],
)
def test_problem_document_tells_the_name(wire: Wire, keeping: None, said: bytes, status: int) -> None:
    visitor = wire.visit(said)

    head = visitor.head()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert heard_id(head) == b"mine"
    (length,) = re.findall(rb"(?m)^content-length: (\d+)\r$", head)
    assert json.loads(visitor.take(int(length)))["request_id"] == "mine"


@pytest.mark.fidelity("F-REQUEST-ID")
def test_what_is_no_request_is_given_a_name_too(wire: Wire, keeping: None) -> None:
    visitor = wire.visit(b"no request\r\n\r\n")

    head, _, body = visitor.ended().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert re.fullmatch(CREATED, heard_id(head + b"\r\n"))
    assert json.loads(body)["request_id"].encode() == heard_id(head + b"\r\n")


@pytest.mark.fidelity("W-REQUEST-ID")
def test_handshake_and_its_acceptance_tell_the_name(wire: Wire, keeping: None) -> None:
    visitor = wire.visit(opening(b"X-Request-Id: mine\r\n"))
    upstream = wire.upstream()
    head = upstream.head()
    assert heard_id(head) == b"mine"
    upstream.say(accepting(key_of(head), b"X-Request-Id: theirs\r\nX-Other: 1\r\n"))
    answer = visitor.head()
    assert b"x-other: 1\r\nx-request-id: mine\r\n\r\n" in answer
    assert b"theirs" not in answer


@pytest.mark.fidelity("W-REQUEST-ID")
def test_refusal_of_a_handshake_tells_the_name(wire: Wire, keeping: None) -> None:
    visitor = wire.visit(opening())
    upstream = wire.upstream()
    name = heard_id(upstream.head())
    upstream.say(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    assert heard_id(visitor.head()) == name
