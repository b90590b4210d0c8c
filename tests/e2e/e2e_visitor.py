"""A visitor on raw sockets: it sends the bytes it is told to and is strict about what comes back."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]
Headers = Iterable[tuple[str, str]]

HOST = "app.example.test"
READ_BYTES = 256 * 1024
# A test that meets no other deadline ends here.
DEADLINE_S = 60.0


def run(scenario, *, deadline_s: float = DEADLINE_S):
    """Run a coroutine to its end on a fresh event loop, within a deadline."""

    async def limited():
        async with asyncio.timeout(deadline_s):
            return await scenario

    return asyncio.run(limited())


class Truncated(Exception):
    """The connection ended before the response was whole."""


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """One HTTP/1.1 connection, kept alive between requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: Address, *, receive_buffer_bytes: int | None = None) -> "Visitor":
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return cls(*await asyncio.open_connection(sock=sock, limit=receive_buffer_bytes or READ_BYTES))

    async def __aenter__(self) -> "Visitor":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Close the connection, whatever is under way on it."""
        self.writer.transport.abort() if self.writer.transport.get_write_buffer_size() else self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    async def vanish(self) -> None:
        """Reset the connection: unlike an end of what is sent, that cannot be taken for a visitor who still listens."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.leave()

    async def send_head(self, method: str, target: str, headers: Headers = (), *, host: str = HOST) -> None:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Response:
        """Read a response's status and headers; its body is still to come."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Truncated(f"{len(error.partial)} bytes of a response's head") from error
        line, *fields = head[:-4].decode("latin-1").split("\r\n")
        version, status, *_ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [field.split(":", 1) for field in fields]
        return Response(int(status), [(name, value.strip()) for name, value in pairs])

    async def body(self, response: Response, *, method: str = "GET") -> AsyncIterator[bytes]:
        """Yield the body as it arrives; raise Truncated when the connection ends before it is whole."""
        if method == "HEAD" or response.status in (204, 304):
            return
        try:
            if response.header("transfer-encoding"):
                assert response.all("transfer-encoding") == ["chunked"]
                assert response.all("content-length") == []
                async for piece in self._chunks():
                    yield piece
            else:
                (length,) = response.all("content-length")
                async for piece in self._exactly(int(length)):
                    yield piece
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Truncated from error

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            async for piece in self._exactly(size):
                yield piece
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readuntil(b"\r\n") == b"\r\n"

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = await self.reader.read(min(size, READ_BYTES))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(piece)
            yield piece

    async def response(self, *, method: str = "GET") -> Response:
        """Read a whole response."""
        response = await self.head()
        response.body = b"".join([piece async for piece in self.body(response, method=method)])
        return response

    async def request(
        self, method: str, target: str, *, headers: Headers = (), body: bytes | None = None, host: str = HOST
    ) -> Response:
        """Send a whole request and read its whole response."""
        length = () if body is None else (("Content-Length", str(len(body))),)
        await self.send_head(method, target, (*headers, *length), host=host)
        if body:
            await self.send(body)
        return await self.response(method=method)

    async def get(self, target: str, *, host: str = HOST) -> Response:
        return await self.request("GET", target, host=host)


async def fetch(
    address: Address,
    target: str,
    *,
    method: str = "GET",
    headers: Headers = (),
    body: bytes | None = None,
    host: str = HOST,
) -> Response:
    """Send one request on a connection of its own."""
    async with await Visitor.connect(address) as visitor:
        return await visitor.request(method, target, headers=headers, body=body, host=host)


async def exchange_state(upstream: Address, exchange: str, *, until: str = "", timeout_s: float = 5.0) -> dict:
    """Ask the upstream about an exchange, waiting until a condition holds; fail when it does not in time."""
    target = f"/state?id={exchange}&until={until}&timeout_s={timeout_s}"
    response = await fetch(upstream, target)
    assert response.status == 200, f"{exchange} was not {until} within {timeout_s} s: {response.body.decode()}"
    return response.json()


def wait_until_gone(address: Address, host: str) -> None:
    """Return once a host that is served takes nothing new. For tests that are not coroutines."""
    deadline = time.monotonic() + DEADLINE_S
    while run(fetch(address, "/", host=host)).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_problem(response: Response, status: int, code: str) -> None:
    """Assert a well-formed problem+json with the code, and nothing about what is inside."""
    assert (status, code) == (response.status, problem_code(response))


def problem_code(response: Response) -> str:
    """Return the code of a failure after asserting that it is well formed."""
    assert (response.header("content-type") or "").split(";")[0] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status
    assert "127.0.0.1" not in response.body.decode()
    return problem["code"]
