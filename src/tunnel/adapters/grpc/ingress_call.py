"""One call of a visitor's as a ``Stream``.

gRPC runs a task for each call and cancels it when the visitor leaves; in it the target runs, and the answer is written.
Reading has a task of its own, since a read must not be cancelled: that would cancel the call, whose answer may be what
the target stopped reading for. It reads one message ahead and no more, so that a visitor is slowed down to the pace of
who takes the messages.

A call can be asked to wait for its only message and the end of all, ``whole``, before a target sees it; then they are
part of its head. And the initial metadata of an answer, where there are none, go with the first message. A message that
comes with the status is left to the ingress: it is written when the target has returned, as nothing can interrupt then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

import grpc.aio

from tunnel.adapters.grpc.call_messages import MessageAssembly
from tunnel.adapters.grpc.call_metadata import metadata_of, without
from tunnel.adapters.grpc.call_waits import cycles, wake
from tunnel.adapters.grpc.server_stream import BytesContext
from tunnel.domain.call_head import CallHead
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB
from tunnel.domain.request_ids import REQUEST_ID
from tunnel.ports.target import Stream

__all__ = ["NAME", "IngressCall"]

_DATA: Final = GrpcFrameType.DATA.value
_METADATA: Final = GrpcFrameType.METADATA.value
_TRAILER: Final = GrpcFrameType.TRAILER.value

_CLOSE: Final = GrpcFrame(GrpcFrameType.CLOSE.value)

_WHOLE_BYTES: Final = 16 * KIB
"""Largest message that travels with its head. A larger one is not what its call costs most."""

_WHOLE_S: Final = 0.05
"""How long a message and the end may lag behind the head of a call that is expected to have nothing else. They leave
the visitor together, but under load it takes gRPC tens of milliseconds to tell of each."""

_FIRST_BYTES: Final = 16 * KIB
"""Largest message that initial metadata go with: not one that takes long to write."""

_TOLD_S: Final = 0.001
"""How old what is told of a deadline may be: far less than a call takes."""

NAME: Final = frozenset({REQUEST_ID})
"""What an application says of it is left out of the answer to a call that has a name, which comes with the status."""

_CANCEL_CYCLES: Final = 4
"""Cycles of the event loop by which the news that a visitor has left may lag behind the end of its messages, when both
are in gRPC's queue of events. A read is shown either the same."""

_TOGETHER_S: Final = 0.01
"""Within which the end behind an only message is taken to have come with it, as unary calls have it. It is read at once
then, but for what else the event loop does."""


