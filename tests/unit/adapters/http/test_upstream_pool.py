"""The pool against a model: places are never lost nor made, and nobody who waits is passed or forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tunnel.adapters.http.upstream_pool import UpstreamPool
from tunnel.domain.errors import SessionError

T = TypeVar("T")

PLACES = 3
WAITING = 4


class FakeConnection:
    """A connection without a socket; the test says when it is lost."""

    def __init__(self, pool: UpstreamPool) -> None:
        self.pool = pool
        self.fit = True
        self.aborted = False
        self.lost = False
        self.idle_limit_s = inf

    @property
    def usable(self) -> bool:
        return not self.aborted and not self.lost

    def rest(self) -> bool:
        return self.fit and self.usable

    def abort(self) -> None:
        self.aborted = True

    def lose(self) -> None:
        self.lost = True
        self.pool.lost(self)  # type: ignore[arg-type]


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.pool = UpstreamPool(keepalive_s=4, max_idle=2, max_connections=PLACES, max_waiting=WAITING, wait_s=60)
        self.alive: list[FakeConnection] = []
        self.lent: list[FakeConnection] = []
        self.reserved = 0
        self.line: list[asyncio.Task[FakeConnection | None]] = []

    def within(self, call: Callable[..., T], *args: object) -> T:
        """Call something that asks for the running loop."""

        async def called() -> T:
            return call(*args)

        return self.loop.run_until_complete(called())

    def run(self) -> None:
        """Let tasks go as far as they can, and take up what those in line were given, who must be the first."""
        self.run_out()
        while self.line and self.line[0].done():
            self.take_up(self.line.pop(0))
        assert not any(task.done() for task in self.line)

    def run_out(self) -> None:
        for _ in range(4):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def take_up(self, task: asyncio.Task[FakeConnection | None]) -> None:
        if task.cancelled():
            return
        connection = task.result()
        if connection is None:
            self.reserved += 1
        else:
            self.lent.append(connection)

    @rule()
    def ask(self) -> None:
        connection = self.pool.checkout()
        if connection is not None:
            assert not self.line
            self.lent.append(connection)  # type: ignore[arg-type]
        elif self.pool.reserve():
            assert not self.line
            self.reserved += 1
        elif len(self.line) < WAITING:
            self.line.append(self.loop.create_task(self.pool.wait()))  # type: ignore[arg-type]
        self.run()

    @precondition(lambda self: self.reserved)
    @rule(outcome=st.sampled_from(["made", "lost", "failed"]))
    def dialled(self, outcome: str) -> None:
        self.reserved -= 1
        free_places = self.pool._free_places
        if outcome == "failed":
            self.pool.vacate()
        else:
            connection = FakeConnection(self.pool)
            if outcome == "lost":
                connection.lose()
            else:
                self.alive.append(connection)
            self.pool.place(connection)  # type: ignore[arg-type]
            self.lent.append(connection)
        if outcome != "made" and free_places < 0:
            assert self.pool._free_places == free_places + 1  # one too many leaves before another comes
        self.run()

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), fit=st.booleans())
    def give_back(self, data: st.DataObject, fit: bool) -> None:
        connection = self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        connection.fit = fit
        self.within(self.pool.give_back, connection)
        self.run()

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        connection = self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        self.pool.replace(connection)  # type: ignore[arg-type]
        self.reserved += 1
        self.run()

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.alive.pop(data.draw(st.integers(0, len(self.alive) - 1))).lose()
        self.run()

    @precondition(lambda self: self.line)
    @rule(data=st.data(), turn=st.booleans())
    def leave(self, data: st.DataObject, turn: bool) -> None:
        """Cancelled while waiting; with ``turn`` just when something may have been given to it."""
        index = data.draw(st.integers(0, len(self.line) - 1))
        if turn and self.reserved:
            self.reserved -= 1
            self.pool.vacate()
        self.line.pop(index).cancel()
        self.run()

    @invariant()
    def places_add_up(self) -> None:
        assert self.pool._free_places + self.reserved + len(self.pool._placed) == PLACES
        assert self.pool.open_connections == len(self.alive)

    @invariant()
    def nobody_waits_without_need(self) -> None:
        assert self.pool.waiting == len(self.line)
        if self.line:
            assert self.pool._free_places <= 0
            assert not self.pool.idle_connections

    def teardown(self) -> None:
        closing = self.loop.create_task(self.pool.aclose())
        self.run_out()
        for connection in self.alive:
            connection.lose()
        self.loop.run_until_complete(asyncio.wait_for(closing, 1))
        results = self.loop.run_until_complete(asyncio.gather(*self.line, return_exceptions=True))
        assert all(isinstance(result, SessionError) for result in results)
        asyncio.set_event_loop(None)
        self.loop.close()


def test_pool_keeps_its_places_and_its_line():
    run_state_machine_as_test(PoolMachine, settings=settings(max_examples=12, stateful_step_count=15))
