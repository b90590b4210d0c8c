"""Runs the clients that ``tunnel expose`` consists of, as one service."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self

import anyio

from tunnel.app.background import Background
from tunnel.app.cli.expose_board import Board
from tunnel.app.cli.expose_report import Report
from tunnel.app.cli.expose_watch import Watch
from tunnel.app.client import Client
from tunnel.app.container import ClientContainer
from tunnel.app.exposure import established
from tunnel.domain.errors import LinkError, RegistrationRefused

__all__ = ["ExposeService", "Exposing", "View"]


class Exposing(NamedTuple):
    """A target, and how to make the client that serves it.

    Args:
        target: As written.
        make: Makes the client of the parts it is to use.
    """

    target: str
    make: Callable[[ClientContainer], Client]


class View(Protocol):
    """Draws a board for people."""

    @abstractmethod
    def changed(self) -> None:
        """The board is another than it was."""

    @abstractmethod
    async def run(self) -> None:
        """Draw, until cancelled or until there is no terminal any more; that ends nothing else."""


class ExposeService:
    """Exposes several targets: all or none.

    Entering starts every client and waits for none; ``wait_closed`` reports them ready and waits for the first that
    ends. One instance runs once.

    Args:
        exposings: What to expose.
        report: Told of what happens.
        board: Shows them, in the same order.
        timeout_s: For the first connection; None: ``tunnel.app.exposure.patience_s``.
        view: Draws the board while this is entered; None: nothing does.

    Raises:
        ConfigurationError: One of them is malformed.
    """

    def __init__(
        self,
        exposings: Sequence[Exposing],
        report: Report,
        board: Board,
        *,
        timeout_s: float | None,
        view: View | None = None,
    ) -> None:
        self._report: Final = report
        self._board: Final = board
        self._timeout_s: Final = timeout_s
        self._view: Final = view
        self._stack: Final = AsyncExitStack()
        self._lost: OSError | None = None
        self._is_lost: Final = anyio.Event()
        self._served: Final[list[tuple[Watch, Client]]] = []
        for exposing, exposition in zip(exposings, board.expositions, strict=True):
            watch = Watch(exposition, board, report, _nobody_looks if view is None else view.changed)
            client = exposing.make(watch.container())
            watch.follow(client)
            self._served.append((watch, client))

    async def __aenter__(self) -> Self:
        self._report.on_unread(partial(self._note_unread, asyncio.get_running_loop()))
        async with AsyncExitStack() as stack:
            if self._view is not None:
                background = await stack.enter_async_context(Background())
                background.tasks.start_soon(self._view.run)
            for _, client in self._served:
                await stack.enter_async_context(client)
            self._stack.push_async_exit(stack.pop_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def wait_closed(self) -> None:
        """Report the targets ready, and return once one of them is closed.

        Raises:
            RegistrationRefused: The server will not have one of them, or not any more.
            LinkError: ``UNREACHABLE``: no server took one in time.
            OSError: Nobody reads any more what is reported. Conversations that were under way had their time to finish.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancel_when_lost, tasks.cancel_scope)
            await self._each(self._established)
            try:
                self._report.ready(self._board.expositions)
            except OSError as error:
                self._note_lost(error)
            await self._each(self._closed)
            tasks.cancel_scope.cancel()
        if self._lost is not None:
            await self.aclose()
            raise self._lost

    async def aclose(self, *, drain_s: float | None = None) -> None:
        """Close every client, each after its conversations."""
        async with anyio.create_task_group() as tasks:
            for _, client in self._served:
                tasks.start_soon(_close, client, drain_s)

    def _note_unread(self, loop: asyncio.AbstractEventLoop, error: OSError) -> None:
        # Called by a thread, perhaps when the loop is closed and there is nothing left to drain.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._note_lost, error)

    def _note_lost(self, error: OSError) -> None:
        self._lost = error
        self._is_lost.set()

    async def _cancel_when_lost(self, scope: anyio.CancelScope) -> None:
        await self._is_lost.wait()
        scope.cancel()

    async def _each(self, work: Callable[[Watch, Client], Coroutine[Any, Any, None]]) -> None:
        async with anyio.create_task_group() as tasks:
            for watch, client in self._served:
                tasks.start_soon(work, watch, client)

    async def _established(self, watch: Watch, client: Client) -> None:
        try:
            await established(client, timeout_s=self._timeout_s)
        except RegistrationRefused as refusal:
            raise self._refused(watch, refusal) from refusal
        except LinkError as error:
            raise LinkError(error.end, self._of(watch, error.reason)) from error

    async def _closed(self, watch: Watch, client: Client) -> None:
        try:
            await client.wait_closed()
        except RegistrationRefused as refusal:
            raise self._refused(watch, refusal) from refusal

    def _refused(self, watch: Watch, refusal: RegistrationRefused) -> RegistrationRefused:
        watch.refused(refusal)
        return RegistrationRefused(refusal.code, self._of(watch, refusal.reason))

    def _of(self, watch: Watch, reason: str) -> str:
        """A reason, with its target where there are several."""
        return reason if len(self._served) == 1 else f"{watch.exposition.target}: {reason}"


async def _close(client: Client, drain_s: float | None) -> None:
    await client.aclose(drain_s=drain_s)


def _nobody_looks() -> None:
    """What there is to do when the board has changed and nothing draws it."""
