"""Both directions between a conversation and a connection."""

from __future__ import annotations

import anyio

from tunnel.adapters.tcp.connection import TcpConnection
from tunnel.domain.envelopes import BodyChunk
from tunnel.domain.errors import SendingStopped, SessionError
from tunnel.ports.target import Stream

__all__ = ["relay"]


async def relay(stream: Stream, connection: TcpConnection) -> None:
    """Carry what each side says to the other, until both have said their ends.

    What the connection had brought before it was reset is sent on first.

    Args:
        stream: The conversation.
        connection: Neither finished nor reset when this returns; what it raises leaves that to the caller too.

    Raises:
        SessionError: Either of them was reset.
        SendingStopped: The conversation's other end wants no more.
    """
    error: SessionError | SendingStopped | None = None
    uploading = anyio.CancelScope()
    connection.on_lost = uploading.cancel

    async with anyio.create_task_group() as tasks:

        async def upload() -> None:
            nonlocal error
            try:
                with uploading:
                    await _upload(stream, connection)
            except SessionError as exc:
                if connection.error is None:
                    error = exc
                    tasks.cancel_scope.cancel()

        tasks.start_soon(upload)
        try:
            end = False
            while not end:
                chunk = await connection.receive()
                end = chunk.end
                await stream.send(chunk)
        except (SessionError, SendingStopped) as exc:
            error = exc
            tasks.cancel_scope.cancel()
    error = error or connection.error
    if error is not None:
        raise error


async def _upload(stream: Stream, connection: TcpConnection) -> None:
    end = stream.head.end
    if end:
        await connection.send(BodyChunk(b"", end=True))
    while not end:
        payload = await stream.receive()
        end = payload.end
        await connection.send(payload)
