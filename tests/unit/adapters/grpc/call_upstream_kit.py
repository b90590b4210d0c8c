"""Callers of an ingress, and an upstream whose server answers as the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from call_kit import Call
from grpc_kit import run

from tunnel.adapters.grpc import ingress_call, upstream_call
from tunnel.adapters.grpc.upstream import GrpcUpstream

Behaviour = Callable[..., Awaitable[None]]
"""Called with the messages of a call and its context."""


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is expected comes, however busy the machine is."""
    monkeypatch.setattr(ingress_call, "_WHOLE_S", 60.0)
    monkeypatch.setattr(upstream_call, "_HEAD_S", 60.0)
    monkeypatch.setattr(upstream_call, "_OVER_S", 60.0)


async def once(channel: grpc.aio.Channel, *messages: bytes, method: str = "/s.S/M", timeout: float = 30) -> list[bytes]:
    """Call with these messages; those of the answer."""
    call = channel.stream_stream(method, None, None)(timeout=timeout)
    for message in messages:
        await call.write(message)
    await call.done_writing()
    return [message async for message in call]


class _Service(grpc.GenericRpcHandler):
    """Answers every call by ``behaviour``."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def behave(messages: object, context: grpc.aio.ServicerContext) -> None:
            await self._behaviour(messages, context)

        return grpc.stream_stream_rpc_method_handler(behave)


@asynccontextmanager
async def answering(behaviour: Behaviour, **settings: object) -> AsyncIterator[GrpcUpstream]:
    """An upstream whose server has this behaviour."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Service(behaviour),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    upstream = GrpcUpstream(target=f"grpc://127.0.0.1:{port}", permits=lambda *_: True, **settings)  # type: ignore[arg-type]
    try:
        yield upstream
    finally:
        await upstream.aclose()
        await server.stop(0)


def relayed(behaviour: Behaviour, *calls: Call, **settings: object) -> None:
    """Have an upstream whose server has this behaviour answer each of ``calls``."""

    async def scenario() -> None:
        async with answering(behaviour, **settings) as upstream:
            for call in calls:
                await upstream.handle(call)

    run(scenario)
