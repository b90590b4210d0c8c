"""One call to a gRPC target.

The task of whoever handles the conversation reads the answer, another writes the request. What befalls the writer, the
reader finds out: it alone says how the call ended.

A habit of grpc.aio shapes this module: a call that was cancelled raises ``CancelledError``, as if the task had been.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Final, TypeAlias, cast

import grpc
import grpc.aio

from tunnel.adapters.grpc.call_messages import MessageAssembly
from tunnel.adapters.grpc.call_metadata import block_of
from tunnel.adapters.grpc.call_waits import this_task_is_cancelled, wake
from tunnel.adapters.grpc.client_stream import BytesCall
from tunnel.adapters.grpc.first_status import CallStatus, FirstStatus
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream
from tunnel.sockets.task_end import end_task

__all__ = ["UpstreamCall", "WholeCall"]

WholeCall: TypeAlias = "grpc.aio.UnaryStreamCall[bytes, bytes]"
"""A call to which its only message was given at once."""

_DATA: Final = GrpcFrameType.DATA.value
_METADATA: Final = GrpcFrameType.METADATA.value
_TRAILER: Final = GrpcFrameType.TRAILER.value
_CLOSE: Final = GrpcFrameType.CLOSE.value

_CANCELLED_HERE: Final = "Locally cancelled by application!"
"""Details of the status that grpc.aio makes up when a call is cancelled on this side, or its channel closed."""

_HEAD_S: Final = 0.01
"""How long the news that an answer has begun may wait for its first message, which says as much. They often come
together, but gRPC tells of one after the other."""

_OVER_S: Final = 0.05
"""How long the message of an answer that is expected to have no other may wait for the status, to go with it. They
leave the server together, but under load it takes gRPC tens of milliseconds to tell of each."""

_LOST: Final = re.compile(
    r"ipv[46]:|unix:|failed to connect|socket closed|connection reset|broken pipe|stream removed|goaway|"
    r"endpoint closing|connection (?:attempt )?timed out|transport (?:is )?closed|ping timeout",
    re.IGNORECASE,
)
"""What gRPC's core says when it lost the connection. It says so with addresses, which are nobody's business, and in the
place where a target's own words would be."""


