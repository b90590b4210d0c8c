"""A gRPC server of the user's, in the process that has the tunnel's client: reached by its address."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
import grpc.aio
import pytest

import tunnel
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

TOKEN = "in-process-token"


class Greeter(grpc.GenericRpcHandler):
    """Answers each message with a greeting, as it comes."""

    def service(self, call: grpc.HandlerCallDetails) -> Any:
        async def greet(requests: Any, context: grpc.aio.ServicerContext) -> None:
            async for request in requests:
                await context.write(b"hello " + request)
            context.set_trailing_metadata((("greeted", "yes"),))

        return grpc.stream_stream_rpc_method_handler(greet)


async def greeted(server_url: str, transports: dict[str, Any]) -> tuple[list[bytes], Any]:
    backend = grpc.aio.server()
    backend.add_generic_rpc_handlers((Greeter(),))
    port = backend.add_insecure_port("127.0.0.1:0")
    await backend.start()
    settings = decode_server_settings(
        {
            "transports": transports,
            "ingress": {"grpc": {"listen": "127.0.0.1:0"}},
            "auth": {"tokens": {"t": {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "groups": ["web"]}}},
            "rules": [{"protocol": "grpc", "group": "web"}],
            "groups": {
                "web": {
                    "rules": [{"protocol": "grpc", "upstream": "calls"}],
                    "upstreams": {"calls": {"targets": [f"grpc://127.0.0.1:{port}"]}},
                }
            },
        }
    )
    try:
        async with tunnel.Server(settings) as server:
            address = next(value for name, value in server.addresses.items() if name.startswith("transport."))
            table = {"group": "web", "token": TOKEN, "servers": [server_url.format(address)]}
            async with (
                tunnel.Client(decode_client_settings(table)) as client,
                grpc.aio.insecure_channel(server.addresses["ingress.grpc"]) as channel,
            ):
                await client.ready()
                call = channel.stream_stream("/shop.Greeter/Greet")(iter([b"a", b"b"]), timeout=20)
                return [message async for message in call], await call.trailing_metadata()
    finally:
        await backend.stop(0)


@pytest.mark.parametrize(
    ("url", "transports"),
    [
        ("memory://in-process-calls", {"memory": {"name": "in-process-calls"}}),
        ("grpc://{}", {"grpc": {"listen": "127.0.0.1:0"}}),
        ("ws://{}", {"websocket": {"listen": "127.0.0.1:0"}}),
    ],
)
def test_server_of_calls_in_the_same_process_is_reached(url: str, transports: dict[str, Any]) -> None:
    messages, trailing = asyncio.run(greeted(url, transports))
    assert messages == [b"hello a", b"hello b"]
    assert ("greeted", "yes") in tuple(trailing)
