"""The upstreams' parts in recorded conversations."""

from __future__ import annotations

from contextlib import suppress

import anyio

from tunnel.domain.envelopes import BodyChunk, GrpcFrame, GrpcFrameType, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream

__all__ = [
    "answer_at_length",
    "break_off",
    "chat",
    "count",
    "echo",
    "fail",
    "fail_with_details",
    "half_closing",
    "late",
    "linger",
    "refuse_early",
    "refuse_socket",
    "slow",
    "unary",
    "websocket",
]


async def echo(stream: Stream) -> None:
    head = stream.head
    body, ended = (head.body, head.end) if isinstance(head, HttpRequest) else (b"", head.end)
    await stream.send(HttpResponse(200, (b"content-type", b"text/plain"), body, end=ended))
    while not ended:
        payload = await stream.receive()
        await stream.send(payload)
        ended = payload.end


async def count(stream: Stream) -> None:
    """Read slowly, then tell how much it was: credit is returned on the way."""
    total, ended = 0, stream.head.end
    while not ended:
        payload = await stream.receive()
        total += payload.carried_bytes
        ended = payload.end
    await stream.send(HttpResponse(200, (), b"%d" % total, end=True))


async def refuse_early(stream: Stream) -> None:
    await stream.receive()
    await stream.send(HttpResponse(413, (b"content-length", b"9"), b"too large", end=True))


async def fail(stream: Stream) -> None:
    raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream cannot be reached", detail="refused")


async def break_off(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"the beginning"))
    # The visitor has that before it is told.
    await anyio.sleep(1)
    raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream broke off")


async def linger(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"one"))
    await anyio.sleep_forever()


async def slow(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"one"))
    await anyio.sleep(2)
    await stream.send(BodyChunk(b"two", end=True))


async def late(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"one"))
    await anyio.sleep(1)
    await stream.send(BodyChunk(b"two", end=True))


async def answer_at_length(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (b"x-long", b"b" * 2000), b"that was long", end=True))


async def refuse_socket(stream: Stream) -> None:
    await stream.send(HttpResponse(403, (b"content-type", b"text/plain"), b"not you", end=True))


async def fail_with_details(stream: Stream) -> None:
    await stream.receive()
    details = (b"grpc-status-details-bin", b"\x08\x03\x12\x02no", b"x-again", b"1", b"x-again", b"2")
    await stream.send(GrpcFrame(GrpcFrameType.TRAILER, metadata=details, status=3, message="not like th\u00efs"))


async def unary(stream: Stream) -> None:
    await stream.send(GrpcFrame(GrpcFrameType.METADATA, metadata=(b"x-initial", b"1")))
    await stream.send(GrpcFrame(GrpcFrameType.DATA, data=b"an answer"))
    await stream.send(GrpcFrame(GrpcFrameType.TRAILER, metadata=(b"x-trailing-bin", b"\x00\xff"), status=0))


async def chat(stream: Stream) -> None:
    await stream.send(GrpcFrame(GrpcFrameType.METADATA))
    payload = None
    while payload is None or not payload.end:
        payload = await stream.receive()
        if isinstance(payload, GrpcFrame) and payload.type == GrpcFrameType.DATA:
            await stream.send(payload)
    await stream.send(GrpcFrame(GrpcFrameType.TRAILER, status=5, message="nothing more"))


async def websocket(stream: Stream) -> None:
    await stream.send(HttpResponse(101, (b"sec-websocket-protocol", b"chat")))
    payload = None
    while payload is None or not payload.end:
        payload = await stream.receive()
        with suppress(SendingStopped):
            await stream.send(payload)


async def half_closing(stream: Stream) -> None:
    """Send all when the other end has ended, as a program behind ``nc -N`` does."""
    taken, ended = b"", False
    while not ended:
        payload = await stream.receive()
        assert isinstance(payload, BodyChunk)
        taken += payload.data
        ended = payload.end
    await stream.send(BodyChunk(taken.upper()))
    await stream.send(BodyChunk(end=True))
