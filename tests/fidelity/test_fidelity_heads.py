"""What of a request's head reaches the upstream, and what of a response's head the visitor."""

from __future__ import annotations

import sys

import pytest
from fidelity_bytes import asked, told
from fidelity_settings import LITERAL_HOST, TRUSTED_PROXY
from fidelity_wire import Wire

METHODS = (
    b"GET HEAD DELETE OPTIONS TRACE ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE"
    b" NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
).split()
"""All that the parser knows, but for POST, PUT and PATCH, which say that they have no body, and CONNECT."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.fidelity("H-TARGET")
@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/a/b/",
        b"//a//b",
        b"/caf%C3%A9;v=1/%7Euser/~user",
        b"/a%2Fb%2fc%5Cd",
        b"/%00%0d%0A",
        b"/a:b@c!$&'()*+,;=",
        b"/...//.a/a..b",
        b"/?b=2&a=1&a=%20+z&&empty=&=%",
        b"/a?http://other.test/?x=/../y",
        b"/a??b?c",
        b"/a?",
        b'/"<>\\^`{|}',
    ],
)
def test_path_and_query_are_forwarded_as_they_came(wire: Wire, target: bytes) -> None:
    visitor = wire.visit(asked(target=target))

    upstream = wire.upstream()
    assert upstream.head() == told(target=target)
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK


@pytest.mark.fidelity("H-METHOD")
@pytest.mark.parametrize("method", METHODS)
def test_method_is_forwarded(wire: Wire, method: bytes) -> None:
    wire.visit(asked(method=method))

    assert wire.upstream().head() == told(method=method)


@pytest.mark.fidelity("H-FIELDS")
def test_fields_of_a_request_are_kept_in_order_and_repetition(wire: Wire) -> None:
    fields = (
        b"X-Many: 1\r\nx-Other: caf\xe9 \xff\r\nX-MANY: 2, 3\r\nx-many:\r\nX-Padded:  \t inner \t space  \r\n"
        b'Cookie: a=1\r\nCookie: b=2\r\n!#$%&\'*+-.^_`|~09Az: "quoted, \\" :"\r\n'
    )
    wire.visit(asked(fields))

    assert wire.upstream().head() == told(
        b"x-many: 1\r\nx-other: caf\xe9 \xff\r\nx-many: 2, 3\r\nx-many: \r\nx-padded: inner \t space\r\n"
        b'cookie: a=1\r\ncookie: b=2\r\n!#$%&\'*+-.^_`|~09az: "quoted, \\" :"\r\n'
    )


@pytest.mark.fidelity("H-FIELDS")
def test_fields_of_a_response_are_kept_in_order_and_repetition(wire: Wire) -> None:
    visitor = wire.visit(asked())
    upstream = wire.upstream()
    upstream.say(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-Other: caf\xe9\r\nset-cookie: b=2, 3; Secure\r\n"
        b"X-Empty:\r\nServer: theirs\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"
    )

    assert visitor.head() == (
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\nx-other: caf\xe9\r\nset-cookie: b=2, 3; Secure\r\n"
        b"x-empty: \r\nserver: theirs\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n"
    )


@pytest.mark.fidelity("H-FIELDS")
def test_nothing_is_added_to_a_response(wire: Wire) -> None:
    visitor = wire.visit(asked())
    wire.upstream().say(OK)

    assert visitor.take(len(OK)) == OK
    assert visitor.is_quiet()


@pytest.mark.fidelity("H-FIELDS")
def test_fields_that_should_stand_alone_are_kept_in_repetition_too(wire: Wire) -> None:
    fields = (
        b"content-type: a/b\r\ncontent-type: c/d\r\nauthorization: Basic YTpi\r\nauthorization: Bearer x\r\n"
        b"max-forwards: 0\r\nrange: bytes=0-1\r\nrange: bytes=2-3\r\nproxy: kept\r\n"
    )
    wire.visit(asked(fields))

    assert wire.upstream().head() == told(fields)


@pytest.mark.fidelity("H-FIELDS")
def test_blanks_around_values_of_a_response_are_no_part_of_them(wire: Wire) -> None:
    visitor = wire.visit(asked())
    wire.upstream().say(
        b"HTTP/1.1 200 OK\r\nX-Many:\t1 \t\r\nX-Empty: \t\r\nSet-Cookie:a=b; \r\nContent-Length: 2 \r\n\r\nok"
    )

    assert visitor.head() == (
        b"HTTP/1.1 200 OK\r\nx-many: 1\r\nx-empty: \r\nset-cookie: a=b;\r\ncontent-length: 2\r\n\r\n"
    )


@pytest.mark.fidelity("H-EXPECT")
@pytest.mark.parametrize("expected", [b"200-ok", b"100-continue-please", b""])
def test_other_expectations_are_disregarded(wire: Wire, expected: bytes) -> None:
    wire.visit(asked(b"Expect: %b\r\nContent-Length: 50000\r\n" % expected, method=b"POST"))

    assert wire.upstream().head() == told(b"content-length: 50000\r\n", method=b"POST")


@pytest.mark.fidelity("H-HOP")
def test_fields_of_the_visitors_connection_go_no_further(wire: Wire) -> None:
    wire.visit(
        asked(
            b"Connection: X-Named, keep-alive,,  x-also\r\nX-Named: 1\r\nX-Kept: 2\r\nKeep-Alive: timeout=5\r\n"
            b"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\nconnection: X-Third\r\n"
            b"X-ALSO: 3\r\nX-Third: 4\r\nAccept: */*\r\n"
        )
    )

    assert wire.upstream().head() == told(b"x-kept: 2\r\naccept: */*\r\n")


@pytest.mark.fidelity("H-HOP")
def test_connection_cannot_name_what_every_recipient_needs(wire: Wire) -> None:
    fields = b"Content-Length: 2\r\nAuthorization: Bearer x\r\nCookie: a=1\r\n"
    named = b"Connection: Host, Content-Length, Authorization, Cookie, X-Forwarded-For\r\n"
    wire.visit(asked(named + fields, method=b"POST") + b"hi")

    upstream = wire.upstream()
    assert upstream.head() == told(b"content-length: 2\r\nauthorization: Bearer x\r\ncookie: a=1\r\n", method=b"POST")
    assert upstream.take(2) == b"hi"


@pytest.mark.fidelity("H-HOP")
def test_connection_cannot_name_the_name_of_the_request(wire: Wire) -> None:
    with wire.reloaded(request_id="keep"):
        visitor = wire.visit(asked(b"X-Request-Id: mine\r\nConnection: X-Request-Id\r\n"))

        upstream = wire.upstream()
        assert upstream.head() == told(b"x-request-id: mine\r\n")
        upstream.say(OK)
        assert visitor.head() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: mine\r\n\r\n"


@pytest.mark.fidelity("H-FORWARDED-TRUSTED")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only loopback address")
def test_connection_cannot_name_what_a_trusted_proxy_says_of_forwarding(wire: Wire) -> None:
    fields = (
        b"X-Real-IP: 192.0.2.1\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.test\r\n"
    )
    named = b"Connection: X-Real-IP, X-Forwarded-Port, X-Forwarded-Proto, X-Forwarded-Host, X-Other\r\nX-Other: 1\r\n"
    wire.visit(asked(named + fields), source=TRUSTED_PROXY)

    assert wire.upstream().head() == (
        b"GET / HTTP/1.1\r\nhost: app.test\r\nx-real-ip: 192.0.2.1\r\nx-forwarded-port: 443\r\n"
        b"x-forwarded-proto: https\r\nx-forwarded-host: a.test\r\nx-forwarded-for: %b\r\n\r\n" % TRUSTED_PROXY.encode()
    )


@pytest.mark.fidelity("H-HOP")
def test_fields_of_the_upstreams_connection_go_no_further(wire: Wire) -> None:
    visitor = wire.visit(asked())
    wire.upstream().say(
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 2\r\n"
        b"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"
    )

    assert visitor.head() == b"HTTP/1.1 200 OK\r\nx-kept: 2\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.fidelity("H-UPGRADE")
@pytest.mark.parametrize("protocol", [b"h2c", b"TLS/1.0", b"HTTP/2.0, IRC/6.9"])
def test_upgrade_to_anything_but_websocket_is_ignored(wire: Wire, protocol: bytes) -> None:
    ours = (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" % protocol
    )
    visitor = wire.visit(asked(ours))
    upstream = wire.upstream()
    assert upstream.head() == told()
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK

    visitor.say(asked(target=b"/after"))

    assert wire.upstream().head() == told(target=b"/after")


@pytest.mark.fidelity("H-UPGRADE")
def test_body_of_a_request_that_asks_for_an_upgrade_is_forwarded(wire: Wire) -> None:
    length = b"Content-Length: 5\r\n"
    visitor = wire.visit(asked(b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + length, method=b"POST") + b"hello")
    upstream = wire.upstream()
    assert upstream.head() == told(length.lower(), method=b"POST")
    assert upstream.take(5) == b"hello"
    upstream.say(OK)
    assert visitor.take(len(OK)) == OK

    visitor.say(asked(target=b"/after"))

    assert wire.upstream().head() == told(target=b"/after")


@pytest.mark.fidelity("H-HOST")
@pytest.mark.parametrize("host", [b"APP.Test", b"app.test:8080", b"app.test."])
def test_host_is_the_visitors(wire: Wire, host: bytes) -> None:
    wire.visit(asked(host=host))

    assert wire.upstream().head() == told(host=host)


@pytest.mark.fidelity("H-HOST-HEADER")
def test_host_is_the_targets_own_where_it_is_configured_so(wire: Wire) -> None:
    wire.visit(asked(host=b"own.test"))

    assert wire.upstream().head() == told(host=b"127.0.0.1:%d" % wire.app.port, visited=b"own.test")


@pytest.mark.fidelity("H-HOST-HEADER")
def test_host_is_the_one_configured(wire: Wire) -> None:
    wire.visit(asked(host=b"set.test"))

    assert wire.upstream().head() == told(host=LITERAL_HOST.encode(), visited=b"set.test")


@pytest.mark.fidelity("H-ABSOLUTE")
@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        (b"http://app.test/a?b", b"/a?b"),
        (b"http://app.test", b"/"),
        (b"http://app.test?q", b"/?q"),
        (b"HTTP://app.test//a%2Fb", b"//a%2Fb"),
    ],
)
def test_absolute_form_is_forwarded_as_a_path(wire: Wire, target: bytes, forwarded: bytes) -> None:
    wire.visit(asked(target=target))

    assert wire.upstream().head() == told(target=forwarded)


@pytest.mark.fidelity("H-FORWARDED")
def test_upstream_is_told_of_the_visitor(wire: Wire) -> None:
    wire.visit(b"GET / HTTP/1.1\r\nHost: app.test:81\r\n\r\n")

    assert wire.upstream().head() == (
        b"GET / HTTP/1.1\r\nhost: app.test:81\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n"
        b"x-forwarded-host: app.test:81\r\n\r\n"
    )


CLAIMS = (
    b"X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 6.6.6.7\r\nX-Forwarded-Proto: https\r\n"
    b"X-Forwarded-Host: evil.test\r\nForwarded: for=6.6.6.6;host=evil.test\r\nX-Forwarded-Port: 1\r\n"
    b"X_Forwarded_For: 6.6.6.8\r\nX-Real-IP: 6.6.6.9\r\n"
)


@pytest.mark.fidelity("H-FORWARDED-UNTRUSTED")
def test_what_a_visitor_says_of_forwarding_is_replaced(wire: Wire) -> None:
    wire.visit(asked(CLAIMS + b"X-Kept: 1\r\n"))

    assert wire.upstream().head() == told(b"x-kept: 1\r\n")


@pytest.mark.fidelity("H-FORWARDED-TRUSTED")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only loopback address")
def test_what_a_trusted_proxy_says_of_forwarding_is_kept_and_added_to(wire: Wire) -> None:
    ours = b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nX-Forwarded-Proto: https\r\n"
    wire.visit(asked(ours + b"X-Forwarded-Host: shop.test\r\n"), source=TRUSTED_PROXY)

    assert wire.upstream().head() == (
        b"GET / HTTP/1.1\r\nhost: app.test\r\nx-forwarded-proto: https\r\nx-forwarded-host: shop.test\r\n"
        b"x-forwarded-for: 192.0.2.1, 192.0.2.2, %b\r\n\r\n" % TRUSTED_PROXY.encode()
    )


@pytest.mark.fidelity("H-FORWARDED-RFC7239")
def test_upstream_is_told_by_forwarded_where_it_is_configured_so(wire: Wire) -> None:
    with wire.reloaded(forwarded="rfc7239"):
        wire.visit(asked(CLAIMS, host=b"app.test:81"))

        assert wire.upstream().head() == (
            b'GET / HTTP/1.1\r\nhost: app.test:81\r\nforwarded: for=127.0.0.1;host="app.test:81";proto=http\r\n\r\n'
        )
