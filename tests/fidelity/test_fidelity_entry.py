"""What enters at a client: the way it goes while no tunnel is up, and applications in the server's process."""

from __future__ import annotations

import json

import pytest
from fidelity_bytes import asked, told
from fidelity_sockets import RawSocket
from fidelity_wire import Wire
from websocket_bytes import TEXT, accepting, frame, hear_message, key_of, opening

OK = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\nx-a: 2\r\n\r\nok"


def answered(visitor: RawSocket, route: bytes) -> None:
    assert visitor.head() == (
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 2\r\nx-a: 2\r\ntunnel-route: %b\r\n\r\n" % route
    )
    assert visitor.take(2) == b"ok"


def without_hops(head: bytes) -> bytes:
    """A head without the field by which a client knows its own requests again."""
    lines = head.split(b"\r\n")
    assert sum(line.startswith(b"tunnel-hops: ") for line in lines) == 1
    return b"\r\n".join(line for line in lines if not line.startswith(b"tunnel-hops: "))


@pytest.mark.fidelity("D-DIRECT")
def test_request_goes_to_the_host_that_it_names(wire: Wire) -> None:
    host = b"127.0.0.1:%d" % wire.app.port
    with wire.entry() as entry:
        visitor = wire.enter(entry, asked(b"X-Many: 1\r\nx-many: 2\r\n", target=b"/a%2Fb?x=%20", host=host))
        upstream = wire.upstream()
        assert without_hops(upstream.head()) == told(b"x-many: 1\r\nx-many: 2\r\n", target=b"/a%2Fb?x=%20", host=host)
        upstream.say(OK)
        answered(visitor, b"direct")


@pytest.mark.fidelity("D-DIRECT")
def test_websocket_goes_to_the_host_that_it_names(wire: Wire) -> None:
    with wire.entry() as entry:
        visitor = wire.enter(entry, opening(host=b"127.0.0.1:%d" % wire.app.port))
        upstream = wire.upstream()
        upstream.say(accepting(key_of(upstream.head())))
        assert b"\r\ntunnel-route: direct\r\n" in visitor.head()
        visitor.say(frame(TEXT, b"hello", masked=True))
        assert hear_message(upstream, masked=True) == (TEXT, b"hello")
        visitor.reset()
        assert upstream.ended() == b""  # without a word, which is how it went


@pytest.mark.fidelity("D-LIMITED")
@pytest.mark.parametrize("host", [b"127.0.0.1:9", b"app.test", b"10.0.0.7"])
def test_what_is_not_allowed_is_503_as_without_fallback(wire: Wire, host: bytes) -> None:
    with wire.entry() as entry:
        visitor = wire.enter(entry, asked(host=host))
        head = visitor.head()
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"tunnel-route" not in head
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert json.loads(visitor.take(length))["code"] == "no_client"
    wire.check_untouched()


@pytest.mark.fidelity("D-RETURNS")
def test_next_request_goes_through_the_tunnel_once_it_is_up_and_directly_once_it_is_gone(wire: Wire) -> None:
    host = b"127.0.0.1:%d" % wire.app.port
    with wire.entry() as entry:
        staying = wire.enter(entry, asked(host=host))
        direct = wire.upstream()
        direct.head()

        wire.within(entry.server_comes())
        visitor = wire.enter(entry, asked(host=host))
        through = wire.upstream(wire.kept)
        assert through.head() == told(host=host)
        through.say(OK)
        answered(visitor, b"tunnel")
        direct.say(OK)
        answered(staying, b"direct")

        wire.within(entry.server_goes())
        visitor = wire.enter(entry, asked(host=host))
        direct.head()  # its connection was kept
        direct.say(OK)
        answered(visitor, b"direct")


@pytest.mark.fidelity("D-LOOP")
def test_request_that_comes_back_is_508(wire: Wire) -> None:
    with wire.entry() as entry:
        visitor = wire.enter(entry, asked(host=b"127.0.0.1:%d" % wire.app.port))
        upstream = wire.upstream()
        head = upstream.head()
        # As a proxy would: what was sent directly enters again.
        again = wire.enter(entry, head)
        assert again.head().startswith(b"HTTP/1.1 508 ")
        upstream.say(OK)
        answered(visitor, b"direct")


@pytest.mark.fidelity("P-SERVER")
def test_application_in_the_servers_process_answers_a_client(wire: Wire) -> None:
    with wire.entry() as entry:
        wire.within(entry.server_comes())
        visitor = wire.enter(entry, asked(b"X-Many: 1\r\nx-many: 2\r\n", target=b"/a%2Fb?x", host=b"process.test"))
        call = wire.process.call()
        assert (call.scope["raw_path"], call.scope["query_string"]) == (b"/a%2Fb", b"x")
        assert call.scope["client"] == ("127.0.0.1", 0)
        assert [value for name, value in call.scope["headers"] if name == b"x-many"] == [b"1", b"2"]
        call.respond(b"ok", (b"content-length", b"2"))
        assert visitor.head() == (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: today\r\ntunnel-route: tunnel\r\n\r\n"
        )
        assert visitor.take(2) == b"ok"
        call.ends()

        visitor = wire.enter(entry, opening(host=b"process.test"))
        call = wire.process.call()
        assert call.receive() == {"type": "websocket.connect"}
        call.send("websocket.accept")
        assert visitor.head().startswith(b"HTTP/1.1 101 ")
        call.send("websocket.send", text="hello")
        assert hear_message(visitor) == (TEXT, b"hello")
        visitor.reset()
        assert call.receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        call.ends()
