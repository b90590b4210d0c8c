"""The server goes and comes back; requests that enter at a client go past the tunnel meanwhile, and then return."""

import asyncio
import contextlib
import hashlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e_data import MIB, digest
from e2e_processes import HERE, READY_S, Process, address_of
from e2e_topologies import SCHEMES, TOKEN
from e2e_visitor import DEADLINE_S, Address, Truncated, Visitor, fetch, problem_code, run
from support.ports import unused_port

from tunnel.domain.backoff import DEFAULT_CAP_S
from tunnel.domain.configuration import LimitsSettings

pytestmark = pytest.mark.usefixtures("requires_tunnel")

VISITORS = 2
BODY = b"once"
STREAK = 40
ENTRY = r"listening kind=entry name=http address=(\S+)"
RETURNS_WITHIN_S = READY_S + DEFAULT_CAP_S + LimitsSettings().connect_s
"""The server's start, the longest pause of a client that tries to reach it, and the attempt that does."""


class Counting:
    """A web server in this process that counts how often it was asked for each path."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address: Address = self.socket.getsockname()
        self.asked: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self.serve, sock=self.socket)
        try:
            yield self
        finally:
            server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    await reader.readexactly(len(BODY))
                    self.asked[head.split(" ", 2)[1]] += 1
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    await writer.drain()
        finally:
            writer.close()


class Deployment:
    """A server with a forward rule, and a client whose entry may go past the tunnel."""

    def __init__(self, transport: str, upstream: Address, directory: Path) -> None:
        self.transport = transport
        self.directory = directory
        self.port = unused_port()
        target = f"http://{upstream[0]}:{upstream[1]}"
        where = f'name = "{directory.name}"' if transport == "memory" else f'listen = "127.0.0.1:{self.port}"'
        server = (
            f"memory://{directory.name}" if transport == "memory" else f"{SCHEMES[transport]}://127.0.0.1:{self.port}"
        )
        (directory / "server.toml").write_text(
            f"""
[transports.{transport}]
{where}
[auth.tokens.e2e]
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
groups = ["web"]
[groups.web]
[[forward.rules]]
path_prefix = "/"
groups = ["web"]
upstream = "app"
[forward.upstreams.app]
targets = ["{target}"]
[limits]
resume_s = 1
"""
        )
        (directory / "client.toml").write_text(
            f"""
