"""What the demo's visitors do: each visit is a row of the table."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import anyio

from tunnel.app.cli.demo_app import COOKIES, GREETING, blocks, event
from tunnel.app.cli.demo_conversations import be_refused, choose_subprotocol, close_with_code, echo_messages
from tunnel.app.cli.demo_tunnel import REFUSED_PATH
from tunnel.app.cli.demo_visitor import Mismatch, Visitor, visiting

__all__ = ["VISITS", "Outcome", "Visit", "pay"]

_DEADLINE_S: Final = 15.0
"""A visit that takes longer has failed."""

_MIB: Final = 1024 * 1024
_LARGE_BYTES: Final = 16 * _MIB
_CROWD: Final = 100
_EVENTS: Final = 5
_CANCEL_S: Final = 1.0


class Visit(NamedTuple):
    """Something that a visitor does.

    Args:
        name: What the row is called.
        perform: Given the address, does it and returns the bytes that were carried, 0 where a rate says nothing. Raises
            ``Mismatch`` or ``OSError`` when it did not go well.
    """

    name: str
    perform: Callable[[str], Awaitable[int]]


class Outcome(NamedTuple):
    """How a visit went.

    Args:
        name: Of the visit.
        took_s: Seconds.
        carried_bytes: Bytes carried, 0 where a rate says nothing.
        failure: Why it failed; None: it did not.
    """

    name: str
    took_s: float
    carried_bytes: int = 0
    failure: str | None = None


async def pay(visit: Visit, address: str) -> Outcome:
    """Make a visit to the tunnel at ``address``, ``HOST:PORT``."""
    start = time.monotonic()
    carried, failure = 0, None
    try:
        async with asyncio.timeout(_DEADLINE_S):
            carried = await visit.perform(address)
    except TimeoutError:
        failure = f"expected an end within {_DEADLINE_S:.0f} s, got none"
    except Mismatch as mismatch:
        failure = str(mismatch)
    except OSError as error:
        failure = f"expected an answer, got {type(error).__name__}: {error}"
    return Outcome(visit.name, time.monotonic() - start, carried, failure)


def _expect(expected: object, got: object) -> None:
    if expected != got:
        raise Mismatch(expected, got)


def _expect_body(expected: bytes, got: bytes) -> None:
    """Bodies are told by their length and checksum: they may be long."""
    if expected != got:
        raise Mismatch(_described(expected), _described(got))


def _described(body: bytes) -> str:
    return f"{len(body)} bytes with sha256 {_shortened(hashlib.sha256(body).hexdigest())}"


def _shortened(sha256: str) -> str:
    return f"{sha256[:8]}..."


async def _post(visitor: Visitor, target: str, body: bytes) -> bytes:
    await visitor.send("POST", target, body=[body], body_bytes=len(body))
    return await visitor.body(await visitor.head())


async def _greeting(address: str) -> int:
    async with visiting(address) as visitor:
        await visitor.send("GET", "/")
        _expect_body(GREETING, await visitor.body(await visitor.head()))
    return 0


async def _echo(address: str) -> int:
    body = secrets.token_bytes(100_000)
    async with visiting(address) as visitor:
        _expect_body(body, await _post(visitor, "/echo", body))
    return 0


async def _download(address: str) -> int:
    sha256 = hashlib.sha256()
    received = 0
    async with visiting(address) as visitor:
        await visitor.send("GET", f"/download?bytes={_LARGE_BYTES}")
        async for piece in visitor.pieces(await visitor.head()):
            sha256.update(piece)
            received += len(piece)
    _expect_large(received, sha256.hexdigest())
    return received


async def _upload(address: str) -> int:
    async with visiting(address) as visitor:
        await visitor.send("POST", "/upload", body=blocks(_LARGE_BYTES), body_bytes=_LARGE_BYTES)
        seen = await visitor.json(await visitor.head())
    _expect_large(seen.get("bytes"), str(seen.get("sha256")))
    return _LARGE_BYTES


def _expect_large(received: object, sha256: str) -> None:
    _expect(f"{_LARGE_BYTES} bytes", f"{received} bytes")
    expected = hashlib.sha256()
    for block in blocks(_LARGE_BYTES):
        expected.update(block)
    _expect(f"sha256 {_shortened(expected.hexdigest())}", f"sha256 {_shortened(sha256)}")


async def _crowd(address: str) -> int:
    """No request is answered before all have come in, so they are under way at the same time."""
    gathering = secrets.token_hex(8)

    async def one(number: int) -> None:
        body = f"visitor {number} of {gathering}\n".encode() * (1 + number)
        async with visiting(address) as visitor:
            _expect_body(body, await _post(visitor, f"/gather?id={gathering}&count={_CROWD}", body))

    try:
        # asyncio's own task groups leave the task marked as cancelled after a failure, before Python 3.13 (gh-116720).
        async with anyio.create_task_group() as visitors:
            for number in range(_CROWD):
                visitors.start_soon(one, number)
    except ExceptionGroup as failures:
        # A row has room for one; the others are alike, or follow from it.
        raise failures.exceptions[0] from failures
    return 0


async def _events(address: str) -> int:
    """The application sends the next event when the last was confirmed: it comes only if nothing is held back."""
    exchange = secrets.token_hex(8)
    async with visiting(address) as visitor, visiting(address) as confirming:
        await visitor.send("GET", f"/events?id={exchange}&count={_EVENTS}")
        response = await visitor.head()
        _expect(["text/event-stream"], response.all("content-type"))
        pieces = visitor.pieces(response)
        received = b""
        for number in range(1, _EVENTS + 1):
            while not received.endswith(b"\n\n"):
                piece = await anext(pieces, b"")
                if not piece:
                    raise Mismatch(f"event {number}", "the end of the stream")
                received += piece
            _expect(event(number), received)
            await _post(confirming, f"/events/confirm?id={exchange}&n={number}", b"")
            received = b""
        _expect([], [piece async for piece in pieces])
    return 0


async def _cookies(address: str) -> int:
    async with visiting(address) as visitor:
        await visitor.send("GET", "/cookies")
        response = await visitor.head()
        await visitor.body(response)
    _expect([cookie.decode() for cookie in COOKIES], response.all("set-cookie"))
    return 0


async def _unknown_host(address: str) -> int:
    await _expect_problem(address, "/", status=404, code="route_not_found", host="unknown.example.test")
    return 0


async def _refusing_upstream(address: str) -> int:
    await _expect_problem(address, REFUSED_PATH, status=502, code="upstream_unreachable")
    return 0


async def _expect_problem(address: str, path: str, *, status: int, code: str, host: str | None = None) -> None:
    async with visiting(address) as visitor:
        await visitor.send("GET", path, host=host)
        response = await visitor.head(status)
        _expect(["application/problem+json"], response.all("content-type"))
        problem = await visitor.json(response)
    _expect((status, code), (problem.get("status"), problem.get("code")))


async def _leaving(address: str) -> int:
    exchange = secrets.token_hex(8)
    async with visiting(address) as witness:
        async with visiting(address) as visitor:
            await visitor.send("GET", f"/work?id={exchange}")
            _expect(b"working\n", await anext(visitor.pieces(await visitor.head()), b""))
        left = time.monotonic()
        await witness.send("GET", f"/work/cancelled?id={exchange}")
        seen = await witness.json(await witness.head())
        took_s = time.monotonic() - left
    expected = f"the work cancelled within {_CANCEL_S:.0f} s"
    if not seen.get("cancelled"):
        raise Mismatch(expected, "work that goes on")
    if took_s > _CANCEL_S:
        raise Mismatch(expected, f"{took_s:.1f} s")
    return 0


VISITS: Final = (
    Visit("GET, a small answer", _greeting),
    Visit("POST, the body comes back", _echo),
    Visit("download of 16 MiB", _download),
    Visit("upload of 16 MiB", _upload),
    Visit("100 requests at once, each with its own body", _crowd),
    Visit("server-sent events, one at a time", _events),
    Visit("two Set-Cookie headers stay two", _cookies),
    Visit("WebSocket: text and binary come back", echo_messages),
    Visit("WebSocket: the subprotocol is the application's choice", choose_subprotocol),
    Visit("WebSocket: close code and reason", close_with_code),
    Visit("WebSocket: refusal with status and body", be_refused),
    Visit("unknown host: 404 route_not_found", _unknown_host),
    Visit("upstream refuses: 502 upstream_unreachable", _refusing_upstream),
    Visit("visitor leaves: the work is cancelled", _leaving),
)
"""In the order in which they are made."""
