"""A visitor of an ingress that has no listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from support.door import Door

from tunnel.domain.envelopes import HttpRequest, SessionPayload
from tunnel.domain.errors import SessionError
from tunnel.ports.target import Stream
from tunnel.testing.ingress import VisitFailed, Visitor
from tunnel.testing.target import HTTP

ROOM_PIECES = 4
"""What lies in each direction between both ends."""


class DoorStream(Stream):
    """A request, as the target sees it."""

    peer = "127.0.0.1"

    def __init__(self) -> None:
        self.says, self._heard = anyio.create_memory_object_stream[SessionPayload](ROOM_PIECES)
        self._says, self.heard = anyio.create_memory_object_stream[SessionPayload](ROOM_PIECES)
        head = HTTP.head()
        assert isinstance(head, HttpRequest)
        self._head = head

    @property
    def head(self) -> HttpRequest:
        return self._head

    async def receive(self) -> SessionPayload:
        return await self._heard.receive()

    async def send(self, payload: SessionPayload) -> None:
        await self._says.send(payload)

    def reset(self, error: SessionError) -> None:
        raise AssertionError("whoever answers raises what it fails by")

    def close(self) -> None:
        for each in (self.says, self._heard, self._says, self.heard):
            each.close()


class DoorVisitor(Visitor):
    """A request with chunks, and a response with chunks or none."""

    def __init__(self, door: Door) -> None:
        self._stream = DoorStream()
        self._ended = False
        try:
            self._visit = door.enter(self._stream)
        except ConnectionRefusedError as exc:
            self._stream.close()
            raise VisitFailed(str(exc)) from exc

    async def say(self, piece: bytes) -> None:
        if not await self._unless_over(lambda: self._stream.says.send(HTTP.piece(piece))):
            raise VisitFailed(repr(self._visit.error))

    async def end(self) -> None:
        await self._unless_over(lambda: self._stream.says.send(HTTP.end()))

    async def hear(self) -> bytes | None:
        while not self._ended:
            came: list[SessionPayload] = []

            async def hear(came: list[SessionPayload] = came) -> None:
                came.append(await self._stream.heard.receive())

            try:
                came.append(self._stream.heard.receive_nowait())
            except anyio.WouldBlock:
                if not await self._unless_over(hear) and not came:
                    raise VisitFailed(repr(self._visit.error)) from None
            self._ended = came[0].end
            if data := HTTP.data_of(came[0]):
                return data
        return None

    async def leave(self) -> None:
        self._visit.scope.cancel()
        await self._visit.over.wait()
        self._stream.close()

    async def _unless_over(self, act: Callable[[], Awaitable[None]]) -> bool:
        """Whether ``act`` was done before the conversation was over."""
        if self._visit.over.is_set():
            return False
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                await self._visit.over.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(give_up)
            await act()
            tasks.cancel_scope.cancel()
            return True
        return False
