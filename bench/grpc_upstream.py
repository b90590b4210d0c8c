"""A gRPC service that echoes: ``python -m bench.grpc_upstream``.

| method | answer |
| --- | --- |
| /bench.Echo/Unary | the request |
| /bench.Echo/Stream | as many messages of 100 bytes as the request says, in decimal |

Prints ``ready ADDRESS``. Messages are bytes; nothing is decoded.
"""

from __future__ import annotations

from typing import Any, Final

import grpc
import uvloop

from bench.call_load import MESSAGE, STREAM, UNARY


async def _unary(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _stream(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
    for _ in range(int(request)):
        await context.write(MESSAGE)


class _Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    _METHODS: Final = {
        UNARY: grpc.unary_unary_rpc_method_handler(_unary),
        STREAM: grpc.unary_stream_rpc_method_handler(_stream),
    }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._METHODS.get(handler_call_details.method)


async def _serve() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"ready 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve())
