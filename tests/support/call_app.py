"""A gRPC server that does what its caller tells it to, step by step, beside the standard services.

The steps come as JSON in the metadata ``x-script-bin``; without it every message is sent back:

    ["initial", PAIRS]          sends initial metadata
    ["read", COUNT]             takes so many messages
    ["read-all"]                takes messages until the caller has no more
    ["echo"]                    sends back each message as it comes, until there are no more
    ["send", BYTES, COUNT]      sends so many messages of so many bytes
    ["hang"]                    does nothing any more
    ["trailing", PAIRS]         sets trailing metadata
    ["status", NUMBER, TEXT]    ends with this status

Pairs are lists of key and value, and values of binary keys are written in Latin-1. What every call was like is kept in
``calls``.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

MANY_BYTES = 256 * 1024 * 1024

METHODS = {code.value[0]: code for code in grpc.StatusCode}


@dataclass
class SeenCall:
    """A call as the application sees it."""

    method: str
    metadata: tuple[tuple[str, str | bytes], ...]
    timeout_s: float | None
    messages: list[bytes] = field(default_factory=list)
    half_closed: bool = False
    cancelled: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class CallApp:
    """Serves on a free port of 127.0.0.1 once started."""

    def __init__(self, *, options: tuple[tuple[str, object], ...] = (), port: int = 0) -> None:
        self.calls: list[SeenCall] = []
        self.arrived = asyncio.Event()
        self.port = port
        self._options = (("grpc.max_receive_message_length", MANY_BYTES), ("grpc.so_reuseport", 0), *options)
        self._server: grpc.aio.Server | None = None

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        server = self._server = grpc.aio.server(options=self._options)
        health_service = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
        await health_service.set("shop.v1.Orders", health_pb2.HealthCheckResponse.NOT_SERVING)
        reflection.enable_server_reflection(("grpc.health.v1.Health", reflection.SERVICE_NAME), server)
        server.add_generic_rpc_handlers((_Any(self),))
        address = f"127.0.0.1:{self.port}"
        if credentials is None:
            self.port = server.add_insecure_port(address)
        else:
            self.port = server.add_secure_port(address, credentials)
        await server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def call(self, index: int = -1) -> SeenCall:
        """A call, the next to come if there is none yet."""
        while not self.calls:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 10)
        return self.calls[index]

    async def serve(self, method: str, context: grpc.aio.ServicerContext) -> None:
        metadata = tuple((str(key), value) for key, value in context.invocation_metadata())
        seen = SeenCall(method, metadata, context.time_remaining())
        self.calls.append(seen)
        self.arrived.set()
        script = next((value for key, value in metadata if key == "x-script-bin"), b'[["echo"]]')
        try:
            for step, *arguments in json.loads(script):
                seen.begun.set()
                await self._step(seen, context, step, arguments)
        except asyncio.CancelledError:
            seen.cancelled = True
            raise
        finally:
            seen.ended.set()

    async def _step(
        self, seen: SeenCall, context: grpc.aio.ServicerContext, step: str, arguments: list[object]
    ) -> None:
        match step, arguments:
            case "initial", [pairs]:
                await context.send_initial_metadata(_pairs(pairs))
            case "read", [count]:
                for _ in range(count):
                    await self._read(seen, context)
            case "read-all", []:
                while await self._read(seen, context) is not None:
                    pass
            case "echo", []:
                while (message := await self._read(seen, context)) is not None:
                    await context.write(message)
            case "send", [size, count]:
                for _ in range(count):
                    await context.write(b"a" * size)
            case "hang", []:
                await asyncio.Event().wait()
            case "trailing", [pairs]:
                context.set_trailing_metadata(_pairs(pairs))
            case "status", [number, text]:
                context.set_code(METHODS[number])
                context.set_details(text)
            case _:
                raise AssertionError(step)

    async def _read(self, seen: SeenCall, context: grpc.aio.ServicerContext) -> bytes | None:
        message = await context.read()
        if message is grpc.aio.EOF:
            seen.half_closed = True
            return None
        seen.messages.append(message)
        return message


class _Any(grpc.GenericRpcHandler):
    def __init__(self, app: CallApp) -> None:
        self._app = app

    def service(self, details):
        if details.method.startswith("/test.unknown."):
            return None
        method = details.method

        async def behaviour(_, context):
            await self._app.serve(method, context)

        return grpc.stream_stream_rpc_method_handler(behaviour)


def _pairs(pairs: list[list[str]]) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((key, value.encode("latin-1") if key.endswith("-bin") else value) for key, value in pairs)


def script(*steps: list[object]) -> tuple[str, bytes]:
    """The metadata that makes an application go through ``steps``."""
    return ("x-script-bin", json.dumps(steps).encode())
