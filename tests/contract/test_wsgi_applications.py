"""Applications in the process that know WSGI only, under the contract of targets."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, assert_never

import anyio

from tunnel.adapters.asgi.application import AsgiApplication
from tunnel.adapters.asgi.upstream import AsgiUpstream
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.adapters.wsgi.bridge import WsgiBridge
from tunnel.domain.limits import KIB
from tunnel.testing.target import HTTP, Behaviour, Peer, TargetContract, TargetHarness
from tunnel.testing.target.peer import FLOOD_PIECE


class WsgiHarness(TargetHarness):
    dialect = HTTP
    # A WebSocket is refused by its answer, 403, as any application may.
    protocols = frozenset({"http", "websocket"})
    buffered_bytes = 512 * KIB

    @asynccontextmanager
    async def peer(self, behaviour: Behaviour) -> AsyncIterator[Peer]:
        peer, over = Peer(behaviour), threading.Event()

        def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            peer.open += 1
            try:
                yield from converse(peer, environ["wsgi.input"], over)
            finally:
                peer.open -= 1

        bridge = WsgiBridge(app)
        application = AsgiApplication(bridge, name="kit", signals=signals_of_running_loop(), farewell_s=0.1)
        async with anyio.create_task_group() as tasks:
            started = anyio.Event()
            tasks.start_soon(application.serve, started.set)
            await started.wait()
            peer.target = AsgiUpstream(application, release=application.aclose)
            try:
                yield peer
            finally:
                # Nothing else brings back a thread that neither reads nor writes.
                over.set()
                await peer.target.aclose()


def converse(peer: Peer, said: Any, over: threading.Event) -> Iterator[bytes]:
    """Does in a thread as ``Peer.converse`` does."""
    match peer.behaviour:
        case Behaviour.ECHO:
            while piece := said.read1(1 << 16):
                yield piece
            peer.ends += 1
        case Behaviour.FLOOD:
            while True:
                yield FLOOD_PIECE
                peer.spoken_bytes += len(FLOOD_PIECE)
        case Behaviour.DEAF:
            over.wait()
        case Behaviour.CUT:
            yield b"what was not said to the e"
            raise ConnectionError("cut off")
        case _:
            assert_never(peer.behaviour)


class TestWsgiApplication(TargetContract):
    harness = WsgiHarness


class TestWsgiApplicationOnTrio(TargetContract):
    harness = WsgiHarness
    event_loop = "trio"
