"""Where the visitor's requests go: through a tunnel over each transport or, to judge the tests themselves, directly.

`SeparateProcesses` runs `python -m tunnel server` and `client` as users do; `OneProcess` runs both in `memory_host.py`,
joined by the in-memory transport; `Direct` has no tunnel: the visitor's address is the upstream's own.
"""

import contextlib
import hashlib
import itertools
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e_processes import HERE, Process, address_of
from e2e_visitor import Address, Truncated, fetch
from support.ports import unused_port

TOKEN = "e2e-token-2f6c1d0a9b7e"
TRANSPORTS = ("grpc", "websocket", "memory")
SCHEMES = {"grpc": "grpc", "websocket": "ws"}
GROUPS = ("web", "late")
DIRECTIONS = ("to_client", "to_server")
INGRESS_LINE = r"listening kind=ingress name=http address=(\S+)"
ADMIN_LINE = r"listening kind=admin name=admin address=(\S+)"
_numbers = itertools.count()


@dataclass(frozen=True)
class Plan:
    """What differs between the servers of these tests.

    Hosts: app.example.test is served by the group web; refused.example.test by its upstream that nobody listens on;
    impatient.example.test by one that must answer its first byte within 0.3 s; late.example.test by the group late.

    Each of ``tcp`` is an upstream of the group web with a TCP listener of its name.
    """

    upstream: Address
    wait_for_client_s: float = 0
    max_body_bytes: int | None = None
    ingress_port: int = 0
    transport_port: int = 0
    heartbeat_s: float = 5
    any_host: bool = False
    """Whatever host is asked for is served by the group web."""
    tcp: Mapping[str, Address] = field(default_factory=dict)
    direction: str = "to_client"
    """``to_server``: visitors come in at the entries of the client named "client", and the upstreams are the server's.
    There is no group late then, and no ingress."""
    calls_port: int | None = None
    """Where gRPC calls go, all of them; without it there is no ingress for any."""
    more: str = ""
    """Further tables of the server's file."""

    @property
    def forwards(self) -> bool:
        return self.direction == "to_server"

    @property
    def suffix(self) -> str:
        """Tells topologies apart that have the same upstream."""
        return "-forwarding" if self.forwards else ""


def server_toml(plan: Plan, transport: str, memory_name: str) -> str:
    if plan.forwards:
        return forwarding_server_toml(plan, transport, memory_name)
    target = f"http://{plan.upstream[0]}:{plan.upstream[1]}"
    where = transport_place(plan, transport, memory_name)
    any_host = '[[rules]]\npath_prefix = "/"\ngroup = "web"' if plan.any_host else ""
    listeners = "".join(
        f"""
[[ingress.tcp]]
listen = "127.0.0.1:0"
group = "web"
upstream = "{name}"

[groups.web.upstreams.{name}]
targets = ["tcp://{host}:{port}"]
"""
        for name, (host, port) in plan.tcp.items()
    )
    limit = "" if plan.max_body_bytes is None else f"max_body_bytes = {plan.max_body_bytes}"
    return f"""
[transports.{transport}]
{where}

[ingress.http]
listen = "127.0.0.1:{plan.ingress_port}"
{limit}

[admin]
listen = "127.0.0.1:0"

[auth.tokens.e2e]
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
groups = ["web", "late"]

[[rules]]
host = "app.example.test"
group = "web"

[[rules]]
host = "refused.example.test"
group = "web"

[[rules]]
host = "impatient.example.test"
group = "web"

[[rules]]
host = "late.example.test"
group = "late"

{any_host}

[groups.web]
wait_for_client_s = {plan.wait_for_client_s}

[[groups.web.rules]]
host = "refused.example.test"
upstream = "refused"

[[groups.web.rules]]
host = "impatient.example.test"
upstream = "impatient"

[[groups.web.rules]]
path_prefix = "/"
upstream = "app"

[groups.web.upstreams.app]
targets = ["{target}"]

[groups.web.upstreams.refused]
targets = ["http://127.0.0.1:{unused_port()}"]

[groups.web.upstreams.impatient]
targets = ["{target}"]
first_byte_timeout_s = 0.3

[groups.late]
wait_for_client_s = {plan.wait_for_client_s}

[[groups.late.rules]]
path_prefix = "/"
upstream = "app"

[groups.late.upstreams.app]
targets = ["{target}"]
{listeners}
{"" if plan.calls_port is None else calls_toml(plan.calls_port)}
[limits]
heartbeat_s = {plan.heartbeat_s}
{plan.more}
"""


