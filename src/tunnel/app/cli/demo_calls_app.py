"""The gRPC half of the demo's sample application: a few methods over bytes, in threads of their own.

==========================  ============================================================================================
``/demo.v1.Demo/Echo``      each message comes back
``/demo.v1.Demo/Count``     as many messages as the request says, a number each
``/demo.v1.Demo/Fail``      NOT_FOUND, with a message and with details
==========================  ============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

__all__ = ["DETAILS", "DETAILS_KEY", "MISSING", "SERVICE", "serve_calls"]

SERVICE: Final = "demo.v1.Demo"
MISSING: Final = "there is no such basket"
DETAILS_KEY: Final = "grpc-status-details-bin"
DETAILS: Final = b"\x08\x05\x12\x17there is no such basket"

_THREADS: Final = 4


def serve_calls() -> tuple[grpc.Server, str]:
    """Serve on a free port of 127.0.0.1 for as long as the server is kept; returns it and ``HOST:PORT``."""
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    methods = {"Echo": _echo, "Count": _count, "Fail": _fail}
    handlers = {name: grpc.stream_stream_rpc_method_handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def _echo(messages: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    yield from messages


def _count(messages: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    for message in messages:
        for number in range(int(message)):
            yield b"%d" % number


def _fail(messages: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    context.set_trailing_metadata(((DETAILS_KEY, DETAILS),))
    context.abort(grpc.StatusCode.NOT_FOUND, MISSING)
    yield from ()
