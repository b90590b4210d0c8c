"""An ingress at work, and what its visitors say and hear: what the scenarios of ingresses are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from tunnel.ports.ingress import Ingress
from tunnel.testing.ingress.harness import IngressHarness, VisitFailed, Visitor
from tunnel.testing.ingress.scripts import ScriptedTarget
from tunnel.testing.patience import PATIENCE_S, expect_within, until

__all__ = ["Service", "answer", "echoed", "failed", "refused", "serving", "talk"]


class Service:
    """An ingress that serves in a task of its own, and its visitors."""

    def __init__(self, harness: IngressHarness, ingress: Ingress) -> None:
        self._harness = harness
        self._visitors: list[Visitor] = []
        self.ingress = ingress
        self.target = ScriptedTarget(harness.dialect)
        self.scope = anyio.CancelScope()
        self.starts = 0
        self.over = anyio.Event()

    async def run(self) -> None:
        try:
            with self.scope:
                await self.ingress.serve(self.target, self._started)
        finally:
            self.over.set()

    def _started(self) -> None:
        self.starts += 1

    async def visit(self) -> Visitor:
        visitor = await expect_within("a visit", lambda: self._harness.visit(self.ingress.address))
        self._visitors.append(visitor)
        return visitor

    async def returned(self, within_s: float = PATIENCE_S) -> None:
        await expect_within("`serve` returning", self.over.wait, within_s)

    async def all_leave(self) -> None:
        for visitor in self._visitors:
            await visitor.leave()


@asynccontextmanager
async def serving(harness: IngressHarness, ingress: Ingress | None = None) -> AsyncIterator[Service]:
    """An ingress that has started; it is cancelled in the end, if it still serves."""
    service = Service(harness, ingress or harness.ingress())
    service.ingress.bind()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        try:
            await until("having started", lambda: service.starts > 0)
            yield service
        finally:
            with anyio.CancelScope(shield=True):
                # Also when the check has failed, for nobody else closes what they hold.
                with anyio.move_on_after(PATIENCE_S):
                    await service.all_leave()
                service.scope.cancel()
                await service.returned(2 * PATIENCE_S)


async def answer(visitor: Visitor) -> bytes:
    """All of the answer, which must be whole."""

    async def hear_all() -> bytes:
        heard = b""
        while (piece := await visitor.hear()) is not None:
            heard += piece
        return heard

    return await expect_within("the end of an answer", hear_all, 2 * PATIENCE_S)


async def echoed(service: Service, pieces: list[bytes]) -> None:
    """A visitor says ``pieces`` to an echo, ends, and hears the same."""
    visitor = await service.visit()

    async def say_all() -> None:
        for piece in pieces:
            await visitor.say(piece)
        await visitor.end()

    heard = b""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say_all)
        heard = await answer(visitor)
    said = b"".join(pieces)
    assert heard == said, f"{len(heard)} bytes were heard of {len(said)}, or others"


async def talk(visitor: Visitor, said: bytes) -> None:
    """Say something to an echo and hear it."""

    async def hear() -> bytes:
        heard = b""
        while len(heard) < len(said):
            piece = await visitor.hear()
            assert piece is not None, "the answer ended early"
            heard += piece
        return heard

    await visitor.say(said)
    heard = await expect_within("an echo", hear)
    assert heard == said, f"{heard!r} was heard instead of {said!r}"


async def failed(what: str, action: Callable[[], Awaitable[object]]) -> None:
    """``action`` fails, and does so soon."""
    try:
        result = await expect_within(what, action)
    except VisitFailed:
        return
    raise AssertionError(f"{what}: there was {result!r} instead")


async def refused(harness: IngressHarness, address: str) -> None:
    """Nobody is served at ``address``, whoever listens there for the system."""

    async def visit() -> bytes:
        visitor = await harness.visit(address)
        try:
            await visitor.end()
            return await answer(visitor)
        finally:
            await visitor.leave()

    await failed("being turned away", visit)
