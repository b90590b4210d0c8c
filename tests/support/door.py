"""An ingress without a listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from tunnel.domain.errors import ErrorCode, ListenError, SessionError
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["Door", "Visit"]


class Visit:
    """A conversation that came in."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.scope = anyio.CancelScope()
        """Cancelled when the visitor leaves."""
        self.error: Exception | None = None
        self.over = anyio.Event()


class Door(Ingress):
    """An ingress or entry that nobody has to connect to: tests hand it their streams.

    Args:
        settings: Of which it needs ``listen``.
        doors: All there are by address, the latest where several were made for one; two cannot be bound.
        failing: What ``bind`` or ``start`` is to raise.
    """

    def __init__(
        self, settings: Any, doors: dict[str, Door] | None = None, *, failing: Mapping[str, Exception] | None = None
    ) -> None:
        self.settings = settings
        self.target: ProxyTarget | None = None
        self.bound = False
        self.seen: list[str] = []
        """What was done with it: ``bind``, ``start``, ``follow``, ``drain 10``, ``end``."""
        self.drains: list[float] = []
        """The seconds that each was given."""
        self.crash = anyio.Event()
        """Set to have it fail while it serves."""
        self.slow = anyio.Event()
        """Set once it may start."""
        self.slow.set()
        self.stuck = False
        """Whether it goes on however often it is drained."""
        self._doors = {} if doors is None else doors
        self._failing = failing or {}
        self._drained = anyio.Event()
        self._patience = anyio.CancelScope()
        self._visits: set[Visit] = set()
        self._tasks: TaskGroup | None = None

    @property
    def name(self) -> str:
        return "http"

    @property
    def address(self) -> str:
        return str(self.settings.listen)

    def bind(self) -> None:
        if "bind" in self._failing:
            raise self._failing["bind"]
        if self.bound:
            return
        there = self._doors.get(self.address)
        if there is not None and there.bound:
            raise ListenError(self.address, "in use")
        self._doors[self.address] = self
        self.bound = True
        self.seen.append("bind")

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        if "start" in self._failing:
            raise self._failing["start"]
        try:
            await self.slow.wait()
            if self._drained.is_set():
                return
            self.target = target
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._until_drained, self._tasks.cancel_scope)
                started()
                self.seen.append("start")
                await self.crash.wait()
                raise OSError("too many open files")
        finally:
            self._tasks = None
            self.bound = False
            self.seen.append("end")

    async def _until_drained(self, scope: anyio.CancelScope) -> None:
        await self._drained.wait()
        if self.stuck:
            return
        with self._patience:
            while self._visits:
                await next(iter(self._visits)).over.wait()
        scope.cancel()

    def follow(self, successor: Self) -> None:
        self.settings = successor.settings
        self.seen.append("follow")

    def drain(self, grace_s: float) -> None:
        self.bound = False
        self.seen.append(f"drain {grace_s:g}")
        self.drains.append(grace_s)
        self._patience.deadline = min(self._patience.deadline, anyio.current_time() + grace_s)
        self._drained.set()
        self.slow.set()

    def enter(self, stream: Stream) -> Visit:
        """Begin a conversation.

        Raises:
            ConnectionRefusedError: Nobody is served, or nobody any more.
        """
        if self._tasks is None or self._drained.is_set():
            raise ConnectionRefusedError(self.address)
        visit = Visit(stream)
        self._visits.add(visit)
        self._tasks.start_soon(self._hold, visit)
        return visit

    async def visit(self, stream: Stream) -> None:
        """Hold a conversation to its end; cancelled, the visitor leaves.

        Raises:
            ConnectionRefusedError: As ``enter``.
            SessionError: The conversation failed, or was cut off.
        """
        visit = self.enter(stream)
        try:
            await visit.over.wait()
        finally:
            visit.scope.cancel()
            with anyio.CancelScope(shield=True):
                await visit.over.wait()
        if visit.error is not None:
            raise visit.error

    async def _hold(self, visit: Visit) -> None:
        assert self.target is not None
        try:
            with visit.scope:
                await self.target.handle(visit.stream)
        except anyio.get_cancelled_exc_class():
            visit.error = SessionError(ErrorCode.CANCELLED, "the ingress has gone")
            raise
        except Exception as exc:  # noqa: BLE001 - told to whoever holds the conversation
            visit.error = exc
        finally:
            self._visits.remove(visit)
            visit.over.set()
