"""The demo's visitor: one HTTP/1.1 connection, strict about what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, NoReturn

__all__ = ["Mismatch", "Response", "Visitor", "visiting"]

_READ_BYTES: Final = 256 * 1024


class Mismatch(Exception):
    """Something else came back than had to.

    Args:
        expected: What had to, as a phrase.
        got: What did.
    """

    def __init__(self, expected: object, got: object) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}"


class Response(NamedTuple):
    """Head of a response; names of headers in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


class Visitor:
    """Sends a request at a time and reads its response."""

    def __init__(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._address: Final = address
        self._reader: Final = reader
        self._writer: Final = writer

    async def send(
        self,
        method: str,
        target: str,
        *,
        host: str | None = None,
        body: Iterable[bytes] = (),
        body_bytes: int | None = None,
    ) -> None:
        """Send a whole request.

        Args:
            method: HTTP method.
            target: Path and query.
            host: For another Host header than the address.
            body: Its pieces.
            body_bytes: Their sum; None: there is no body.
        """
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self._address}"]
        if body_bytes is not None:
            lines.append(f"Content-Length: {body_bytes}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        for piece in body:
            self._writer.write(piece)
            await self._writer.drain()

    async def head(self, status: int = 200) -> Response:
        """Read the head of the response.

        Raises:
            Mismatch: It has another status, or is no HTTP/1.1.
        """
        line, *fields = (await self._until(b"\r\n\r\n", what="a response"))[:-4].decode("latin-1").split("\r\n")
        version, _, rest = line.partition(" ")
        if version != "HTTP/1.1" or not rest[:3].isdigit():
            raise Mismatch("a response of HTTP/1.1", repr(line))
        pairs = [field.partition(":") for field in fields]
        response = Response(int(rest[:3]), tuple((name.lower(), value.strip()) for name, _, value in pairs))
        if response.status != status:
            await self._wrong_status(response, status)
        return response

    async def pieces(self, response: Response) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises:
            Mismatch: It is cut short, or its framing is wrong.
        """
        lengths, codings = response.all("content-length"), response.all("transfer-encoding")
        if codings == ["chunked"] and not lengths:
            while size := _size(await self._until(b"\r\n", what="a chunk"), base=16):
                async for piece in self._exactly(size):
                    yield piece
                await self._line_end()
            await self._line_end()
        elif len(lengths) == 1 and not codings:
            async for piece in self._exactly(_size(lengths[0].encode(), base=10)):
                yield piece
        else:
            raise Mismatch("Content-Length or chunks", f"{lengths} and {codings}")

    async def body(self, response: Response) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces(response)])

    async def json(self, response: Response) -> dict[str, Any]:
        """The whole body, which is a JSON object.

        Raises:
            Mismatch: It is not.
        """
        body = await self.body(response)
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Mismatch("a JSON object", repr(body[:80]))
        return value

    async def _wrong_status(self, response: Response, status: int) -> NoReturn:
        got = str(response.status)
        if response.all("content-type") == ["application/problem+json"]:
            problem = await self.json(response)
            got = f"{got} {problem.get('code')} ({problem.get('detail', problem.get('title'))})"
        raise Mismatch(f"status {status}", got)

    async def _until(self, end: bytes, *, what: str) -> bytes:
        try:
            return await self._reader.readuntil(end)
        except asyncio.IncompleteReadError as exc:
            raise Mismatch(what, f"the end of the connection after {len(exc.partial)} bytes") from exc
        except asyncio.LimitOverrunError as exc:
            raise Mismatch(what, f"more than {exc.consumed} bytes of something else") from exc

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        left = size
        while left:
            piece = await self._reader.read(min(left, _READ_BYTES))
            if not piece:
                raise Mismatch(f"{size} bytes", f"the end of the connection after {size - left}")
            left -= len(piece)
            yield piece

    async def _line_end(self) -> None:
        line = await self._until(b"\r\n", what="the end of a chunk")
        if line != b"\r\n":
            raise Mismatch("the end of a chunk", repr(line[:80]))


@asynccontextmanager
async def visiting(address: str) -> AsyncIterator[Visitor]:
    """Connect to ``HOST:PORT``; leaving the context closes the connection, whatever is under way on it.

    Raises:
        OSError: Nobody answers there, or the connection was lost.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=_READ_BYTES)
    try:
        yield Visitor(address, reader, writer)
    finally:
        # Not closed in good order: that would first send what is still to be sent.
        writer.transport.abort()


def _size(text: bytes, *, base: int) -> int:
    try:
        return int(text, base)
    except ValueError as exc:
        raise Mismatch("the size of a body", repr(text[:80])) from exc
