"""An ingress with a target of the test's, and a stream for upstreams."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import grpc.aio

from tunnel.adapters.grpc.ingress import GrpcIngress
from tunnel.domain.call_head import CallHead
from tunnel.domain.configuration import GrpcIngressSettings
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, SessionPayload
from tunnel.domain.errors import SessionError
from tunnel.ports.target import ProxyTarget, Stream

CLOSE = GrpcFrame(GrpcFrameType.CLOSE)

UNARY = CallHead("s.S", "M")


def data(message: bytes, *, more: bool = False) -> GrpcFrame:
    return GrpcFrame(GrpcFrameType.DATA, data=message, more=more)


def trailer(status: int = 0, message: str = "") -> GrpcFrame:
    return GrpcFrame(GrpcFrameType.TRAILER, status=status, message=message)


class Target(ProxyTarget):
    """Handles calls as the test says, and keeps their streams."""

    def __init__(self, handle: Callable[[Stream], Awaitable[None]]) -> None:
        self._handle = handle
        self.streams: list[Stream] = []
        self.ended: list[BaseException | None] = []

    async def handle(self, stream: Stream) -> None:
        self.streams.append(stream)
        try:
            await self._handle(stream)
        except BaseException as exc:
            self.ended.append(exc)
            raise
        self.ended.append(None)


class Call(Stream):
    """A conversation that a test has with an upstream."""

    def __init__(self, *request: SessionPayload, call: CallHead = UNARY, room: int | None = None) -> None:
        self._head = call.frame()
        self._input = deque(request)
        self._more = asyncio.Event()
        self._room = room
        self.sent: list[SessionPayload] = []
        self.together: list[tuple[SessionPayload, ...]] = []
        self.sending = asyncio.Event()

    @property
    def head(self) -> GrpcFrame:
        return self._head

    def feed(self, *payloads: SessionPayload) -> None:
        self._input += payloads
        self._more.set()

    async def receive(self) -> SessionPayload:
        while not self._input:
            self._more.clear()
            await self._more.wait()
        return self._input.popleft()

    async def send(self, payload: SessionPayload) -> None:
        self.sending.set()
        if self._room is not None and len(self.sent) >= self._room:
            await asyncio.Event().wait()
        self.sent.append(payload)

    async def conclude(self, *payloads: SessionPayload) -> None:
        self.together.append(payloads)
        await super().conclude(*payloads)

    def reset(self, error: SessionError) -> None:
        raise AssertionError("no upstream resets a conversation")

    def messages(self) -> list[bytes]:
        return [each.data for each in self.sent if isinstance(each, GrpcFrame) and each.type == GrpcFrameType.DATA]


@asynccontextmanager
async def ingress(
    handle: Callable[[Stream], Awaitable[None]], **settings: object
) -> AsyncIterator[tuple[GrpcIngress, Target, grpc.aio.Channel]]:
    """An ingress with a caller; left as by a server that stops at once."""
    target = Target(handle)
    listening = GrpcIngress(GrpcIngressSettings(listen="127.0.0.1:0", **settings))  # type: ignore[arg-type]
    listening.bind()
    started = asyncio.Event()
    serving = asyncio.create_task(listening.serve(target, started.set))
    await started.wait()
    options = (("grpc.use_local_subchannel_pool", 1),)
    try:
        async with grpc.aio.insecure_channel(listening.address, options=options) as channel:
            yield listening, target, channel
    finally:
        listening.drain(0)
        await serving


async def answered(stream: Stream, messages: Iterable[bytes] = (), status: int = 0) -> None:
    """Answer a call once its request has ended."""
    while not (await stream.receive()).end:
        pass
    for message in messages:
        await stream.send(data(message))
    await stream.send(trailer(status))