def calls_toml(port: int) -> str:
    return f"""
[ingress.grpc]
listen = "127.0.0.1:0"
host = "calls.example.test"

[[rules]]
protocol = "grpc"
group = "web"

[[groups.web.rules]]
protocol = "grpc"
path_regex = "/.*"
host = "calls.example.test"
upstream = "calls"

[groups.web.upstreams.calls]
targets = ["grpc://127.0.0.1:{port}"]
"""


def transport_place(plan: Plan, transport: str, memory_name: str) -> str:
    return f'name = "{memory_name}"' if transport == "memory" else f'listen = "127.0.0.1:{plan.transport_port}"'


def forwarding_server_toml(plan: Plan, transport: str, memory_name: str) -> str:
    target = f"http://{plan.upstream[0]}:{plan.upstream[1]}"
    tcp = "".join(
        f"""
[[forward.rules]]
protocol = "tcp"
groups = ["web"]
upstream = "{name}"

[forward.upstreams.{name}]
targets = ["tcp://{host}:{port}"]
"""
        for name, (host, port) in plan.tcp.items()
    )
    calls = f"""
[[forward.rules]]
protocol = "grpc"
path_regex = "/.*"
host = "calls.example.test"
groups = ["web"]
upstream = "calls"

[forward.upstreams.calls]
targets = ["grpc://127.0.0.1:{plan.calls_port}"]
"""
    return f"""
[transports.{transport}]
{transport_place(plan, transport, memory_name)}

[admin]
listen = "127.0.0.1:0"

[auth.tokens.e2e]
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
groups = ["web"]

[groups.web]

[[forward.rules]]
host = "app.example.test"
groups = ["web"]
upstream = "app"

[[forward.rules]]
host = "refused.example.test"
groups = ["web"]
upstream = "refused"

[forward.upstreams.app]
targets = ["{target}"]

[forward.upstreams.refused]
targets = ["http://127.0.0.1:{unused_port()}"]
{tcp}
{"" if plan.calls_port is None else calls}
[limits]
heartbeat_s = {plan.heartbeat_s}
"""


def entries_toml(plan: Plan) -> str:
    """The entries of the client named "client"."""
    tcp = "".join(f"""[[entry.tcp]]\nlisten = "127.0.0.1:0"\nupstream = "{name}"\n""" for name in plan.tcp)
    calls = """[entry.grpc]\nlisten = "127.0.0.1:0"\nhost = "calls.example.test"\n"""
    limit = "" if plan.max_body_bytes is None else f"max_body_bytes = {plan.max_body_bytes}"
    return f"""
[entry.http]
listen = "127.0.0.1:{plan.ingress_port}"
{limit}
{tcp}
{"" if plan.calls_port is None else calls}
"""


def client_toml(name: str, plan: Plan, *, group: str, token: str, server: str) -> str:
    return f"""
client_id = "{name}"
group = "{group}"
token = "{token}"
servers = ["{server}"]

[admin]
listen = "127.0.0.1:0"

[limits]
heartbeat_s = {plan.heartbeat_s}
{entries_toml(plan) if plan.forwards and name == "client" else ""}
"""


