"""The table of docs/reference/http.md: what holds on our own listener, and what of it under other ASGI servers.

Every cell is compared with what the server does. A cell begins with ``yes`` where the row holds.
"""

from __future__ import annotations

import importlib.util
import json
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.ports import unused_port

HERE = Path(__file__).parent
PAGE = Path(__file__).parents[4] / "docs/reference/http.md"
HEADING = "## Mounted elsewhere"
DEADLINE_S = 10.0
QUIET_S = 1.0
"""A server that has said nothing for that long after an answer neither goes on nor closes."""

PYTHON = [sys.executable, "-m"]
COMMANDS: dict[str, list[str]] = {
    "own listener": [sys.executable, "mounted_app.py", "127.0.0.1:{port}"],
    "uvicorn": [*PYTHON, "uvicorn", "mounted_app:app", "--port", "{port}", "--http", "httptools"],
    "hypercorn": [*PYTHON, "hypercorn", "mounted_app:app", "--bind", "127.0.0.1:{port}"],
    "granian": [*PYTHON, "granian", "mounted_app:app", "--interface", "asgi", "--port", "{port}"],
}
GET = b"GET %b HTTP/1.1\r\nHost: a.test\r\n\r\n"
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """A server in a process of its own."""

    def __init__(self, command: list[str]) -> None:
        self._address = ("127.0.0.1", unused_port())
        command = [part.format(port=self._address[1]) for part in command]
        self._process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            assert self._process.poll() is None
            try:
                self.connect().close()
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, DEADLINE_S)

    def ask(self, data: bytes) -> Answer:
        """The answer, or what there is of it when the server closes."""
        with self.connect() as visitor:
            visitor.sendall(data)
            return Answer.read(visitor)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE_S)


class Answer:
    def __init__(self, raw: bytes, end: str) -> None:
        self.raw = raw
        self.end = end
        """``open``, ``closed`` or ``reset``."""

    @classmethod
    def read(cls, visitor: socket.socket, raw: bytes = b"", *, enough: Callable[[bytes], bool] | None = None) -> Answer:
        """Read on from ``raw`` until that is ``enough``; None: until it is an answer that is seen to be whole.

        Not after the server has closed or, having said something, is quiet.
        """
        enough = enough or is_whole
        visitor.settimeout(QUIET_S if raw else DEADLINE_S)
        try:
            while not enough(raw):
                data = visitor.recv(65536)
                if not data:
                    return cls(raw, "closed")
                raw += data
                visitor.settimeout(QUIET_S)
        except TimeoutError:
            pass
        except ConnectionResetError:
            return cls(raw, "reset")
        return cls(raw, "open")

    def end_of(self, visitor: socket.socket) -> str:
        """What becomes of the connection after this."""
        return Answer.read(visitor, self.raw, enough=lambda _: False).end

    @property
    def status(self) -> int:
        found = re.findall(rb"^HTTP/1\.[01] (\d+)", self.raw, re.MULTILINE)
        return int(found[-1]) if found else 0

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0].lower()

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def shown(self) -> dict[str, object]:
        shown: dict[str, object] = json.loads(self.body)
        return shown


