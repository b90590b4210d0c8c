"""Frames to send, and what comes of sending and receiving them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio.lowlevel

from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Error,
    Frame,
    GrpcFrame,
    HttpRequest,
    HttpResponse,
    Payload,
    Ping,
    Register,
    ResumeRequest,
    Trailers,
    WebSocketFrame,
    WindowUpdate,
)
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.limits import MAX_FRAME_BYTES
from tunnel.domain.messagepack import encode_frame
from tunnel.ports.transport import Link

__all__ = ["chunk_frame", "end_of", "largest_frame", "receive_until_end", "send_until_end", "varied_frame"]


def chunk_frame(seq: int, size_bytes: int = 10) -> Frame:
    """A frame of about ``size_bytes``, numbered ``seq``, which its payload repeats."""
    payload = BodyChunk(seq.to_bytes(8, "big") * (size_bytes // 8 or 1))
    return Frame((Envelope(1, KIND_OF[BodyChunk], payload),), seq=seq)


def largest_frame(*, seq: int = 1) -> Frame:
    """A frame of exactly ``MAX_FRAME_BYTES`` as MessagePack."""

    def of(body_bytes: int) -> Frame:
        return Frame((Envelope(1, KIND_OF[BodyChunk], BodyChunk(bytes(body_bytes))),), seq=seq)

    overhead_bytes = len(encode_frame(of(200_000))) - 200_000
    frame = of(MAX_FRAME_BYTES - overhead_bytes)
    assert len(encode_frame(frame)) == MAX_FRAME_BYTES
    return frame


def varied_frame(seq: int) -> Frame:
    """A frame of many kinds of envelopes, with extreme values in their fields."""
    resume = ResumeRequest("tunnel", b"\x00token", 3, 2**64 - 1)
    payloads: tuple[Payload, ...] = (
        HttpRequest(
            "GET", b"/a%2fb", b"q=1", b"host.test", (b"set-cookie", b"a", b"set-cookie", b"\xff"), b"body", True
        ),
        HttpResponse(200, (b"x", b"y"), b"answer"),
        GrpcFrame(1, "pkg.Service", "Method", (b"k-bin", b"\x00")),
        WebSocketFrame(2, b"\x00\x01"),
        Trailers((b"grpc-status", b"0")),
        Error("refused", "no", "détail"),
        WindowUpdate(65_536),
        Register((1,), "client", "group", b"\x01" * 16, "credential", resume=resume),
        Ping(7),
    )
    envelopes = (Envelope(number, KIND_OF[type(payload)], payload) for number, payload in enumerate(payloads))
    return Frame(tuple(envelopes), ack=2**64 - 1, seq=seq)


async def end_of(call: Callable[[], Awaitable[object]]) -> LinkEnd:
    """How a call that must fail did.

    Raises:
        AssertionError: It did not, or does not say why.
    """
    try:
        got = await call()
    except LinkError as exc:
        assert exc.reason, f"{exc.end} without a reason"
        return exc.end
    raise AssertionError(f"succeeded, although the link must have ended: {got!r:.80}")


async def receive_until_end(link: Link) -> tuple[list[Frame], LinkEnd]:
    """All frames that come, and how the link ended then."""
    frames: list[Frame] = []
    while True:
        try:
            frames.append(await link.receive())
        except LinkError as exc:
            return frames, exc.end


async def send_until_end(link: Link) -> LinkEnd:
    """How the link ended, as ``send`` has it; a side that sends may learn of it late."""
    while True:
        try:
            await link.send(chunk_frame(1))
        except LinkError as exc:
            return exc.end
        await anyio.lowlevel.checkpoint()
