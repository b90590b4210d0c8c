"""The loads of WebSocket, gRPC and TCP against their upstreams, in processes of their own, and what misbehaves."""

import resource
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from websockets.sync.client import connect

from bench import idle_load
from bench.accounting import Meter
from bench.bulk_load import run_bulk
from bench.call_load import STREAM, STREAM_MESSAGES, UNARY, run_calls
from bench.echo_load import run_echoes
from bench.idle_load import reachable_sockets, run_idle
from bench.lanes import Entrance, Lane
from bench.plain_lanes import start_direct
from bench.processes import Failed
from bench.websocket_frames import acceptance, frame

TURN_S = 0.05
STAYS_S = 10


@pytest.fixture
def lane(processes, upstreams) -> Lane:
    return start_direct(upstreams, processes)


@contextmanager
def lane_to(answer: bytes, *, stays: bool = False) -> Iterator[Lane]:
    """Leads to a server that answers the first words of every connection with ``answer``, and closes it.

    Where it ``stays``, it waits until the other side has closed.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            self.request.sendall(answer)
            self.request.settimeout(STAYS_S)
            while stays and self.request.recv(1 << 16):
                pass

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        entrance = Entrance(f"127.0.0.1:{server.server_address[1]}")
        yield Lane("direct", dict.fromkeys(("websockets", "bytes", "calls"), entrance), "")
        server.shutdown()
        thread.join()


# -- the upstream


def test_upstream_returns_the_messages_of_a_library_as_they_were(upstreams):
    with connect(f"ws://{upstreams.addresses['websockets']}/", compression=None) as visitor:
        for message in ("text", b"", bytes(125)):
            visitor.send(message)
            assert visitor.recv() == message
    assert visitor.protocol.close_code == 1000


def test_upstream_returns_messages_however_they_are_cut(upstreams):
    host, port = upstreams.addresses["websockets"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as visitor, visitor.makefile("rb") as heard:
        said = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: AAAA\r\n\r\n" + 3 * frame(b"abc", masked=True)
        for at in range(len(said)):
            visitor.send(said[at : at + 1])

        expected = acceptance(b"AAAA") + 3 * frame(b"abc", masked=False)
        assert heard.read(len(expected)) == expected


# -- echoes


@pytest.mark.parametrize("entrance", ["websockets", "bytes"])
def test_messages_come_back_on_every_connection(lane, entrance):
    result = run_echoes(lane, Meter({}), entrance=entrance, connections=3, seconds=TURN_S)

    assert result.done > 3
    assert result.failed == 0
    assert 0 < result.p50_ms <= result.p99_ms


@pytest.mark.parametrize("stays", [False, True])
def test_handshake_that_is_refused_fails_and_leaves_no_connection(stays):
    with lane_to(b"HTTP/1.1 503 No\r\n\r\n", stays=stays) as lane, pytest.raises(Failed):
        run_echoes(lane, Meter({}), entrance="websockets", connections=1, seconds=TURN_S)


def test_connection_that_returns_something_else_has_failed():
    with lane_to(b"nonsense") as lane:
        result = run_echoes(lane, Meter({}), entrance="bytes", connections=2, seconds=TURN_S)

    assert (result.done, result.failed) == (0, 2)


# -- idle


def test_idle_sockets_are_counted_while_they_are_open(lane):
    meter = Meter(lane.measured("websockets"))

    result = run_idle(lane, meter, sockets=5, seconds=0)

    assert (result.done, result.failed) == (5, 0)
    assert set(meter.growth_kib) <= {"upstream"}


def test_idle_sockets_that_are_refused_fail():
    with lane_to(b"HTTP/1.1 503 No\r\n\r\n") as lane, pytest.raises(Failed):
        run_idle(lane, Meter({}), sockets=1, seconds=0)


def test_sockets_stay_below_the_limit_on_open_files(monkeypatch):
    monkeypatch.setattr(idle_load.resource, "getrlimit", lambda _: (1024, 4096))

    assert reachable_sockets(10_000) == 262
    assert reachable_sockets(100) == 100


def test_no_limit_on_open_files_is_none(monkeypatch):
    monkeypatch.setattr(idle_load.resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert reachable_sockets(10_000) == 10_000


# -- calls


@pytest.mark.parametrize(("method", "unit"), [(UNARY, 1), (STREAM, STREAM_MESSAGES)])
def test_calls_are_answered(lane, method, unit):
    result = run_calls(lane, Meter({}), method=method, callers=2, seconds=TURN_S)

    assert result.done >= 2 * unit
    assert result.done % unit == 0
    assert result.failed == 0


def test_calls_that_cannot_be_made_fail():
    with lane_to(b"HTTP/1.1 400 No\r\n\r\n") as lane, pytest.raises(Failed):
        run_calls(lane, Meter({}), method=UNARY, callers=1, seconds=TURN_S)


# -- bulk


@pytest.mark.parametrize("up", [True, False])
def test_bulk_is_counted_when_all_of_it_arrived(lane, up):
    result = run_bulk(lane, Meter({}), up=up, bulk_mib=3, seconds=TURN_S)

    assert result.done == 3
    assert result.elapsed_s > 0


@pytest.mark.parametrize("up", [True, False])
def test_bulk_that_breaks_off_fails(up):
    with lane_to(b"?") as lane, pytest.raises(Failed):
        run_bulk(lane, Meter({}), up=up, bulk_mib=1, seconds=TURN_S)