def is_whole(raw: bytes) -> bool:
    """Whether this ends with an answer of a length that is told, behind any interim ones."""
    head, blank, body = raw.partition(b"\r\n\r\n")
    while blank and re.match(rb"HTTP/1\.1 1(?!01)", head):
        head, blank, body = body.partition(b"\r\n\r\n")
    if not blank:
        return False
    if re.search(rb"(?mi)^transfer-encoding: chunked\r?$", head):
        return re.search(rb"(?:^|\r\n)0\r\n(?:[^\r]+\r\n)*\r\n$", body) is not None
    length = re.search(rb"(?mi)^content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def request_trailers(server: Server) -> bool:
    answer = server.ask(CHUNKED_POST + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
    return answer.shown["trailers"] == ["x-sum", "1"]


def trailers_apart(server: Server) -> bool:
    answer = server.ask(CHUNKED_POST + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
    return "x-sum" not in answer.shown["names"]  # type: ignore[operator]


def response_trailers(server: Server) -> bool:
    answer = server.ask(b"GET /trailers HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n\r\n")
    return answer.body == b"3\r\none\r\n0\r\nx-sum: 1\r\n\r\n"


def url_authority(server: Server) -> bool:
    return server.ask(GET % b"http://b.test/x").shown["host"] == "b.test"


def empty_query(server: Server) -> bool:
    return server.ask(GET % b"/x?").shown["query"] == ""


def raw_path(server: Server) -> bool:
    shown = server.ask(GET % b"/a%2Fb/%7e?c=%20").shown
    return (shown["path"], shown["query"]) == ("/a%2Fb/%7e", "c=%20")


def http10_without_chunks(server: Server) -> bool:
    return server.ask(b"GET /streamed HTTP/1.0\r\nHost: a.test\r\n\r\n").body == b"onetwo"


def http10_kept(server: Server) -> bool:
    request = b"GET /early HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n"
    with server.connect() as visitor:
        visitor.sendall(request)
        told = b"connection: keep-alive" in Answer.read(visitor).head
        visitor.sendall(request)
        return told and Answer.read(visitor).status == 200


def http10_cut(server: Server) -> bool:
    return server.ask(b"GET /cut HTTP/1.0\r\nHost: a.test\r\n\r\n").end == "reset"


def cut(server: Server) -> bool:
    answer = server.ask(GET % b"/cut")
    return (answer.body, answer.end) == (b"4\r\npart\r\n", "closed")


def no_host(server: Server) -> bool:
    return server.ask(b"GET / HTTP/1.1\r\n\r\n").status == 400


def two_hosts(server: Server) -> bool:
    return server.ask(b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n").status == 400


def two_lengths(server: Server) -> bool:
    head = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    return server.ask(head + b"3\r\nabc\r\n0\r\n\r\n").status == 400


def bare_line_feeds(server: Server) -> bool:
    return server.ask(b"GET / HTTP/1.1\nHost: a.test\n\n").status == 400


def other_versions(server: Server) -> bool:
    return server.ask(b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n").status == 505


def malformed(server: Server) -> bool:
    answer = server.ask(b"\x16\x03\x01\r\n\r\n")
    return answer.status == 400 and b"application/problem+json" in answer.head


def malformed_body(server: Server) -> bool:
    return server.ask(CHUNKED_POST + b"zz\r\n").status == 400


def large_head(server: Server) -> bool:
    answer = server.ask(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 9000 + b"\r\n\r\n")
    return answer.status == 431 and b"application/problem+json" in answer.head


def endless_head(server: Server) -> bool:
    with server.connect() as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ")
        for _ in range(64):
            if select.select([visitor], [], [], 0.005)[0]:
                return visitor.recv(65536).startswith(b"HTTP/1.1 431")
            visitor.sendall(b"y" * 16384)
    return False


def expectation(server: Server) -> bool:
    head = b"POST /early HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    return b"HTTP/1.1 100" not in server.ask(head).raw


def unread_body(server: Server) -> bool:
    with server.connect() as visitor:
        visitor.sendall(b"POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nabc")
        answer = Answer.read(visitor)
        return (answer.status, answer.end_of(visitor)) == (200, "closed")


def body_of_an_upgrade(server: Server) -> bool:
    head = b"POST / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"
    answer = server.ask(head + b"abc")
    return answer.status == 200 and answer.shown["size"] == 3


def half_closed(server: Server) -> bool:
    with server.connect() as visitor:
        visitor.sendall(GET % b"/slow")
        visitor.shutdown(socket.SHUT_WR)
        return Answer.read(visitor).body == b"slow"


def departed(server: Server) -> bool:
    def count(path: bytes) -> int:
        return int(server.ask(GET % path).body)

    before = count(b"/left")
    with server.connect() as visitor:
        visitor.sendall(GET % b"/forever")
        while count(b"/waiting") == before:
            pass
    deadline = time.monotonic() + 1
    while count(b"/left") == before and time.monotonic() < deadline:
        pass
    return count(b"/left") == before + 1


HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: log, chat\r\n\r\n"
)


def masked(first: int, payload: bytes) -> bytes:
    """A frame of a visitor; the mask changes nothing."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([first]) + size + bytes(4) + payload


def converse(server: Server, said: bytes, *, path: bytes = b"/", size: int = 0) -> tuple[bytes, bytes]:
    """The head of the answer, and what follows it: at least ``size`` bytes, if they come."""
    with server.connect() as visitor:
        visitor.sendall(HANDSHAKE % path)
        head = b""
        while b"\r\n\r\n" not in head:
            head += visitor.recv(65536)
        visitor.sendall(said)
        answer = Answer.read(visitor, head, enough=lambda raw: len(raw.partition(b"\r\n\r\n")[2]) >= size)
    return answer.head, answer.body


def websocket_echo(server: Server) -> bool:
    text = "h\u00e9".encode()
    echoed = b"\x81\x03" + text + b"\x82\x01\xff\x82\x00"
    said = masked(0x81, text) + masked(0x82, b"\xff") + masked(0x82, b"")
    head, frames = converse(server, said, size=len(echoed))
    return b"sec-websocket-protocol: chat" in head and frames.startswith(echoed)


def websocket_fields(server: Server) -> bool:
    return b"x-one: 1" in converse(server, b"")[0]


def websocket_refusal(server: Server) -> bool:
    head, body = converse(server, b"", path=b"/refused", size=2)
    return head.startswith(b"http/1.1 403") and b"x-reason: tea" in head and b"no" in body


def websocket_close(server: Server) -> bool:
    return converse(server, masked(0x88, b"\x0f\xa0"), size=4)[1][:4] == b"\x88\x02\x0f\x9f"


def websocket_too_large(server: Server) -> bool:
    return converse(server, masked(0x82, bytes(1025)), size=4)[1][2:4] == (1009).to_bytes(2, "big")


def websocket_violation(server: Server) -> bool:
    return converse(server, masked(0xC1, b"x"), size=4)[1][2:4] == (1002).to_bytes(2, "big")


CHECKS: dict[str, Callable[[Server], bool]] = {
    "Path and query are forwarded as they came": raw_path,
    "An empty query is told from none": empty_query,
    "The authority of a URL stands in place of Host": url_authority,
    "Request trailers are forwarded": request_trailers,
    "Request trailers are not taken for headers": trailers_apart,
    "Response trailers are sent": response_trailers,
    "A response that breaks off is seen not to be whole": cut,
    "On HTTP/1.0 too": http10_cut,
    "HTTP/1.0 gets no chunks": http10_without_chunks,
    "HTTP/1.0 connections are kept when asked for": http10_kept,
    "A request without Host is `400`": no_host,
    "Two Host fields are `400`": two_hosts,
    "A length together with a transfer coding is `400`": two_lengths,
    "Bare line feeds are `400`": bare_line_feeds,
    "Malformed chunks are `400`": malformed_body,
    "Other versions are `505`": other_versions,
    "What the parser refuses gets a problem document": malformed,
    "A head over `max_header_bytes` is `431`": large_head,
    "A head without end is `431`": endless_head,
    "100 Continue is sent only when the application reads": expectation,
    "A connection with unread body is closed": unread_body,
    "A body comes through with an upgrade that is ignored": body_of_an_upgrade,
    "A visitor that ends its input gets its answer": half_closed,
    "A visitor that leaves cancels the target within a second": departed,
    "WebSocket messages and subprotocols pass": websocket_echo,
    "Fields of a WebSocket's acceptance reach the visitor": websocket_fields,
    "A WebSocket is refused with status, fields and body": websocket_refusal,
    "A WebSocket's close is answered by the application": websocket_close,
    "A message over `max_message_bytes` is closed with 1009": websocket_too_large,
    "Frames against the protocol are closed with 1002": websocket_violation,
}


def table() -> tuple[list[str], dict[str, list[str]]]:
    """Names of the servers, and the cells of each row."""
    section = PAGE.read_text().partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    head, _, *rows = [
        [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    return head[1:], {row[0]: row[1:] for row in rows}


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    name: str = request.param
    if name in ("hypercorn", "granian") and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    running = Server(COMMANDS[name])
    try:
        running.wait()
        yield name, running
    finally:
        running.stop()


def test_every_row_is_checked() -> None:
    servers, rows = table()
    assert (servers, list(rows)) == (list(COMMANDS), list(CHECKS))


@pytest.mark.parametrize("row", CHECKS)
def test_row_is_what_the_server_does(row: str, server: tuple[str, Server]) -> None:
    name, running = server
    servers, rows = table()
    cell = rows[row][servers.index(name)]
    assert CHECKS[row](running) == cell.startswith("yes")
