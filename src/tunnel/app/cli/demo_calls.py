"""What the demo's callers of gRPC methods do: each visit is a row of the table."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc
import grpc.aio

from tunnel.app.cli.demo_calls_app import DETAILS, DETAILS_KEY, MISSING, SERVICE
from tunnel.app.cli.demo_visitor import Mismatch
from tunnel.app.cli.demo_visits import Visit

__all__ = ["CALL_VISITS"]

_COUNT: Final = 300
_TURNS: Final = 20
_MESSAGE_BYTES: Final = 1024 * 1024


@asynccontextmanager
async def _calling(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise Mismatch("an answer", f"{error.code().name}: {error.details()}") from error


async def _unary(address: str) -> int:
    message = secrets.token_bytes(_MESSAGE_BYTES)
    async with _calling(address) as channel:
        answer = await channel.unary_unary(f"/{SERVICE}/Echo", None, None)(message)
    if answer != message:
        raise Mismatch("the message itself", f"{len(answer)} other bytes")
    return 0


async def _server_stream(address: str) -> int:
    async with _calling(address) as channel:
        call = channel.unary_stream(f"/{SERVICE}/Count", None, None)(b"%d" % _COUNT)
        numbers = [int(message) async for message in call]
    if numbers != list(range(_COUNT)):
        raise Mismatch(f"{_COUNT} messages in order", f"{len(numbers)}, or out of order")
    return 0


async def _both_ways(address: str) -> int:
    async with _calling(address) as channel:
        call = channel.stream_stream(f"/{SERVICE}/Echo", None, None)(None)
        for turn in range(_TURNS):
            await call.write(b"%d" % turn)
            answer = await call.read()
            if answer != b"%d" % turn:
                raise Mismatch(f"message {turn}", repr(answer))
        await call.done_writing()
        code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise Mismatch("OK", code.name)
    return 0


async def _status(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/Fail", None, None)(b"")
        seen = (
            await call.code(),
            await call.details(),
            (DETAILS_KEY, DETAILS) in tuple(await call.trailing_metadata()),
        )
    if seen != (grpc.StatusCode.NOT_FOUND, MISSING, True):
        raise Mismatch("NOT_FOUND with its details", f"{seen[0].name}: {seen[1]}")
    return 0


CALL_VISITS: Final = (
    Visit("gRPC: a unary call of 1 MiB", _unary),
    Visit("gRPC: 300 messages from the server", _server_stream),
    Visit("gRPC: both ways, turn by turn", _both_ways),
    Visit("gRPC: a status with message and details", _status),
)
"""In the order in which they are made."""
