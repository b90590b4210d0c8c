"""A call that ends while something is written to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc

Status = tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]

MADE_UP: Status = (grpc.StatusCode.INTERNAL, "Internal error from Core", ())
OWN: Status = (grpc.StatusCode.PERMISSION_DENIED, "not you", (("k", "v"),))


class FakeCall:
    """A call whose write fails while its status comes: ``statuses`` in this order, each of which replaces the last.

    As gRPC does, it tells of the first alone.
    """

    def __init__(self, *statuses: tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]) -> None:
        self._statuses = statuses
        self._status = statuses[0]
        self._callbacks: list[Callable[[FakeCall], None]] = []
        self._over = asyncio.Event()

    def add_done_callback(self, callback: Callable[[FakeCall], None]) -> None:
        self._callbacks.append(callback)

    def done(self) -> bool:
        return self._over.is_set()

    def cancel(self) -> bool:
        return False

    async def initial_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("i", "1"),)

    async def write(self, message: bytes) -> None:
        for index, status in enumerate(self._statuses):
            if index:
                self._over.set()
                await asyncio.sleep(0)
            self._status = status
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback(self)
        self._over.set()
        raise asyncio.InvalidStateError

    async def done_writing(self) -> None:
        raise AssertionError("the write failed")

    async def code(self) -> grpc.StatusCode:
        return self._status[0]

    async def details(self) -> str:
        return self._status[1]

    async def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._status[2]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._over.wait()
        for _ in ():
            yield b""
