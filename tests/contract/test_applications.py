"""Applications in the process under the contract of targets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from tunnel.adapters.asgi.application import AsgiApplication
from tunnel.adapters.asgi.upstream import AsgiUpstream
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.domain.limits import KIB
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.target import HTTP, Behaviour, Peer, TargetContract, TargetHarness


class AsgiHarness(TargetHarness):
    dialect = HTTP
    protocols = frozenset({"http", "websocket"})
    buffered_bytes = 128 * KIB

    @asynccontextmanager
    async def peer(self, behaviour: Behaviour) -> AsyncIterator[Peer]:
        peer = Peer(behaviour)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                raise NotImplementedError
            more = True

            async def read() -> bytes | None:
                nonlocal more
                if not more:
                    return None
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise EOFError
                more = message["more_body"]
                return message["body"] or (await read() if more else None)

            async def write(data: bytes) -> None:
                await send({"type": "http.response.body", "body": data, "more_body": True})

            await send({"type": "http.response.start", "status": 200, "headers": []})
            if await peer.converse(read, write):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        application = AsgiApplication(app, name="kit", signals=signals_of_running_loop(), farewell_s=0.1)
        async with anyio.create_task_group() as tasks:
            started = anyio.Event()
            tasks.start_soon(application.serve, started.set)
            await started.wait()
            peer.target = AsgiUpstream(application, release=application.aclose)
            try:
                yield peer
            finally:
                await peer.target.aclose()


class TestAsgiUpstream(TargetContract):
    harness = AsgiHarness


class TestAsgiUpstreamOnTrio(TargetContract):
    harness = AsgiHarness
    event_loop = "trio"


class TestAsgiUpstreamInVirtualTime(TargetContract):
    harness = AsgiHarness
    event_loop = VIRTUAL
