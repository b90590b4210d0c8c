"""Callers, a tunnel and a gRPC server in one process."""

import asyncio
import hashlib
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio
from operations_world import DEADLINE_S, TOKEN, Crossed, connect_client

import tunnel

MESSAGE = b"m" * 100
METHOD = "/test.v1.Any/Unary"


class _Echo(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return message


def write_settings(directory: Path, upstream: str) -> Path:
    path = directory / "server.toml"
    path.write_text(
        f"""
[transports.memory]
name = "operations"
[ingress.grpc]
listen = "127.0.0.1:0"
[auth.tokens.guard]
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
groups = ["web"]
[[rules]]
protocol = "grpc"
group = "web"
[[groups.web.rules]]
upstream = "app"
[groups.web.upstreams.app]
targets = ["grpc://{upstream}"]
[limits]
heartbeat_s = 300
"""
    )
    return path


async def start_upstream(stack: AsyncExitStack) -> str:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, 0)
    return f"127.0.0.1:{port}"


async def start_call_tunnel(stack: AsyncExitStack, directory: Path, crossed: Crossed) -> grpc.aio.Channel:
    """Start upstream, server and client; returns a channel to the ingress."""
    settings = tunnel.load_server_settings(write_settings(directory, await start_upstream(stack)))
    server = await connect_client(stack, "memory", directory, crossed, settings)
    options = (("grpc.use_local_subchannel_pool", 1),)
    return await stack.enter_async_context(grpc.aio.insecure_channel(server.addresses["ingress.grpc"], options=options))


async def make_calls(channel: grpc.aio.Channel, callers: int, calls: int) -> None:
    call = channel.unary_unary(METHOD)

    async def one_after_another() -> None:
        for _ in range(calls // callers):
            assert await call(MESSAGE) == MESSAGE

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(one_after_another() for _ in range(callers)))
