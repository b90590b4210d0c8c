"""The application behind the tunnel: a small, strict HTTP/1.1 server that tells what happened to each exchange.

It runs in a process of its own, prints `listening address=HOST:PORT` on stderr and ends when its stdin does. An
exchange named by `id=` in the query can be observed from outside with `/state`, which waits for a condition, so that no
test has to sleep.

| path | does |
| --- | --- |
| /small | answers a few bytes at once |
| /echo | answers the request body, with the request's content type |
| /inspect | answers JSON: method, target, headers as received |
| /barrier?key=&n= | answers its own body once n requests with that key have arrived |
| /download?bytes=&framing=&die_after=&die_by= | streams deterministic data; dies midway by `fin` or `rst` if told to |
| /upload?rate=&rate_bytes= | reads the body, its first `rate_bytes` at `rate` bytes/s; answers bytes, sha256 |
| /sse?events= | event n+1 leaves only after /sse/confirm?n= |
| /slow | answers after /release |
| /cookies, /hop, /status?code= | two Set-Cookie; hop-by-hop response headers; 204 or 304 |
| /state?until=&timeout_s= | the exchange `id`, once started, finished, cancelled, blocked, sent:N or received:N |
"""

import asyncio
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qs, urlsplit

from e2e_data import blocks

BLOCKED_AFTER_S = 0.15


@dataclass
class Exchange:
    """What is known of one request; times are time.monotonic(), which all processes of a machine share."""

    started: float | None = None
    finished: float | None = None
    cancelled: float | None = None
    blocked: bool = False
    sent: int = 0
    received: int = 0

    def holds(self, condition: str) -> bool:
        name, _, number = condition.partition(":")
        value = getattr(self, name)
        return value >= int(number) if number else bool(value)


@dataclass
class Observed:
    """An exchange and those who wait for it to change."""

    exchange: Exchange = field(default_factory=Exchange)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    confirmed: int = 0

    def note(self, **changes: object) -> None:
        for name, value in changes.items():
            setattr(self.exchange, name, value)
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass
class Barrier:
    arrived: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class WatchingReader(asyncio.StreamReader):
    """Tells at once when the peer has gone, even while nobody reads."""

    def __init__(self) -> None:
        super().__init__(limit=1 << 20)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


@dataclass
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    reader: WatchingReader
    writer: asyncio.StreamWriter
    observed: Observed | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path = parts.path
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    async def body(self) -> AsyncIterator[bytes]:
        if self.header("expect"):
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (self.header("transfer-encoding") or "").lower():
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                async for piece in self._exactly(size):
                    yield piece
                await self.reader.readexactly(2)
            while await self.reader.readuntil(b"\r\n") != b"\r\n":
                pass
        else:
            async for piece in self._exactly(int(self.header("content-length") or 0)):
                yield piece

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = await self.reader.read(min(size, 1 << 18))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(piece)
            yield piece

    async def whole_body(self) -> bytes:
        return b"".join([piece async for piece in self.body()])

    def answer(self, body: bytes = b"", *, status: str = "200 OK", headers: tuple[tuple[str, str], ...] = ()) -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        if not status.startswith(("204", "304")):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode()
        self.writer.write(head if self.method == "HEAD" else head + body)

    def answer_json(self, value: object, *, status: str = "200 OK") -> None:
        self.answer(json.dumps(value).encode(), status=status, headers=(("Content-Type", "application/json"),))


class Died(Exception):
    """The upstream ends its connection in the middle of a response, on purpose."""