class Topology(ABC):
    """One server with its clients, started and stopped by the tests."""

    name: str
    """Unlike that of any other with the same upstream."""
    ingress: Address

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.directory = directory
        self.admins: dict[str, Address] = {}
        """Admin ports of "server" and of each client that was waited for, as they were last started."""

    @property
    @abstractmethod
    def processes(self) -> dict[str, Process]:
        """The processes that the tunnel consists of."""

    @abstractmethod
    def line(self, process: str, pattern: str) -> re.Match[str]:
        """A line that "server" or a client has said, since it was last started."""

    @property
    def door(self) -> str:
        """Whose listeners visitors come to."""
        return "client" if self.plan.forwards else "server"

    @property
    def doorkeeper(self) -> Process:
        """The process of that."""
        return self.processes.get(self.door) or self.processes["host"]

    @property
    def _kind(self) -> str:
        return "entry" if self.plan.forwards else "ingress"

    def tcp(self, name: str) -> Address:
        """Where the TCP listener of this name listens."""
        return address_of(self.line(self.door, rf"listening kind={self._kind} name=tcp-{name} address=(\S+)"))

    @property
    def calls(self) -> Address:
        """Where the gRPC listener listens."""
        return address_of(self.line(self.door, rf"listening kind={self._kind} name=grpc address=(\S+)"))

    def came_up(self, process: str) -> None:
        """Note where "server" or a client listens."""
        if process == self.door:
            self.ingress = address_of(self.line(process, rf"listening kind={self._kind} name=http address=(\S+)"))
        self.admins[process] = address_of(self.line(process, ADMIN_LINE))

    @abstractmethod
    def start_server(self) -> None: ...

    @abstractmethod
    def lose_server(self) -> None:
        """End the server as suddenly as this topology can."""

    @abstractmethod
    def start_client(
        self, name: str = "client", *, group: str = "web", token: str = TOKEN, via: Address | None = None
    ) -> None:
        """Start a client without waiting for it; `via` is an address in front of the server's transport."""

    @abstractmethod
    def lose_client(self, name: str = "client") -> None:
        """End a client as suddenly as this topology can."""

    @abstractmethod
    def wait_for_client(self, name: str = "client") -> None:
        """Wait until the client says, since it was last started, that it is ready."""

    @abstractmethod
    def close(self) -> None: ...


class Direct(Topology):
    """No tunnel. What needs one is skipped."""

    name = "direct"

    def __init__(self, plan: Plan, directory: Path) -> None:
        super().__init__(plan, directory)
        self.ingress = plan.upstream

    @property
    def processes(self) -> dict[str, Process]:
        return {}

    def line(self, process: str, pattern: str) -> re.Match[str]:
        pytest.skip("there is nobody to say anything")

    def tcp(self, name: str) -> Address:
        return self.plan.tcp[name]

    def start_server(self) -> None:
        pass

    def lose_server(self) -> None:
        pytest.skip("there is no server to lose")

    def start_client(self, *_: object, **__: object) -> None:
        pass

    def lose_client(self, *_: object) -> None:
        pytest.skip("there is no client to lose")

    def wait_for_client(self, *_: object, **__: object) -> None:
        pass

    def close(self) -> None:
        pass


