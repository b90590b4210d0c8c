"""How many WebSocket messages a tunnel echoes a second, and what an idle socket costs it.

``python -m bench.websocket_echo [--transport grpc|websocket] [--sockets 100] [--idle 2000]``

Server, client, upstream and visitors are processes of their own on this machine. Each socket sends a message of 100
bytes when the one before has come back. The visitors and the upstream know no more of WebSocket than that takes, so
that most of what is measured is the tunnel's.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import uvloop
from websockets.speedups import apply_mask

_MESSAGE_BYTES: Final = 100
_FRAME_BYTES: Final = 2 + _MESSAGE_BYTES
_WARM_UP_S: Final = 1.0
_MEASURE_S: Final = 5.0
_SETTLE_S: Final = 2.0
_KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN: Final = "bench"


class _Echo(asyncio.Protocol):
    """The upstream's side of one socket; small frames only."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""
        self._open = False

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._accept(head)
        at, answers = 0, []
        while len(data) - at >= 6:
            size = data[at + 1] & 0x7F
            if len(data) - at < 6 + size:
                break
            payload = apply_mask(data[at + 6 : at + 6 + size], data[at + 2 : at + 6])
            answers.append(bytes((data[at], size)) + payload)
            at += 6 + size
        self._rest = data[at:]
        self._transport.write(b"".join(answers))  # type: ignore[attr-defined]

    def _accept(self, head: bytes) -> None:
        self._open = True
        found = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
        assert found is not None
        token = base64.b64encode(hashlib.sha1(found[1] + _GUID).digest())
        self._transport.write(  # type: ignore[attr-defined]
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % token
        )


class _Visitor(asyncio.Protocol):
    """A visitor's side of one socket."""

    frame = bytes((0x82, 0x80 | _MESSAGE_BYTES)) + bytes(4) + os.urandom(_MESSAGE_BYTES)
    echoes = 0

    def __init__(self) -> None:
        self.accepted = asyncio.get_running_loop().create_future()
        self._got_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(  # type: ignore[attr-defined]
            b"GET / HTTP/1.1\r\nHost: bench.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % _KEY
        )

    def data_received(self, data: bytes) -> None:
        if not self.accepted.done():
            assert data.startswith(b"HTTP/1.1 101"), data
            self.accepted.set_result(None)
            return
        self._got_bytes += len(data)
        while self._got_bytes >= _FRAME_BYTES:
            self._got_bytes -= _FRAME_BYTES
            _Visitor.echoes += 1
            self.speak()

    def speak(self) -> None:
        self._transport.write(self.frame)  # type: ignore[attr-defined]


async def _upstream() -> None:
    server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def _visit(address: str, sockets: int, *, speaking: bool) -> None:
    """Open sockets and say so; then echo, and tell the rate, or wait for standard input to end."""
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    visitors = []
    for _ in range(sockets):
        _, visitor = await loop.create_connection(_Visitor, host, int(port))
        await visitor.accepted
        visitors.append(visitor)
    print("open", flush=True)
    if not speaking:
        await asyncio.to_thread(sys.stdin.read)
        return
    for visitor in visitors:
        visitor.speak()
    await asyncio.sleep(_WARM_UP_S)
    before, start = _Visitor.echoes, time.perf_counter()
    await asyncio.sleep(_MEASURE_S)
    print((_Visitor.echoes - before) / (time.perf_counter() - start), flush=True)


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found[1]
    raise RuntimeError(f"the process ended before it said {pattern}")


def _role(*arguments: str) -> tuple[str, ...]:
    return ("-m", "bench.websocket_echo", "--role", *arguments)


def _resident_kib(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _measure(transport: str, sockets: int, idle: int) -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(_process(*_role("upstream")))
        assert upstream.stdout is not None
        target = f"http://127.0.0.1:{upstream.stdout.readline().strip()}"
        settings = {
            "transports": {transport: {"listen": "127.0.0.1:0"}},
            "ingress": {"http": {"listen": "127.0.0.1:0"}},
            "auth": {"tokens": {"bench": {"sha256": hashlib.sha256(_TOKEN.encode()).hexdigest(), "groups": ["web"]}}},
            "rules": [{"group": "web"}],
            "groups": {"web": {"rules": [{"upstream": "app"}], "upstreams": {"app": {"targets": [target]}}}},
        }
        (directory / "server.json").write_text(json.dumps(settings))
        server = stack.enter_context(_process("-m", "tunnel", "server", "--config", str(directory / "server.json")))
        joining = _line(server, r"kind=transport name=\w+ address=(\S+)")
        address = _line(server, r"kind=ingress name=http address=(\S+)")
        url = f"{'ws' if transport == 'websocket' else transport}://{joining}"
        settings = {"client_id": "bench", "group": "web", "token": _TOKEN, "servers": [url]}
        (directory / "client.json").write_text(json.dumps(settings))
        client = stack.enter_context(_process("-m", "tunnel", "client", "--config", str(directory / "client.json")))
        _line(client, r"(ready) client=")
        with _process(*_role("speaking", "--address", address, "--sockets", str(sockets))) as visitors:
            assert visitors.stdout is not None
            visitors.stdout.readline()
            rate = float(visitors.stdout.readline())
        print(f"{transport}: {rate:,.0f} messages/s each way over {sockets} sockets")
        time.sleep(_SETTLE_S)
        before = _resident_kib(server), _resident_kib(client)
        with _process(*_role("silent", "--address", address, "--sockets", str(idle))) as visitors:
            assert visitors.stdout is not None
            visitors.stdout.readline()
            time.sleep(_SETTLE_S)
            grown = [_resident_kib(each) - was for each, was in zip((server, client), before, strict=True)]
        print(
            f"{transport}: {grown[0] / idle:.1f} KiB in the server and {grown[1] / idle:.1f} KiB in the client a socket"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--transport", default="websocket", choices=["grpc", "websocket"])
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--role", choices=["upstream", "speaking", "silent"], help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.role:
        case None:
            _measure(options.transport, options.sockets, options.idle)
        case "upstream":
            uvloop.run(_upstream())
        case role:
            uvloop.run(_visit(options.address, options.sockets, speaking=role == "speaking"))


if __name__ == "__main__":
    main()