client_id = "client"
group = "web"
token = "{TOKEN}"
servers = ["{server}"]
[entry.http]
listen = "127.0.0.1:0"
[fallback]
direct = true
allow = ["{upstream[0]}:{upstream[1]}"]
[limits]
resume_s = 1
"""
        )
        self.host = f"{upstream[0]}:{upstream[1]}"
        self.processes: dict[str, Process] = {}
        if transport == "memory":
            self.processes["host"] = Process("host", str(HERE / "memory_host.py"))
        client = self._start("client", "client start client")
        self.entry = address_of(client.wait_for(ENTRY))

    def start_server(self) -> None:
        """Start it, and return when the client has a tunnel to it."""
        said = len(self._client.lines)
        self._start("server", "server start")
        self._client.wait_for(r"ready client=client\b", after_line=said, deadline_s=RETURNS_WITHIN_S)

    def lose_server(self) -> None:
        if self.transport == "memory":
            said = len(self._client.lines)
            self._client.tell("server stop")
            self._client.wait_for("stopped name=server", after_line=said)
        else:
            self.processes.pop("server").kill()

    @property
    def _client(self) -> Process:
        return self.processes["host" if self.transport == "memory" else "client"]

    def _start(self, role: str, command: str) -> Process:
        path = self.directory / f"{role}.toml"
        if self.transport == "memory":
            self.processes["host"].tell(f"{command} {path}")
            return self.processes["host"]
        self.processes[role] = Process(role, "-m", "tunnel", role, "--config", str(path))
        return self.processes[role]

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()


@pytest.fixture
def deployed(transport: str, tmp_path: Path) -> Iterator[Callable[[Address], Deployment]]:
    with contextlib.ExitStack() as stack:

        def deploy(upstream: Address) -> Deployment:
            deployment = Deployment(transport, upstream, tmp_path)
            stack.callback(deployment.close)
            return deployment

        yield deploy


@dataclass
class Load:
    """Visitors that ask without a pause, each time for another path, until told to stop."""

    deployment: Deployment
    outcomes: dict[str, str] = field(default_factory=dict)
    """``tunnel``, ``direct`` or the code of the failure, by path."""
    streak: tuple[str, int] = ("", 0)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    stopped: bool = False

    async def visit(self, number: int) -> None:
        count = 0
        while not self.stopped:
            async with await Visitor.connect(self.deployment.entry) as visitor:
                kept = True
                while kept and not self.stopped:
                    count += 1
                    path = f"/{number}/{count}"
                    answer = await visitor.request("POST", path, body=BODY, host=self.deployment.host)
                    if answer.status == 200:
                        [outcome] = answer.all("tunnel-route")
                    else:
                        outcome = problem_code(answer)
                    self.outcomes[path] = outcome
                    self.streak = (outcome, self.streak[1] + 1 if self.streak[0] == outcome else 1)
                    kept = answer.header("connection") != "close"
                    async with self.changed:
                        self.changed.notify_all()

    async def until_all_go(self, route: str) -> None:
        async with asyncio.timeout(RETURNS_WITHIN_S), self.changed:
            await self.changed.wait_for(lambda: self.streak[0] == route and self.streak[1] >= STREAK)


def test_requests_go_past_a_server_that_is_gone_and_return_to_it_and_each_is_served_once(deployed, measured):
    upstream = Counting()
    deployment = deployed(upstream.address)
    deployment.start_server()

    async def scenario() -> Load:
        async with upstream.serving():
            load = Load(deployment)
            async with asyncio.TaskGroup() as tasks:
                for number in range(VISITORS):
                    tasks.create_task(load.visit(number))
                await load.until_all_go("tunnel")
                await asyncio.to_thread(deployment.lose_server)
                await load.until_all_go("direct")
                await asyncio.to_thread(deployment.start_server)
                await load.until_all_go("tunnel")
                load.stopped = True
            return load

    load = run(scenario(), deadline_s=DEADLINE_S + RETURNS_WITHIN_S)

    outcomes = Counter(load.outcomes.values())
    measured(str(dict(outcomes)))
    # Only what was under way when the server went may have failed, for it may have been served.
    assert outcomes.keys() <= {"tunnel", "direct", "peer_lost"}
    assert outcomes["peer_lost"] <= VISITORS
    failed = {path for path, outcome in load.outcomes.items() if outcome == "peer_lost"}
    assert dict.fromkeys(load.outcomes.keys() - failed, 1) == {
        path: count for path, count in upstream.asked.items() if path not in failed
    }
    assert all(upstream.asked[path] <= 1 for path in failed)


def test_download_that_began_directly_ends_directly_while_others_have_returned(deployed, upstream):
    deployment = deployed(upstream)
    size = 8 * MIB

    async def scenario() -> str:
        async with await Visitor.connect(deployment.entry) as slow, await Visitor.connect(deployment.entry) as other:
            await slow.send_head("GET", f"/download?bytes={size}", host=deployment.host)
            answer = await slow.head()
            assert answer.header("tunnel-route") == "direct"
            await asyncio.to_thread(deployment.start_server)
            assert (await other.get("/small", host=deployment.host)).header("tunnel-route") == "tunnel"
            sha256 = hashlib.sha256()
            async for piece in slow.body(answer):
                sha256.update(piece)
            return sha256.hexdigest()

    assert run(scenario(), deadline_s=DEADLINE_S + RETURNS_WITHIN_S) == digest(size)


def test_download_through_a_tunnel_that_is_lost_is_cut_short_and_not_begun_again(deployed, upstream):
    deployment = deployed(upstream)
    deployment.start_server()

    async def scenario() -> None:
        async with await Visitor.connect(deployment.entry) as visitor:
            await visitor.send_head("GET", f"/download?bytes={64 * MIB}&id=fallback-cut", host=deployment.host)
            answer = await visitor.head()
            assert answer.header("tunnel-route") == "tunnel"
            await asyncio.to_thread(deployment.lose_server)
            while (answered := await fetch(deployment.entry, "/small", host=deployment.host)).status != 200:
                # It began before the client noticed.
                assert problem_code(answered) == "peer_lost"
            assert answered.header("tunnel-route") == "direct"
            with pytest.raises(Truncated):
                async for _ in visitor.body(answer):
                    pass

    run(scenario())
