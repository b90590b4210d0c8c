"""One schedule, run in virtual time: a server, its clients, visitors, and what goes wrong between them.

What must hold, whatever happens:

1. Every request gets exactly one outcome, and gets it in time.
2. Bytes arrive once and in order; an answer that was cut short does not look whole.
3. What may not be repeated is not: an upload begins at most once at the upstreams.
4. When all is over the tunnels hold nothing on its behalf; after the end nothing is left at all.
5. Once nothing goes wrong any more, everything works again by itself.
6. Neither side ever breaks the protocol, and no conversation fails by a mistake of the software.
7. When nothing goes wrong but links that are lost or slow, and reloads, every request is answered in full.
"""

from __future__ import annotations

import logging
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import trio
from sim_plan import STRATEGIES, Fault, Kind, Plan, Request, more_requests
from sim_traffic import SimVisitor
from sim_world import SimProcess, SimWorld
from trio.testing import MockClock

__all__ = ["Report", "simulate"]

_PATIENCE_S = 1200.0
"""Virtual seconds for a whole schedule: far more than all deadlines in it together."""
_HEALED_WITHIN_S = 120.0
"""The longest pause between two attempts to dial is 30 s."""
_QUIET_WITHIN_S = 60.0
"""A tunnel whose client does not come back is kept for at most 30 s."""


@dataclass
class Report:
    """What happened.

    Attributes:
        seed: The schedule's.
        sessions: Requests made, without the probes at the end.
        faults: Faults that struck while requests were under way.
        outcomes: Of all requests.
        events: What server and clients told.
        trace: Digest of all that happened, and when.
    """

    seed: int
    sessions: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    trace: str = ""


def simulate(seed: int) -> Report:
    """Run the schedule of ``seed``; the same one in the same way at each call.

    Raises:
        AssertionError: Something that must hold did not.
    """
    # Trio shuffles what is runnable, to find hidden dependencies on order. Its dice are to fall alike for each seed.
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True
    trio._core._run._r.seed(seed)
    simulation = _Simulation(Plan.of(seed))
    trio.run(simulation.run, clock=MockClock(autojump_threshold=0))
    return simulation.report