class UpstreamCall:
    """Relays a conversation to a call and its answer back.

    Args:
        call: Has begun; this takes it over.
        stream: The conversation.
        max_message_bytes: Largest message of the request.
        first_byte_timeout_s: From the end of the request to the first of the answer; None: no limit.
        expect_single: Whether the answer is expected to be a single message: then nothing is read behind it unless
            the status does not follow at once. gRPC has a status at hand only when all messages were read.
        label: The target, for operators.
    """

    def __init__(
        self,
        call: BytesCall | WholeCall,
        stream: Stream,
        *,
        max_message_bytes: int,
        first_byte_timeout_s: float | None,
        expect_single: bool,
        label: str,
    ) -> None:
        self._call = call
        self._stream = stream
        self._max_message_bytes = max_message_bytes
        self._first_byte_timeout_s = first_byte_timeout_s
        self._expect_single = expect_single
        self._label = label
        self.messages = 0
        """Of the answer, so far."""
        self.lagged = False
        """Whether the status was expected at once, and did not come."""
        self._failure: SessionError | None = None
        self._settled: asyncio.Future[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._answered = False
        self._unsaid: GrpcFrame | None = None
        """What says that the answer has begun, until that was said."""
        self._timer: asyncio.TimerHandle | None = None
        """Until the answer's beginning is to be told, or its message waits no more for the status."""
        self._head: asyncio.Task[None] | None = None
        self._status = FirstStatus(call, self._on_status)

    async def relay(self) -> None:
        """Run the call to its end. Cancelled, it is cancelled at the target too.

        Raises:
            SessionError: It failed otherwise than by a status of the target's.
        """
        call, upload = self._call, None
        if isinstance(call, grpc.aio.UnaryStreamCall):
            self._expect_answer()
        else:
            upload = asyncio.create_task(self._upload(call), name="tunnel grpc upstream call writer")
        try:
            await self._answer()
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            if self._timer is not None:
                self._timer.cancel()
            call.cancel()  # without effect on a call that has ended
            if upload is not None:
                await end_task(upload)
            if self._head is not None:
                await end_task(self._head)

    # -- the request

    async def _upload(self, call: BytesCall) -> None:
        assembly = MessageAssembly(self._max_message_bytes)
        try:
            while True:
                payload = await self._stream.receive()
                if type(payload) is not GrpcFrame:
                    raise SessionError(ErrorCode.PROTOCOL_ERROR, "the request is not one of a gRPC call")
                if payload.type == _DATA:
                    message = assembly.add(payload)
                    if message is not None:
                        await call.write(message)
                elif payload.type == _CLOSE and not assembly.open:
                    await call.done_writing()
                    self._expect_answer()
                    return
                else:
                    raise SessionError(ErrorCode.PROTOCOL_ERROR, "the request of a gRPC call is out of order")
        except SessionError as exc:
            self._fail(exc)
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError, grpc.aio.BaseError):
            return  # the reader learns how the call ended
        except asyncio.CancelledError:
            if this_task_is_cancelled():
                raise  # else the call was

    def _expect_answer(self) -> None:
        if self._first_byte_timeout_s is not None and not self._answered:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._first_byte_timeout_s, self._overdue, self._first_byte_timeout_s)

    def _overdue(self, timeout_s: float) -> None:
        detail = f"{self._label}: nothing within {timeout_s:g} s"
        self._fail(SessionError(ErrorCode.UPSTREAM_TIMEOUT, "the upstream did not answer in time", detail=detail))

    def _fail(self, error: SessionError) -> None:
        if self._failure is None:
            self._failure = error
            self._call.cancel()

    # -- the answer

    async def _answer(self) -> None:
        call, send = self._call, self._stream.send
        metadata = block_of(await call.initial_metadata())
        # Of an answer that is nothing but a status gRPC shows empty metadata all the same.
        if self._failure is None and (metadata or not call.done()):
            self._begun()
            head = GrpcFrame(_METADATA, metadata=metadata)
            if metadata and not self._expect_single:
                await send(head)
            else:
                self._unsaid = head
                self._timer = asyncio.get_running_loop().call_later(_HEAD_S, self._late)
        # Not by ``read``, which forgets what has arrived when a status was made up.
        messages = cast("AsyncGenerator[bytes, None]", aiter(call))
        last: tuple[GrpcFrame, ...] = ()
        try:
            async for message in messages:
                self.messages += 1
                frame = GrpcFrame(_DATA, data=message)
                if self.messages == 1 and self._expect_single and await self._over_soon():
                    last = (frame,)
                    await messages.aclose()
                    break
                if self._timer is not None:
                    for before in await self._head_settled():
                        await send(before)
                await send(frame)
        except grpc.aio.AioRpcError:
            pass
        except grpc.aio.BaseError as exc:
            raise self._broken(str(exc)) from exc
        except asyncio.CancelledError:
            if this_task_is_cancelled():
                raise
        await self._ended(last)

    async def _ended(self, last: tuple[GrpcFrame, ...]) -> None:
        """Tell the status, with ``last``, the message it came right behind, if any."""
        status = await self._final_status()
        failure = self._failure
        if failure is None and self._is_lost(status):
            failure = self._broken(status.details)
        if failure is None:
            end = GrpcFrame(_TRAILER, metadata=status.trailing, status=status.code.value[0], message=status.details)
            payloads = (*await self._head_settled(), *last, end)
            await (self._stream.send(end) if len(payloads) == 1 else self._stream.conclude(*payloads))
            return
        if last or (self._unsaid is not None and self._unsaid.metadata):
            for payload in (*await self._head_settled(), *last):
                await self._stream.send(payload)
        raise failure

    async def _over_soon(self) -> bool:
        """Whether the status comes before long. One in the place of a made-up one comes behind all messages."""
        status = self._status
        if status.value is None and not status.made_up:
            loop = asyncio.get_running_loop()
            settled = self._settled = loop.create_future()
            if self._timer is None or self._head is not None:
                self._timer = loop.call_later(_OVER_S, wake, settled)
            try:
                await settled
            finally:
                self._settled = None
        self.lagged = status.value is None and not status.made_up
        return status.value is not None

    def _late(self) -> None:
        """Say that the answer has begun; unless its message is here, which is given its own time."""
        if self._settled is not None:
            self._timer = asyncio.get_running_loop().call_later(_OVER_S, wake, self._settled)
            return
        assert self._unsaid is not None
        head, self._unsaid = self._stream.send(self._unsaid), None
        self._head = asyncio.create_task(head, name="tunnel grpc upstream call head")

    async def _head_settled(self) -> tuple[GrpcFrame, ...]:
        """Initial metadata to be sent ahead of what comes next, which says by itself that the answer has begun."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        head, self._head = self._head, None
        if head is not None:
            try:
                await head
            finally:
                await end_task(head)
        unsaid, self._unsaid = self._unsaid, None
        return (unsaid,) if unsaid is not None and unsaid.metadata else ()

    def _begun(self) -> None:
        self._answered = True
        if self._deadline is not None:
            self._deadline.cancel()

    def _broken(self, detail: str) -> SessionError:
        message = "the upstream was lost" if self._answered else "the upstream cannot be reached"
        return SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=f"{self._label}: {detail}")

    def _is_lost(self, status: CallStatus) -> bool:
        if status.code is grpc.StatusCode.CANCELLED:
            return status.details == _CANCELLED_HERE
        return status.code is grpc.StatusCode.UNAVAILABLE and not status.trailing and bool(_LOST.search(status.details))

    def _on_status(self) -> None:
        wake(self._settled)

    async def _final_status(self) -> CallStatus:
        try:
            return await self._status.wait()
        except TimeoutError as exc:
            raise self._broken("the call failed without a status") from exc
