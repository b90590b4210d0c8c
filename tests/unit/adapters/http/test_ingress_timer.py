from __future__ import annotations

import asyncio

from support.virtual_loop import VirtualLoop

from tunnel.adapters.http.ingress_timer import Deadline, Due


class Calls(VirtualLoop):
    """Remembers the timers it was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def call_at(self, when, callback, *args, context=None):
        self.asked += 1
        return super().call_at(when, callback, *args, context=context)


def run(scenario):
    loop = Calls()
    try:
        fired = []
        deadline = Deadline(loop, lambda due: fired.append((due, loop.time())))
        start = loop.time()
        loop.run_until_complete(scenario(loop, deadline))
        return [(due, round(at - start, 6)) for due, at in fired], loop.asked
    finally:
        loop.close()


def test_deadline_calls_back_once():
    async def scenario(loop, deadline):
        deadline.set(Due.HEAD, 5)
        assert deadline.due is Due.HEAD
        await asyncio.sleep(20)
        assert deadline.due is Due.NOTHING

    assert run(scenario)[0] == [(Due.HEAD, 5)]


def test_moving_it_away_costs_no_timer():
    async def scenario(loop, deadline):
        for _ in range(1000):
            deadline.set(Due.HEAD, 5)
            deadline.clear()
            deadline.set(Due.END, 6)
        asked.append(loop.asked)
        await asyncio.sleep(20)

    asked = []
    assert run(scenario)[0] == [(Due.END, 6)]
    assert asked == [1]


def test_bringing_it_forward_does():
    async def scenario(loop, deadline):
        deadline.set(Due.HEAD, 5)
        deadline.set(Due.HEAD, 1)
        await asyncio.sleep(20)

    assert run(scenario)[0] == [(Due.HEAD, 1)]


def test_cleared_and_closed_deadlines_do_not_call_back():
    async def scenario(loop, deadline):
        deadline.set(Due.HEAD, 5)
        deadline.clear()
        await asyncio.sleep(20)
        deadline.set(Due.HEAD, 5)
        deadline.close()
        await asyncio.sleep(20)

    assert run(scenario)[0] == []
