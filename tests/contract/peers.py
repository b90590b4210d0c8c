"""What targets of each kind speak to under the contract: servers on loopback that do as a ``Peer`` says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from tunnel.testing.target import Peer

RESET = struct.pack("ii", 1, 0)

FIXED_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024 * 1024))
"""Options of gRPC's ends, whose windows would grow with what the machine is busy with."""

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


@contextlib.asynccontextmanager
async def _server(connected: Connected) -> AsyncIterator[str]:
    """A TCP server; a connection is cut when ``connected`` returns False or fails, and else ends in order."""
    tasks: set[asyncio.Task[object]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        whole = False
        try:
            whole = await connected(reader, writer)
            if whole:
                writer.close()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # The visitor is gone, or the server is; streams log whatever leaves here.
        finally:
            if not whole and not writer.is_closing():
                # Else the system would end it in order.
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def free_address() -> str:
    """Where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host, port = taken.getsockname()
    return f"{host}:{port}"


def tcp_server(peer: Peer) -> contextlib.AbstractAsyncContextManager[str]:
    """Bytes as they come."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async def read() -> bytes | None:
            return await reader.read(1 << 16) or None

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        return await peer.converse(read, write)

    return _server(connected)


def http_server(peer: Peer) -> contextlib.AbstractAsyncContextManager[str]:
    """HTTP/1.1 with chunks both ways, as many requests on a connection as come."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async def read() -> bytes | None:
            size = int(await reader.readline(), 16)
            data = await reader.readexactly(size)
            await reader.readexactly(2)
            return data or None

        async def write(data: bytes) -> None:
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()

        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return True
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            if not await peer.converse(read, write):
                return False
            writer.write(b"0\r\n\r\n")

    return _server(connected)


@contextlib.asynccontextmanager
async def websocket_server(peer: Peer) -> AsyncIterator[str]:
    """Binary messages of any path; what is cut off is so without a close."""
    tasks: set[asyncio.Task[object]] = set()

    async def talk(connection: ServerConnection) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)

        async def read() -> bytes | None:
            try:
                message = await connection.recv()
            except ConnectionClosedOK:
                return None
            assert isinstance(message, bytes)
            return message

        whole = False
        try:
            whole = await peer.converse(read, connection.send)
        except ConnectionClosed:
            return  # The visitor is gone.
        finally:
            tasks.discard(task)
            if not whole:
                connection.transport.abort()

    async with serve(talk, "127.0.0.1", 0, compression=None, ping_interval=None, max_queue=1) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        try:
            yield f"{host}:{port}"
        finally:
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def grpc_server(peer: Peer) -> AsyncIterator[str]:
    """Calls of any method, behind a connection that can be cut."""
    cut: list[Callable[[], None]] = []

    async def talk(_: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        async def read() -> bytes | None:
            message = await context.read()
            if message is not grpc.aio.EOF:
                return message
            # grpc.aio reads an end of calls that were cancelled as well, and cancels their handler only afterwards.
            # Which it was is told by writing, for to a call that is over nothing is written, however late its handler
            # learns of it.
            await context.write(b"")
            return None

        if not await peer.converse(read, context.write):
            for each in cut:
                each()
            await asyncio.Event().wait()

    class AnyMethod(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
            return grpc.stream_stream_rpc_method_handler(talk)

    server = grpc.aio.server(options=FIXED_WINDOW)
    server.add_generic_rpc_handlers((AnyMethod(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 14):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        cut.append(writer.transport.abort)
        await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))
        return True

    try:
        async with _server(connected) as address:
            yield address
    finally:
        await server.stop(0)
