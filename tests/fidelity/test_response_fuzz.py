"""Whatever an upstream says, its visitor hears one answer or sees that it was cut, and nobody else hears of it."""

from __future__ import annotations

import contextlib
import os
import select

import h11
import pytest
from fidelity_bytes import asked
from fidelity_sockets import DEADLINE_S, RawSocket
from fidelity_wire import Wire
from hostile_responses import FORGED, hostile_responses
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from strict_http import Incomplete, Malformed, Response, read_responses

FULL = os.environ.get("TUNNEL_FULL") == "1"
EXAMPLES = 3_000 if FULL else 150

NEXT = b"HTTP/1.1 200 OK\r\nx-next: yes\r\ncontent-length: 4\r\n\r\nnext"
HEAD_OF_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def by_h11(said: bytes, method: bytes, *, ended: bool) -> tuple[int, bytes] | None:
    """Status and body of the response that h11 reads; None: no whole one."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target=b"/", headers=[("host", "kept.test")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(said)
    if ended:
        connection.receive_data(b"")
    status, body = 0, b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None
    return status, body


def read(heard: bytes, method: bytes) -> Response | None:
    """The one response in what a visitor heard up to the end of its connection; None: it was cut."""
    try:
        responses, left = read_responses(heard, [method])
    except Incomplete:
        return None
    assert (len(responses), left) == (1, b"")
    return responses[0]


def well_formed(said: bytes) -> bool:
    """Whether a strict reading finds a whole response with a body at the beginning of what was said to a GET."""
    try:
        responses, _ = read_responses(said, [])
    except (Incomplete, Malformed):
        return False
    return len(responses) == 1 and responses[0].status not in (204, 304)


def asked_next(wire: Wire, first: RawSocket) -> bytes:
    """What another visitor hears, whose request is answered with ``NEXT`` on whatever connection it comes."""
    visitor = wire.visit(asked(b"Connection: close\r\n", target=b"/next", host=b"kept.test"))
    connections = {first.socket: first}
    while True:
        ready, _, _ = select.select([*connections, wire.kept.socket], [], [], DEADLINE_S)
        assert ready, "nobody is asked"
        if wire.kept.socket in ready:
            another = wire.called(wire.kept)
            connections[another.socket] = another
            continue
        for each in ready:
            with contextlib.suppress(ConnectionResetError):
                if each.recv(1 << 16):
                    connections[each].say(NEXT)
                    return visitor.ended()
            del connections[each]  # it has ended, so there is another, or will be


@pytest.mark.fidelity("H-FUZZ-RESPONSE")
def test_visitor_hears_one_answer_and_nobody_else_hears_of_it(wire: Wire) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not FULL,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        said=hostile_responses(),
        method=st.sampled_from([b"GET", b"GET", b"HEAD"]),
        pieces=st.sampled_from([1, 1, 2, 7]),
        ends=st.booleans(),
    )
    @example(HEAD_OF_CHUNKS + b"0\r\nConnection: close\r\n\r\n", b"HEAD", 1, False)
    @example(HEAD_OF_CHUNKS + b"%x\r\n" % len(FORGED), b"HEAD", 1, False)
    @example(HEAD_OF_CHUNKS.replace(b"1.1", b"1.0") + b"0\r\n\r\n" + FORGED, b"GET", 1, False)
    @example(b"HTTP/1.1 200 OK\r\nContent-Length: 2 \r\n\r\nok", b"GET", 1, False)
    def check(said: bytes, method: bytes, pieces: int, ends: bool) -> None:
        with wire.scene():
            visitor = wire.visit(asked(b"Connection: close\r\n", method=method, host=b"kept.test"))
            upstream = wire.upstream(wire.kept)
            upstream.head()
            size = max(1, -(-len(said) // pieces))
            for at in range(0, len(said), size):
                upstream.say_what_is_taken(said[at : at + size])
            if ends:
                with contextlib.suppress(OSError):  # it may be reset already
                    upstream.half_close()

            # Others hear what is theirs, on this connection or on another.
            assert asked_next(wire, upstream) == NEXT.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

            # The visitor hears no more than one response. If it is whole it is the one that was said, or a failure.
            upstream.close()
            response = read(visitor.ended(), method)
            expected = by_h11(said, method, ended=True)
            if expected is not None and method == b"GET" and well_formed(said):
                assert response is not None
                assert (response.status, response.body) == expected
            elif expected is not None and response is not None and response.status != 502:
                assert (response.status, response.body) == expected

    check()
