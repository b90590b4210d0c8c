"""Server and client processes of the simulation, and the network between them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
from dependency_injector import providers
from sim_plan import Plan, Request
from sim_traffic import SimUpstream, Upstreams
from support.fake_upstream import FakeTarget

from tunnel.adapters.clock import AnyioClock
from tunnel.adapters.memory.link import MemoryLink, MemoryPair
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.adapters.memory.transport import MemoryTransport
from tunnel.app.client import Client
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    AuthSettings,
    ClientSettings,
    EjectionSettings,
    EntrySettings,
    ForwardRule,
    ForwardSettings,
    GroupSettings,
    MemoryTransportSettings,
    Secret,
    ServerSettings,
    TokenSettings,
    TransportsSettings,
    UpstreamSettings,
)
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.rules.rule import Rule
from tunnel.ports.telemetry import Event, LinkLost, SessionFailed, Telemetry

__all__ = ["SimProcess", "SimWorld"]

_TOKEN = "a token"
_FRAMES_UNDER_WAY = 16


class _Recorder(Telemetry):
    """Counts events, adds them to the trace, and finds those that must not be."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world

    def record(self, event: Event) -> None:
        self._world.note(type(event).__name__)
        match event:
            case LinkLost(end="violated"):
                self._world.mistakes.append(f"one side broke the protocol: {event.reason}")
            case SessionFailed(code="internal" | "protocol_error" | "flow_control"):
                self._world.mistakes.append(f"a conversation failed by a mistake: {event}")
            case _:
                pass


class _SimTransport(MemoryTransport):
    """Dials within the world, as long as its weather lets it."""

    def __init__(self, world: SimWorld, process: SimProcess) -> None:
        super().__init__(world.network)
        self._world = world
        self._process = process

    async def connect(self, url: str, *, timeout_s: float) -> MemoryLink:
        if not self._world.reachable:
            await anyio.sleep(self._world.rng.random() * timeout_s)
            raise LinkError(LinkEnd.UNREACHABLE, "no route to host")
        link = await super().connect(url, timeout_s=timeout_s)
        (pair,) = (pair for pair in self._world.network.pairs() if pair.client is link)
        if self._world.delay_s:
            pair.slow_down(self._world.delay_s, capacity_frames=_FRAMES_UNDER_WAY)
        self._process.pairs.append(pair)
        return link


