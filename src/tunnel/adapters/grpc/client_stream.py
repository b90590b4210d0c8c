"""The dialling side of a gRPC stream.

Two habits of grpc.aio shape this module. After a write that failed, ``call.read()`` refuses to give out messages that
have already been received; iterating over the call does not. And a call that was cancelled here raises
``CancelledError``, as if the task had been cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeAlias

import grpc
import grpc.aio

from tunnel.adapters.grpc.call_tasks import CallTasks
from tunnel.adapters.grpc.call_waits import this_task_is_cancelled
from tunnel.adapters.grpc.first_status import FirstStatus
from tunnel.adapters.grpc.link import GrpcStream
from tunnel.adapters.grpc.options import FAREWELL
from tunnel.adapters.grpc.status import end_of
from tunnel.domain.errors import LinkEnd, LinkError

__all__ = ["BytesCall", "ClientStream"]

BytesCall: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


class ClientStream(GrpcStream):
    """A stream that this process opens; closes ``channel`` with it. Within a running event loop.

    Args:
        channel: Serves this call alone.
        method: What is called. It fails at once where the channel cannot connect.
    """

    def __init__(self, channel: grpc.aio.Channel, method: str) -> None:
        self._channel = channel
        self._tasks: CallTasks[BytesCall] = CallTasks(
            lambda: channel.stream_stream(method, None, None)(None, wait_for_ready=False)
        )
        self.call: Final = self._tasks.call
        self._messages: AsyncIterator[bytes] = aiter(self.call)
        self._status = FirstStatus(self.call)
        self._dropped: LinkError | None = None

    async def read(self) -> bytes:
        try:
            return await anext(self._messages)
        except (StopAsyncIteration, grpc.aio.AioRpcError, grpc.aio.BaseError) as error:
            raise await self._end() from error
        except asyncio.CancelledError:
            if this_task_is_cancelled():
                raise
            raise await self._end() from None

    async def write(self, data: bytes) -> None:
        try:
            await self.call.write(data)
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError, grpc.aio.BaseError) as error:
            raise await self._end() from error
        except asyncio.CancelledError:
            if this_task_is_cancelled():
                raise
            raise await self._end() from None

    async def finish(self) -> None:
        try:
            await self.call.write(FAREWELL)
            await self.call.done_writing()
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError, grpc.aio.BaseError):
            self.call.cancel()  # nothing left to close; the reader finds out how it ended
        except asyncio.CancelledError:
            if this_task_is_cancelled():
                raise

    def drop(self, why: LinkError) -> None:
        if self._dropped is None:
            self._dropped = why
            self.call.cancel()

    async def release(self) -> None:
        self.call.cancel()
        await self._channel.close(None)
        await self._tasks.ended()

    async def _end(self) -> LinkError:
        if self._dropped is not None:
            return LinkError(self._dropped.end, self._dropped.reason)
        try:
            status = await self._status.wait()
        except TimeoutError:
            return LinkError(LinkEnd.BROKEN, "the call failed without a status")
        return end_of(status.code, status.details)