class SeparateProcesses(Topology):
    def __init__(self, plan: Plan, directory: Path, transport: str) -> None:
        super().__init__(plan, directory)
        self.transport = transport
        self.name = f"{transport}{plan.suffix}"
        self.transport_address: Address | None = None
        self._processes: dict[str, Process] = {}

    @property
    def processes(self) -> dict[str, Process]:
        return self._processes

    def start_server(self) -> None:
        path = self.directory / "server.toml"
        path.write_text(server_toml(self.plan, self.transport, ""))
        server = self._processes["server"] = Process("server", "-m", "tunnel", "server", "--config", str(path))
        listening = rf"listening kind=transport name={self.transport} address=(\S+)"
        self.transport_address = address_of(server.wait_for(listening))
        self.came_up("server")

    def line(self, process: str, pattern: str) -> re.Match[str]:
        return self._processes[process].wait_for(pattern)

    def lose_server(self) -> None:
        self._processes.pop("server").kill()

    def start_client(
        self, name: str = "client", *, group: str = "web", token: str = TOKEN, via: Address | None = None
    ) -> None:
        host, port = via or self.transport_address or ("127.0.0.1", self.plan.transport_port)
        path = self.directory / f"{name}.toml"
        server = f"{SCHEMES[self.transport]}://{host}:{port}"
        path.write_text(client_toml(name, self.plan, group=group, token=token, server=server))
        self._processes[name] = Process(name, "-m", "tunnel", "client", "--config", str(path))

    def lose_client(self, name: str = "client") -> None:
        self._processes.pop(name).kill()

    def wait_for_client(self, name: str = "client") -> None:
        self.line(name, ready_line(name))
        self.came_up(name)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()


class OneProcess(Topology):
    def __init__(self, plan: Plan, directory: Path) -> None:
        super().__init__(plan, directory)
        self.name = f"memory{plan.suffix}"
        # The in-memory transport's names are the process's own, but a fresh one shows that none is built in.
        self.memory_name = f"e2e-{next(_numbers)}"
        self.host = Process("host", str(HERE / "memory_host.py"))
        self._started_at_line: dict[str, int] = {}

    @property
    def processes(self) -> dict[str, Process]:
        return {"host": self.host}

    def start_server(self) -> None:
        path = self.directory / "server.toml"
        path.write_text(server_toml(self.plan, "memory", self.memory_name))
        self._started_at_line["server"] = len(self.host.lines)
        self.host.tell(f"server start {path}")
        self.came_up("server")

    def line(self, process: str, pattern: str) -> re.Match[str]:
        return self.host.wait_for(pattern, after_line=self._started_at_line[process])

    def lose_server(self) -> None:
        self._stop("server", "server stop")

    def start_client(
        self, name: str = "client", *, group: str = "web", token: str = TOKEN, via: Address | None = None
    ) -> None:
        assert via is None, "nothing lies between the two ends of the in-memory transport"
        path = self.directory / f"{name}.toml"
        server = f"memory://{self.memory_name}"
        path.write_text(client_toml(name, self.plan, group=group, token=token, server=server))
        self._started_at_line[name] = len(self.host.lines)
        self.host.tell(f"client start {name} {path}")

    def lose_client(self, name: str = "client") -> None:
        self._stop(name, f"client stop {name}")

    def _stop(self, name: str, command: str) -> None:
        line = len(self.host.lines)
        self.host.tell(command)
        self.host.wait_for(rf"(stopped|failed) name={name}\b", after_line=line)

    def wait_for_client(self, name: str = "client") -> None:
        self.line(name, ready_line(name))
        self.came_up(name)

    def close(self) -> None:
        self.host.kill()


def ready_line(client: str) -> str:
    return rf"ready client={client}\b"


def make_topology(name: str, plan: Plan, directory: Path) -> Topology:
    directory.mkdir(parents=True, exist_ok=True)
    match name:
        case "direct":
            return Direct(plan, directory)
        case "memory":
            return OneProcess(plan, directory)
        case "grpc" | "websocket":
            return SeparateProcesses(plan, directory, name)
        case _:
            raise ValueError(name)


@contextlib.contextmanager
def running(topology: Topology, *, client: bool = True) -> Iterator[Topology]:
    """Start the server and, unless told otherwise, one client of the group web; end all of it afterwards."""
    try:
        topology.start_server()
        if client:
            topology.start_client()
            topology.wait_for_client()
        yield topology
    finally:
        topology.close()


def terminate(process: Process) -> None:
    process.signal(signal.SIGTERM)


async def answers(address: Address) -> bool:
    """Tell whether a small request succeeds."""
    try:
        return (await fetch(address, "/small")).body == b"small"
    except (OSError, Truncated):
        return False