class SimProcess:
    """One process of a client, from its start to its end.

    Args:
        name: Its client_id.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.client: Client | None = None
        self.pairs: list[MemoryPair] = []
        self.scope = anyio.CancelScope()
        self.over = False

    @property
    def ready(self) -> bool:
        """Whether the server sends conversations to it."""
        return self.client is not None and self.client._lines.current.ready

    def die(self, *, silently: bool) -> None:
        """Be killed: nobody says goodbye. ``silently`` as if the whole host had lost power."""
        for pair in self.pairs:
            if silently:
                pair.silence()
            else:
                pair.sever()
        self.scope.cancel()


class SimWorld:
    """Everything there is in one simulation.

    Args:
        plan: The schedule.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(f"{plan.seed} world")
        self.network = MemoryNetwork()
        self.upstreams = Upstreams()
        self.reachable = True
        self.delay_s = plan.delay_s
        self.processes: dict[str, list[SimProcess]] = {}
        """By name, the newest last. Two of one name live until the server has told one of them to end."""
        self.server: Server
        self.settings = self._server_settings(plan.strategy, plan.upstream_strategy, targets=2)
        self.trace = hashlib.blake2b()
        self.events: dict[str, int] = {}
        self.mistakes: list[str] = []
        self._budgets: list[Budget] = []
        self._server_scope = anyio.CancelScope()
        self._clock = AnyioClock()
        self._entries = ServerContainer()
        self._override(self._entries)

    def note(self, what: str) -> None:
        """Something happened: two runs of one seed have the same notes at the same times."""
        self.events[what] = self.events.get(what, 0) + 1
        self.trace.update(f"{anyio.current_time():.9f} {what}\n".encode())

    # -- settings

    def _server_settings(self, strategy: str, upstream_strategy: str, *, targets: int) -> ServerSettings:
        plan = self.plan
        ejection = EjectionSettings(after_failures=3 if plan.ejection else 0)
        upstream = UpstreamSettings(
            targets=tuple(f"http://127.0.0.1:{3000 + number}" for number in range(targets)),
            balance=upstream_strategy,
            ejection=ejection,
        )
        group = GroupSettings(
            balance=strategy,
            wait_for_client_s=plan.wait_for_client_s,
            rules=(Rule(path_prefix="/", upstream="app"),),
            upstreams={"app": upstream},
            ejection=ejection,
        )
        return ServerSettings(
            transports=TransportsSettings(memory=MemoryTransportSettings(name="edge")),
            auth=AuthSettings(
                tokens={"laptop": TokenSettings(sha256=hashlib.sha256(_TOKEN.encode()).hexdigest(), groups=("web",))}
            ),
            rules=(Rule(host="app.test", group="web"),),
            groups={"web": group},
            forward=ForwardSettings(
                rules=(ForwardRule(host="app.test", groups=("web",), upstream="app"),), upstreams={"app": upstream}
            ),
            limits=plan.limits,
        )

    def other_settings(self, strategies: tuple[str, ...]) -> ServerSettings:
        """Settings under which every request is still answered, though elsewhere and by other rules."""
        rng = self.rng
        settings = self._server_settings(rng.choice(strategies), rng.choice(strategies), targets=rng.randint(1, 3))
        if rng.random() < 0.5:
            more = tuple(Rule(host=f"{number}.test", path_prefix="/x", group="web") for number in range(5))
            settings = msgspec.structs.replace(settings, rules=(*more, Rule(path_prefix="/", group="web")))
        return settings

    def _override(self, container: Any) -> None:
        container.clock.override(providers.Object(self._clock))
        container.network.override(providers.Object(self.network))
        container.telemetry.override(providers.Object(_Recorder(self)))
        container.random.override(providers.Object(self.rng))
        self._budgets.append(container.budget())

    # -- processes

    async def run_server(self, started: Callable[[], None]) -> None:
        """The server's process, until it is killed."""
        container = ServerContainer()
        self._override(container)
        container.targets.providers["http"].override(
            providers.Callable(lambda *_: FakeTarget(SimUpstream(self.upstreams).answer))
        )
        self._server_gone = anyio.Event()
        with anyio.CancelScope() as self._server_scope:
            async with Server(self.settings, container=container) as self.server:
                started()
                await anyio.sleep_forever()
        self._server_gone.set()

    async def kill_server(self, *, silently: bool) -> None:
        """Nobody says goodbye. Returns when the process is gone."""
        for pair in self.network.pairs():
            if silently:
                pair.silence()
            else:
                pair.sever()
        self._server_scope.cancel()
        await self._server_gone.wait()

    def ingress(self, request: Request) -> Callable[..., Awaitable[None]]:
        """Where a request is made: at the server, or at an entry of whichever client's process lives."""
        clients = [each.client for those in self.processes.values() for each in those if each.client and not each.over]
        if not request.forwarded or not clients:
            return self.server.ingress
        client = clients[request.number % len(clients)]
        # What an entry does on a socket, without the socket.
        entry: Callable[..., Awaitable[None]] = self._entries.asgi_ingress(
            client._entries._target("http"), None, client.settings.limits
        )
        return entry

    def process(self, name: str) -> SimProcess:
        """A new process under a client's name; ``run`` starts it."""
        process = SimProcess(name)
        self.processes.setdefault(name, []).append(process)
        return process

    async def run(self, process: SimProcess) -> None:
        """A client's process, until it ends or is killed."""
        container = ClientContainer()
        self._override(container)
        container.transports.providers["memory"].override(providers.Factory(_SimTransport, self, process))
        container.targets.providers["http"].override(
            providers.Callable(lambda *_: FakeTarget(SimUpstream(self.upstreams).answer))
        )
        settings = ClientSettings(
            group="web",
            servers=("memory://edge",),
            client_id=process.name,
            token=Secret(_TOKEN),
            limits=self.plan.limits,
            entry=EntrySettings(wait_for_server_s=self.plan.wait_for_client_s),
        )
        with process.scope:
            async with Client(settings, container=container) as process.client:
                try:
                    await process.client.wait_closed()
                except RegistrationRefused as refusal:
                    if refusal.code is not ErrorCode.SUPERSEDED:
                        raise
                    # Another process has taken its place.
                    self.note("superseded")
        process.over = True

    @property
    def settled(self) -> bool:
        """Whether each name has one process, which serves."""
        alive = [[each for each in processes if not each.over] for processes in self.processes.values()]
        return all(len(processes) == 1 and processes[0].ready for processes in alive)

    # -- what is left

    def multiplexers(self) -> list[Multiplexer]:
        """All that are in use, of both sides."""
        muxes = [tunnel.mux for tunnel in self.server._registry.tunnels()]
        for process in (each for processes in self.processes.values() for each in processes if not each.over):
            visit = process.client._lines.current.dialer._visit if process.client is not None else None
            if visit is not None and not visit.tunnel.over:
                muxes.append(visit.tunnel.mux)
        return muxes

    @property
    def quiet(self) -> bool:
        """Whether no tunnel holds anything on behalf of conversations that are over."""
        return not self.upstreams.running and all(
            not (mux.session_count or mux.reserved_bytes or mux.retained_frames) for mux in self.multiplexers()
        )

    def check_nothing_left(self) -> None:
        """After the end: no link, no promised credit, no conversation."""
        assert self.network.pairs() == []
        assert [each.reserved_bytes for each in self._budgets] == [0] * len(self._budgets)
        assert self.upstreams.running == 0
        assert self.mistakes == []
        if self.upstreams.mistakes:
            raise self.upstreams.mistakes[0]
