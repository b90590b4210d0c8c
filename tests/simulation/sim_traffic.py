"""Visitors and upstreams of the simulation, each of which checks every byte it gets."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
from sim_plan import Kind, Request

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

__all__ = ["SimUpstream", "SimVisitor", "Upstreams", "content"]

_BASE = random.Random(0).randbytes(1 << 16)
_TWICE = _BASE + _BASE

_UP, _DOWN = 0, 1

ALLOWED = {
    "peer_lost",
    "no_client",
    "refused",
    "overloaded",
}
"""What a visitor may be told, when something went wrong that was not its own doing."""


def content(number: int, direction: int, start: int, end: int) -> bytes:
    """Bytes of the body of one request or its answer; others at each place and for each request."""
    result = b""
    while start < end:
        offset = (start + 977 * (2 * number + direction)) % len(_BASE)
        part = _TWICE[offset : offset + min(end - start, len(_BASE))]
        result += part
        start += len(part)
    return result


def pieces(request: Request, direction: int, size: int) -> Iterator[tuple[bytes, bool]]:
    """The body in pieces, and whether each is the last."""
    if not size:
        yield b"", True
    for start in range(0, size, request.piece):
        end = min(size, start + request.piece)
        yield content(request.number, direction, start, end), end == size


class Check:
    """Compares what arrives with what was sent, as it arrives."""

    def __init__(self, request: Request, direction: int) -> None:
        self._number = request.number
        self._direction = direction
        self.count = 0

    def add(self, data: bytes) -> None:
        expected = content(self._number, self._direction, self.count, self.count + len(data))
        assert data == expected, f"request {self._number}: other bytes than were sent, from {self.count} on"
        self.count += len(data)


class Upstreams:
    """All upstreams of one simulation: what was asked of them, how often, and what became of it."""

    def __init__(self) -> None:
        self.requests: dict[int, Request] = {}
        self.running = 0
        self.mistakes: list[AssertionError] = []
        self.begun: Counter[int] = Counter()
        self.finished: Counter[int] = Counter()


class SimUpstream:
    """Answers requests as each was planned.

    Args:
        upstreams: Told of everything.
    """

    def __init__(self, upstreams: Upstreams) -> None:
        self._all = upstreams

    async def answer(self, stream: Stream) -> None:
        head = stream.head
        assert isinstance(head, HttpRequest)
        request = self._all.requests[int(head.path.rpartition(b"/")[2])]
        self._all.begun[request.number] += 1
        self._all.running += 1
        try:
            await self._answer(request, head, stream)
            self._all.finished[request.number] += 1
        except AssertionError as mistake:
            # Whoever runs a target turns what it raises into an answer: kept for the end.
            self._all.mistakes.append(mistake)
            raise
        finally:
            self._all.running -= 1

    async def _answer(self, request: Request, head: HttpRequest, stream: Stream) -> None:
        check = Check(request, _UP)
        check.add(head.body)
        match request.kind:
            case Kind.SMALL:
                await anyio.sleep(request.serve_s)
                await stream.send(HttpResponse(200, body=content(request.number, _DOWN, 0, request.down), end=True))
            case Kind.DOWNLOAD | Kind.CUT_SHORT:
                await self._download(request, stream)
            case Kind.UPLOAD:
                await self._read(request, head, stream, check)
                assert check.count == request.up
                await stream.send(HttpResponse(200, body=content(request.number, _DOWN, 0, request.down), end=True))
            case Kind.ECHO:
                await stream.send(HttpResponse(200))
                await self._echo(request, head, stream, check)
            case Kind.EARLY:
                await anyio.sleep(request.serve_s)
                await stream.send(HttpResponse(200, body=content(request.number, _DOWN, 0, request.down), end=True))
            case Kind.UNREACHABLE:
                raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "nobody answers")

    async def _download(self, request: Request, stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        for data, last in pieces(request, _DOWN, request.down):
            await anyio.sleep(request.serve_s)
            if last and request.kind is Kind.CUT_SHORT:
                raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "it died")
            await stream.send(BodyChunk(data, end=last))

    async def _read(self, request: Request, head: HttpRequest, stream: Stream, check: Check) -> None:
        ended = head.end
        while not ended:
            payload = await stream.receive()
            assert isinstance(payload, BodyChunk)
            check.add(payload.data)
            ended = payload.end
            await anyio.sleep(request.serve_s)

    async def _echo(self, request: Request, head: HttpRequest, stream: Stream, check: Check) -> None:
        sent = 0
        ended = head.end
        while True:
            data = content(request.number, _DOWN, sent, check.count)
            sent = check.count
            await stream.send(BodyChunk(data, end=ended))
            if ended:
                return
            payload = await stream.receive()
            assert isinstance(payload, BodyChunk)
            check.add(payload.data)
            ended = payload.end
            await anyio.sleep(request.serve_s)


class SimVisitor:
    """Makes one request of an ingress, and judges what came of it.

    Args:
        request: The request.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.outcome = ""
        """``complete``, ``left``, ``aborted``, or the code of a problem document; empty while it is under way."""
        self._body = pieces(request, _UP, request.up)
        self._check = Check(request, _DOWN)
        self._status = 0
        self._problem = b""
        self._complete = False
        self._departure = anyio.Event()

    def leave(self) -> None:
        """Go away in the middle."""
        self._departure.set()

    async def visit(self, ingress: Callable[..., Awaitable[None]]) -> None:
        request = self.request
        headers = [(b"host", b"app.test")]
        if request.up:
            headers.append((b"content-length", str(request.up).encode()))
        path = f"/{request.kind.value}/{request.number}"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST" if request.up else "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": (f"192.0.2.{request.number % 250}", 1234),
            "server": ("127.0.0.1", 80),
        }
        await ingress(scope, self._receive, self._send)
        assert not self.outcome, f"request {request.number} has two outcomes"
        self.outcome = self._judged()

    async def _receive(self) -> dict[str, Any]:
        if not self._departure.is_set():
            for data, last in self._body:
                await anyio.lowlevel.checkpoint()
                return {"type": "http.request", "body": data, "more_body": not last}
            await self._departure.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await anyio.sleep(self.request.read_s)
        if message["type"] == "http.response.start":
            assert not self._status, f"request {self.request.number} is answered twice"
            self._status = message["status"]
            return
        assert self._status, "a body without a head"
        assert not self._complete, f"request {self.request.number}: something came after the end"
        if self._status == 200:
            self._check.add(message.get("body", b""))
        else:
            self._problem += message.get("body", b"")
        self._complete = not message.get("more_body", False)

    def _judged(self) -> str:
        request = self.request
        if self._departure.is_set() and not self._complete:
            return "left"
        assert self._status, f"request {request.number} was not answered"
        if not self._complete:
            assert self._status == 200
            return "aborted"
        if self._status == 200:
            assert self._check.count == request.down, f"request {request.number} was ended as if it were whole"
            assert request.kind not in (Kind.UNREACHABLE, Kind.CUT_SHORT)
            return "complete"
        code: str = json.loads(self._problem)["code"]
        allowed = code in ALLOWED or (code == "upstream_unreachable" and request.kind is Kind.UNREACHABLE)
        assert allowed, f"request {request.number}: {code} ({self._status}) is nobody's fault"
        return code
