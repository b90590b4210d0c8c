"""Upstreams that are functions under the contract of targets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.fake_upstream import FakeTarget, FakeUpstream, Handler
from support.scene import ActingUpstream

from tunnel.domain.envelopes import BodyChunk, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB
from tunnel.ports.target import Stream
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.target import HTTP, Behaviour, Peer, TargetContract, TargetHarness


class FakeHarness(TargetHarness):
    dialect = HTTP
    protocols = frozenset({"http", "websocket"})
    buffered_bytes = 256 * KIB

    def target(self, handler: Handler) -> FakeTarget:
        return FakeUpstream(handler)

    @asynccontextmanager
    async def peer(self, behaviour: Behaviour) -> AsyncIterator[Peer]:
        peer = Peer(behaviour)

        async def answer(stream: Stream) -> None:
            ended = False

            async def read() -> bytes | None:
                nonlocal ended
                while not ended:
                    payload = await stream.receive()
                    ended = payload.end
                    if data := HTTP.data_of(payload):
                        return data
                return None

            async def write(data: bytes) -> None:
                await stream.send(BodyChunk(data))

            await stream.send(HttpResponse(200))
            if not await peer.converse(read, write):
                raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "it broke off")
            await stream.send(BodyChunk(b"", end=True))

        peer.target = self.target(answer)
        yield peer
        await peer.target.aclose()


class AnotherHarness(FakeHarness):
    def target(self, handler: Handler) -> FakeTarget:
        return FakeUpstream(handler).another()


class ActingHarness(FakeHarness):
    def target(self, handler: Handler) -> FakeTarget:
        return ActingUpstream(handler, protocols=self.protocols)


class TestFakeUpstream(TargetContract):
    harness = FakeHarness


class TestFakeUpstreamInVirtualTime(TargetContract):
    harness = FakeHarness
    event_loop = VIRTUAL


class TestAnotherTargetOfIt(TargetContract):
    harness = AnotherHarness
    event_loop = VIRTUAL


class TestActingUpstream(TargetContract):
    harness = ActingHarness
    event_loop = VIRTUAL