class IngressCall(Stream):
    """A call, as a target sees it. Made in the task that gRPC runs for it.

    Args:
        context: Of gRPC.
        call: What was asked for, but for its deadline.
        max_message_bytes: Largest message of the answer; gRPC sees to those of the request.
        peer: Address of who asks, without port.
        named: Whether the call has a name.
    """

    def __init__(
        self, context: BytesContext, call: CallHead, *, max_message_bytes: int, peer: str = "", named: bool = False
    ) -> None:
        self._context = context
        self.peer = peer
        self._call = call
        self._named = named
        self._frame: GrpcFrame | None = None
        self._timed = context.time_remaining() is not None
        self._told_s = math.inf  # of the deadline, in ``_frame``
        self._assembly = MessageAssembly(max_message_bytes)
        self._task = asyncio.current_task()
        self._arrived: GrpcFrame | None = None
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._gatherer: asyncio.Future[None] | None = None
        self._gathered: bytes | None = None
        self._whole = False
        self._read = 0
        self._writer: asyncio.Task[object] | None = None
        self._over = False
        self._head_sent: asyncio.Task[None] | None = None
        self.trailer: GrpcFrame | None = None
        """The end of the answer, once it was sent."""
        self.last: bytes | None = None
        """The message that came with ``trailer``, to be written by the ingress."""
        self.error: SessionError | None = None
        """Why the call was reset, once it was."""
        self.ended_here = False
        """Whether gRPC's task was cancelled by ``end``."""
        self.single = False
        """Whether there was one message, and the end came before any answer."""

    @property
    def head(self) -> GrpcFrame:
        # What is left of a deadline is told as of now: a call may have waited for a client, or be tried again. But a
        # head is asked for half a dozen times on the way to a client.
        if self._timed:
            left_s = self._context.time_remaining()
            if self._told_s - left_s >= _TOLD_S:
                self._frame = self._call.frame(timeout_s=left_s)
                self._told_s = left_s
        if self._frame is None:
            self._frame = self._call.frame()
        return self._frame

    # -- the target's side

    async def receive(self) -> GrpcFrame:
        while self._arrived is None:
            if self.error is not None:
                raise self._why()
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        frame, self._arrived = self._arrived, None
        wake(self._room)
        return frame

    async def send(self, payload: SessionPayload) -> None:
        if self.error is not None:
            raise self._why()
        if type(payload) is not GrpcFrame or self.trailer is not None:
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "the answer is not one to a gRPC call")
        kind = payload.type
        if kind == _DATA:
            message = self._assembly.add(payload)
            if message is not None:
                if self._head_sent is None and len(message) <= _FIRST_BYTES:
                    await self._begin(self._context.write(message))
                    return
                if self._head_sent is None:
                    await self._begin(self._context.send_initial_metadata(()))
                await self._write(self._context.write(message))
        elif kind == _TRAILER and not self._assembly.open:
            self.trailer = payload
        elif kind == _METADATA and self._head_sent is None:
            metadata = metadata_of(without(payload.metadata, NAME) if self._named else payload.metadata)
            await self._begin(self._context.send_initial_metadata(metadata))
        else:
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "the answer to a gRPC call is out of order")

    async def conclude(self, *payloads: SessionPayload) -> None:
        if len(payloads) != 2 or not self._left_to_write(*payloads):
            await super().conclude(*payloads)

    def _left_to_write(self, payload: SessionPayload, end: SessionPayload) -> bool:
        """Whether ``payload`` is a message and ``end`` the status, which are written when the target has returned."""
        if self.error is not None or self.trailer is not None or self._assembly.open:
            return False
        if type(payload) is not GrpcFrame or payload.type != _DATA or payload.more:
            return False
        if type(end) is not GrpcFrame or end.type != _TRAILER or len(payload.data) > _FIRST_BYTES:
            return False
        self.last, self.trailer = self._assembly.add(payload), end
        return True

    def reset(self, error: SessionError) -> None:
        if self.error is not None or self.trailer is not None:
            return
        self.error = error
        wake(self._reader)
        if self._writer is not None:
            self._writer.cancel()

    async def _begin(self, operation: Coroutine[Any, Any, None]) -> None:
        # In a task of its own: after one that was interrupted gRPC would send initial metadata a second time, with the
        # status, and fail. It takes as long as the status itself would.
        self._head_sent = asyncio.create_task(_begun(operation), name="tunnel grpc call head")
        await self._write(asyncio.shield(self._head_sent))

    async def _write(self, operation: Awaitable[None]) -> None:
        self._writer = asyncio.current_task()
        try:
            await operation
        except grpc.aio.BaseError as exc:
            raise SessionError(ErrorCode.CANCELLED, "the visitor left") from exc
        except asyncio.CancelledError:
            if self.error is None:
                self.error = SessionError(ErrorCode.CANCELLED, "sending was cancelled")
            elif self._writer is not None and not self.ended_here:
                self._writer.uncancel()  # cancelled by ``reset``
                raise self._why() from None
            raise
        finally:
            self._writer = None

    # -- the ingress's side

    async def whole(self) -> None:
        """Wait a moment for the only message and the end, before a target sees the call: to make them part of its head.

        Whatever else comes is not lost. To be called before ``read``'s first step.
        """
        loop = asyncio.get_running_loop()
        self._gatherer = loop.create_future()
        timer = loop.call_later(_WHOLE_S, wake, self._gatherer)
        try:
            await self._gatherer
        finally:
            timer.cancel()
            self._gatherer = None
            message, self._gathered = self._gathered, None
            if message is not None and not self._whole:
                self._pass(GrpcFrame(_DATA, data=message))
        if self._whole:
            call = self._call
            self._call = CallHead(call.service, call.method, call.metadata, call.host, None, message)
            self._frame, self._told_s = None, math.inf

    async def read(self) -> None:
        """Read until the call is over, or the visitor has said everything. In a task of its own, never cancelled."""
        context, now = self._context, asyncio.get_running_loop().time
        together_until = 0.0
        try:
            while not self._over:
                message = await context.read()
                if not isinstance(message, bytes):  # grpc.aio.EOF
                    if now() > together_until:
                        # Where it is the visitor's leaving, that news may still be on its way to the queue. gRPC's core
                        # does one thing after another for a call: whatever is asked for now is told behind it.
                        await context.read()
                    break
                self._read += 1
                if self._gatherer is not None:
                    if self._read == 1 and len(message) <= _WHOLE_BYTES:
                        self._gathered = message
                        together_until = now() + _TOGETHER_S
                        continue
                    wake(self._gatherer)
                await self._taken()
                self._pass(GrpcFrame(_DATA, data=message))
                await self._taken()
        except grpc.aio.BaseError:
            wake(self._gatherer)
            return  # the call is over
        await cycles(_CANCEL_CYCLES)
        self.single = self._read == 1 and self._head_sent is None and self.trailer is None
        if self._gatherer is not None:
            self._whole = self._gathered is not None
            wake(self._gatherer)
            if self._whole:
                return
        await self._taken()
        if not self._over:
            self._pass(_CLOSE)

    async def _taken(self) -> None:
        """Wait until what arrived before was taken."""
        while (self._arrived is not None or self._gathered is not None) and not self._over:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
            self._room = None

    def end(self, error: SessionError) -> None:
        """End the call, whatever its target is doing. Without effect when it is over."""
        if self._over or self.ended_here or self.trailer is not None:
            return
        self.error = self.error or error
        self.cut_off = self.error
        self.ended_here = True
        assert self._task is not None
        self._task.cancel()

    async def write_last(self) -> None:
        """Write ``last``, with the initial metadata if those were not sent. Nothing but gRPC may cancel this."""
        assert self.last is not None
        await self.settle()
        await _begun(self._context.write(self.last))

    async def settle(self) -> None:
        """Return once gRPC is ready to be told the status."""
        if self._head_sent is not None and not self._head_sent.done():
            await asyncio.wait([self._head_sent])

    def close(self) -> None:
        """The target is done."""
        self._over = True
        self._arrived = None
        wake(self._room)

    def _pass(self, frame: GrpcFrame) -> None:
        self._arrived = frame
        wake(self._reader)

    def _why(self) -> SessionError:
        """The reset's error, afresh: the same exception raised in two tasks would mix their tracebacks."""
        assert self.error is not None
        return SessionError(self.error.code, self.error.message, detail=self.error.detail)


async def _begun(operation: Coroutine[Any, Any, None]) -> None:
    try:
        await operation
    except grpc.aio.BaseError:
        return  # the visitor has left, which the next step finds out