class Upstream:
    def __init__(self) -> None:
        self.exchanges: defaultdict[str, Observed] = defaultdict(Observed)
        self.barriers: defaultdict[str, Barrier] = defaultdict(Barrier)
        self.quick = {
            "/small": self.small,
            "/echo": self.echo,
            "/inspect": self.inspect,
            "/cookies": self.cookies,
            "/hop": self.hop,
            "/status": self.status,
            "/state": self.state,
            "/release": self.release,
            "/sse/confirm": self.confirm,
        }
        self.watched = {
            "/barrier": self.barrier,
            "/download": self.download,
            "/upload": self.upload,
            "/sse": self.sse,
            "/slow": self.slow,
        }

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, WatchingReader)
        try:
            while head := await self.read_head(reader):
                await self.serve(parse(head, reader, writer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, Died):
            pass
        finally:
            writer.close()

    async def read_head(self, reader: WatchingReader) -> bytes | None:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None

    async def serve(self, request: Request) -> None:
        if handler := self.watched.get(request.path):
            await self.serve_watched(handler, request)
        else:
            # Unknown paths are inspected as well, so that a test may send any path.
            await self.quick.get(request.path, self.inspect)(request)

    async def serve_watched(self, handler, request: Request) -> None:
        """Run a handler that may take long; cancel it and note that when its connection goes away."""
        observed = self.observed(request)
        observed.note(started=time.monotonic())
        work = asyncio.ensure_future(handler(request))
        gone = asyncio.ensure_future(request.reader.gone.wait())
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
        if work.cancelled() or isinstance(work.exception(), asyncio.IncompleteReadError | ConnectionError):
            observed.note(cancelled=time.monotonic())
            raise ConnectionAbortedError
        work.result()
        observed.note(finished=time.monotonic())

    def observed(self, request: Request) -> Observed:
        """Return what is known of the exchange the request names; one without a name is nobody else's business."""
        if request.observed is None:
            request.observed = self.exchanges[request.query["id"]] if "id" in request.query else Observed()
        return request.observed

    async def small(self, request: Request) -> None:
        await request.whole_body()
        request.answer(b"small", headers=(("Content-Type", "text/plain"), ("ETag", '"s"')))

    async def echo(self, request: Request) -> None:
        body = await request.whole_body()
        request.answer(body, headers=(("Content-Type", request.header("content-type") or "text/plain"),))

    async def inspect(self, request: Request) -> None:
        await request.whole_body()
        request.answer_json({"method": request.method, "target": request.target, "headers": request.headers})

    async def cookies(self, request: Request) -> None:
        request.answer(b"two", headers=(("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2, 3; Secure")))

    async def hop(self, request: Request) -> None:
        headers = (("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"), ("X-Public", "2"))
        request.answer(b"hop", headers=headers)

    async def status(self, request: Request) -> None:
        reasons = {"204": "204 No Content", "304": "304 Not Modified", "418": "418 Teapot"}
        request.answer(status=reasons[request.query["code"]], headers=(("ETag", '"e"'),))

    async def state(self, request: Request) -> None:
        observed = self.observed(request)
        until = request.query.get("until")
        try:
            async with asyncio.timeout(float(request.query.get("timeout_s", "5"))):
                while until and not observed.exchange.holds(until):
                    await observed.changed.wait()
        except TimeoutError:
            request.answer_json(asdict(observed.exchange), status="408 Request Timeout")
        else:
            request.answer_json(asdict(observed.exchange))

    async def release(self, request: Request) -> None:
        self.observed(request).released.set()
        request.answer()

    async def confirm(self, request: Request) -> None:
        observed = self.observed(request)
        observed.confirmed = int(request.query["n"])
        observed.wake()
        request.answer()

    async def barrier(self, request: Request) -> None:
        body = await request.whole_body()
        barrier = self.barriers[request.query["key"]]
        barrier.arrived += 1
        if barrier.arrived == int(request.query["n"]):
            barrier.opened.set()
        await barrier.opened.wait()
        request.answer(body)

    async def download(self, request: Request) -> None:
        total = int(request.query["bytes"])
        die_after = int(request.query.get("die_after", "-1"))
        chunked = request.query.get("framing") == "chunked"
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {total}"
        request.writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        observed = self.observed(request)
        for block in blocks(total):
            if 0 <= die_after <= observed.exchange.sent:
                await self.die(request)
            request.writer.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            await self.drain(request, observed)
            observed.note(sent=observed.exchange.sent + len(block))
        if chunked:
            request.writer.write(b"0\r\n\r\n")

    async def drain(self, request: Request, observed: Observed) -> None:
        """Wait until the kernel takes more, and note when it does not."""
        blocked = asyncio.get_running_loop().call_later(BLOCKED_AFTER_S, lambda: observed.note(blocked=True))
        await request.writer.drain()
        blocked.cancel()

    async def die(self, request: Request) -> None:
        if request.query["die_by"] == "rst":
            await self.everything_written(request)
            request.writer.transport.abort()
        raise Died

    async def everything_written(self, request: Request) -> None:
        """Wait until the buffer is empty, so that the abort does not throw away what was sent before it."""
        request.writer.transport.set_write_buffer_limits(high=0)
        await request.writer.drain()

    async def upload(self, request: Request) -> None:
        observed = self.observed(request)
        sha256 = hashlib.sha256()
        rate, rate_bytes = float(request.query.get("rate", "0")), int(request.query.get("rate_bytes", "0"))
        start = time.monotonic()
        async for piece in request.body():
            sha256.update(piece)
            observed.note(received=observed.exchange.received + len(piece))
            if rate and observed.exchange.received <= rate_bytes:
                await asyncio.sleep(start + observed.exchange.received / rate - time.monotonic())
        request.answer_json({"bytes": observed.exchange.received, "sha256": sha256.hexdigest()})

    async def sse(self, request: Request) -> None:
        observed = self.observed(request)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        request.writer.write(head)
        for number in range(1, int(request.query["events"]) + 1):
            event = f"id: {number}\ndata: event {number}\n\n".encode()
            request.writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            observed.note(sent=number)
            while observed.confirmed < number:
                await observed.changed.wait()
        request.writer.write(b"0\r\n\r\n")

    async def slow(self, request: Request) -> None:
        await request.whole_body()
        await self.observed(request).released.wait()
        request.answer(b"slow")


def parse(head: bytes, reader: WatchingReader, writer: asyncio.StreamWriter) -> Request:
    line, *fields = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    pairs = [field.split(":", 1) for field in fields]
    return Request(method, target, [(name, value.strip()) for name, value in pairs], reader, writer)


async def serve(upstream: Upstream) -> None:
    loop = asyncio.get_running_loop()

    def connection() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(WatchingReader(), upstream.serve_connection)

    server = await loop.create_server(connection, "127.0.0.1", 0, backlog=2048)
    host, port = server.sockets[0].getsockname()
    print(f"listening address={host}:{port}", file=sys.stderr, flush=True)
    await end_of_stdin()


async def end_of_stdin() -> None:
    """Wait until whoever started this process has closed its stdin, or has died."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(serve(Upstream()))
