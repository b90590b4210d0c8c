"""Which call a visitor makes, of whatever method."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

from tunnel.adapters.grpc.call_metadata import block_of
from tunnel.adapters.grpc.server_stream import BytesContext
from tunnel.domain.call_head import CallHead

__all__ = ["AnyMethod", "metadata_bytes"]

if TYPE_CHECKING:
    _Handlers: TypeAlias = grpc.GenericRpcHandler[bytes, bytes]
else:
    _Handlers = grpc.GenericRpcHandler  # generic in its stubs alone

Serve: TypeAlias = Callable[[CallHead | None, BytesContext], Coroutine[Any, Any, None]]
"""Serves a call; None stands for one whose path is not that of a method."""

_FIELD_BYTES: Final = 32
"""What a field costs beside its name and value. Source: RFC 9113 section 6.5.2."""


class AnyMethod(_Handlers):
    """Serves every method by one behaviour, which is told the method.

    Args:
        serve: The behaviour.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        call, serve = _call(handler_call_details), self._serve

        async def behaviour(_: object, context: BytesContext) -> None:
            await serve(call, context)

        return grpc.stream_stream_rpc_method_handler(behaviour)


def _call(details: grpc.HandlerCallDetails) -> CallHead | None:
    service, slash, method = details.method.removeprefix("/").rpartition("/")
    if not slash or not service or not method or not details.method.startswith("/"):
        return None
    return CallHead(service, method, block_of(details.invocation_metadata))


def metadata_bytes(call: CallHead) -> int:
    """Size of the metadata of ``call`` as HTTP/2 counts it (RFC 9113 section 6.5.2)."""
    return sum(map(len, call.metadata)) + _FIELD_BYTES * (len(call.metadata) // 2)