class _Simulation:
    def __init__(self, plan: Plan) -> None:
        self.report = Report(plan.seed)
        self._plan = plan
        self._rng = random.Random(f"{plan.seed} faults")
        self._visitors: list[SimVisitor] = []
        self._active: set[int] = set()
        self._pending = 0
        """Faults that are still to end."""

    async def run(self) -> None:
        self._world = world = SimWorld(self._plan)
        with anyio.fail_after(_PATIENCE_S):
            async with anyio.create_task_group() as self._tasks:
                await self._start_server()
                for number in range(self._plan.clients):
                    self._tasks.start_soon(world.run, world.process(f"client-{number}"))
                await self._all_ready()
                async with anyio.create_task_group() as self._visits:
                    self._visits.start_soon(self._arrivals)
                    self._visits.start_soon(self._trouble)
                await self._heal()
                self._tasks.cancel_scope.cancel()
        world.check_nothing_left()
        self._conclude()

    # -- traffic

    async def _arrivals(self) -> None:
        for request in self._plan.requests:
            await anyio.sleep(request.at_s)
            self._arrive(request)

    def _arrive(self, request: Request) -> SimVisitor:
        visitor = SimVisitor(request)
        self._visitors.append(visitor)
        self._world.upstreams.requests[request.number] = request
        self._visits.start_soon(self._visit, visitor)
        return visitor

    async def _visit(self, visitor: SimVisitor) -> None:
        number = visitor.request.number
        self._active.add(number)
        try:
            await visitor.visit(self._world.ingress(visitor.request))
        finally:
            self._active.discard(number)
        self._world.note(f"{number} {visitor.outcome}")

    def _more(self, count: int) -> None:
        first = len(self._visitors) + 10_000
        for request in more_requests(self._rng, first=first, count=count):
            self._arrive(request)

    # -- faults

    async def _trouble(self) -> None:
        for fault in self._plan.faults:
            await anyio.sleep(self._rng.choice([0.0, 0.003, 0.05, 0.3, 1.0]))
            while not self._active:
                self._more(3)
                await anyio.sleep(self._rng.choice([0.0, 0.003, 0.05]))
            self._world.note(fault.value)
            self.report.faults[fault.value] += 1
            await _STRIKES[fault](self)

    def _some_pairs(self) -> list:  # type: ignore[type-arg]
        pairs = self._world.network.pairs()
        chosen = [pair for pair in pairs if self._rng.random() < 0.7]
        return chosen or pairs

    def _some_process(self) -> SimProcess:
        return self._world.processes[self._rng.choice(sorted(self._world.processes))][-1]

    async def _cut(self) -> None:
        for pair in self._some_pairs():
            pair.sever()

    async def _half_open(self) -> None:
        for pair in self._some_pairs():
            pair.silence()

    async def _stall(self) -> None:
        pairs = self._some_pairs()
        for pair in pairs:
            pair.stall()
        self._later(self._rng.choice([0.1, 1.0, 8.0]), lambda: [pair.stall(stalled=False) for pair in pairs])

    async def _slow(self) -> None:
        self._world.delay_s = self._rng.choice([0.001, 0.05, 0.4])
        for pair in self._some_pairs():
            pair.slow_down(self._world.delay_s, capacity_frames=16)

    async def _unreachable(self) -> None:
        self._world.reachable = False
        self._later(self._rng.choice([0.2, 4.0, 40.0]), self._reachable)
        await self._cut()

    def _reachable(self) -> None:
        self._world.reachable = True

    async def _crash(self) -> None:
        process = self._some_process()
        process.die(silently=self._rng.random() < 0.5)
        self._later(self._rng.choice([0.0, 0.5, 6.0]), lambda: self._start_client(process.name))

    async def _restart(self) -> None:
        process = self._some_process()
        client = process.client
        if client is not None:
            self._tasks.start_soon(client.aclose)
        self._later(self._rng.choice([0.0, 5.0, 15.0]), lambda: self._start_client(process.name))

    async def _takeover(self) -> None:
        self._start_client(self._some_process().name)

    async def _reload(self) -> None:
        self._world.settings = self._world.other_settings(STRATEGIES)
        await self._world.server.reload(self._world.settings)

    async def _server(self) -> None:
        await self._world.kill_server(silently=self._rng.random() < 0.5)
        await self._start_server()

    async def _burst(self) -> None:
        for request in more_requests(self._rng, first=len(self._visitors) + 20_000, count=self._rng.randint(5, 15)):
            request.kind, request.up, request.down, request.serve_s = Kind.SMALL, 0, 300, 0.0
            self._arrive(request)

    async def _departure(self) -> None:
        for visitor in self._visitors:
            if not visitor.outcome and self._rng.random() < 0.5:
                visitor.leave()

    def _later(self, delay_s: float, act: Callable[[], object]) -> None:
        async def wait() -> None:
            await anyio.sleep(delay_s)
            act()
            self._pending -= 1

        self._pending += 1
        self._tasks.start_soon(wait)

    # -- processes

    async def _start_server(self) -> None:
        started = anyio.Event()
        self._tasks.start_soon(self._world.run_server, started.set)
        await started.wait()

    def _start_client(self, name: str) -> None:
        self._tasks.start_soon(self._world.run, self._world.process(name))

    async def _all_ready(self) -> None:
        while not self._world.settled:  # noqa: ASYNC110
            await anyio.sleep(0.05)

    # -- the end

    async def _heal(self) -> None:
        world = self._world
        while self._pending:  # noqa: ASYNC110
            await anyio.sleep(1)
        # Half-open links are noticed after three heartbeats.
        await anyio.sleep(3 * self._plan.limits.heartbeat_s + 1)
        with anyio.fail_after(_HEALED_WITHIN_S):
            await self._all_ready()
        for number in range(2 * len(world.processes)):
            probe = Request(30_000 + number, Kind.SMALL, down=100)
            world.upstreams.requests[probe.number] = probe
            visitor = SimVisitor(probe)
            await visitor.visit(world.ingress(probe))
            assert visitor.outcome == "complete", f"nothing is wrong any more, and yet: {visitor.outcome}"
        with anyio.move_on_after(_QUIET_WITHIN_S):
            while not world.quiet:  # noqa: ASYNC110
                await anyio.sleep(0.1)
        if not world.quiet:
            held = [(mux.session_count, mux.reserved_bytes, mux.retained_frames) for mux in world.multiplexers()]
            raise AssertionError(f"held after the end: {held}, upstreams at work: {world.upstreams.running}")
        assert all(not client.in_flight for client in world.server.clients().clients)

    def _conclude(self) -> None:
        upstreams = self._world.upstreams
        for visitor in self._visitors:
            request = visitor.request
            assert visitor.outcome, f"request {request.number} has no outcome"
            begun = upstreams.begun[request.number]
            assert begun <= (3 if request.idempotent else 1), f"request {request.number} was begun {begun} times"
            if visitor.outcome == "complete":
                assert begun
            elif self._plan.gentle and request.kind not in (Kind.UNREACHABLE, Kind.CUT_SHORT):
                assert visitor.outcome == "left", f"request {request.number}: {visitor.outcome}, for no reason"
            self.report.outcomes[visitor.outcome] += 1
        self.report.sessions = len(self._visitors)
        self.report.events.update(self._world.events)
        self.report.trace = self._world.trace.hexdigest()


_STRIKES: dict[Fault, Callable[[_Simulation], Awaitable[None]]] = {
    Fault.CUT: _Simulation._cut,
    Fault.HALF_OPEN: _Simulation._half_open,
    Fault.STALL: _Simulation._stall,
    Fault.SLOW: _Simulation._slow,
    Fault.UNREACHABLE: _Simulation._unreachable,
    Fault.CRASH: _Simulation._crash,
    Fault.RESTART: _Simulation._restart,
    Fault.TAKEOVER: _Simulation._takeover,
    Fault.RELOAD: _Simulation._reload,
    Fault.SERVER: _Simulation._server,
    Fault.BURST: _Simulation._burst,
    Fault.DEPARTURE: _Simulation._departure,
}


def main() -> None:
    """``python simulation.py SEED``: run one schedule and print what happened."""
    logging.basicConfig(level=logging.DEBUG)
    print(simulate(int(sys.argv[1])))


if __name__ == "__main__":
    main()
