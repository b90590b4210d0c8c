"""Where the visitor's requests go: through a tunnel over each transport or, to judge the tests themselves, directly.

`SeparateProcesses` runs `python -m tunnel server` and `client` as users do; `OneProcess` runs both in `memory_host.py`,
joined by the in-memory transport; `Direct` has no tunnel: the visitor's address is the upstream's own.
"""

import contextlib
import hashlib
import itertools
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
    calls_port: int | None = None
    """Where gRPC calls go, all of them; without it there is no ingress for any."""
    more: str = ""
    """Further tables of the server's file."""


def server_toml(plan: Plan, transport: str, memory_name: str) -> str:
    target = f"http://{plan.upstream[0]}:{plan.upstream[1]}"
    where = f'name = "{memory_name}"' if transport == "memory" else f'listen = "127.0.0.1:{plan.transport_port}"'
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


def client_toml(name: str, *, group: str, token: str, server: str, heartbeat_s: float = 5) -> str:
    return f"""
client_id = "{name}"
group = "{group}"
token = "{token}"
servers = ["{server}"]

[admin]
listen = "127.0.0.1:0"

[limits]
heartbeat_s = {heartbeat_s}
"""


class Topology(ABC):
    """One server with its clients, started and stopped by the tests."""

    name: str
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
    def tcp(self, name: str) -> Address:
        """Where the TCP listener of this name listens."""

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
        self.name = transport
        self.transport_address: Address | None = None
        self._processes: dict[str, Process] = {}

    @property
    def processes(self) -> dict[str, Process]:
        return self._processes

    def start_server(self) -> None:
        path = self.directory / "server.toml"
        path.write_text(server_toml(self.plan, self.name, ""))
        server = self._processes["server"] = Process("server", "-m", "tunnel", "server", "--config", str(path))
        listening = rf"listening kind=transport name={self.name} address=(\S+)"
        self.transport_address = address_of(server.wait_for(listening))
        self.ingress = address_of(server.wait_for(INGRESS_LINE))
        self.admins["server"] = address_of(server.wait_for(ADMIN_LINE))

    def tcp(self, name: str) -> Address:
        return address_of(self._processes["server"].wait_for(tcp_line(name)))

    def lose_server(self) -> None:
        self._processes.pop("server").kill()

    def start_client(
        self, name: str = "client", *, group: str = "web", token: str = TOKEN, via: Address | None = None
    ) -> None:
        host, port = via or self.transport_address or ("127.0.0.1", self.plan.transport_port)
        path = self.directory / f"{name}.toml"
        server = f"{SCHEMES[self.name]}://{host}:{port}"
        path.write_text(client_toml(name, group=group, token=token, server=server, heartbeat_s=self.plan.heartbeat_s))
        self._processes[name] = Process(name, "-m", "tunnel", "client", "--config", str(path))

    def lose_client(self, name: str = "client") -> None:
        self._processes.pop(name).kill()

    def wait_for_client(self, name: str = "client") -> None:
        self._processes[name].wait_for(ready_line(name))
        self.admins[name] = address_of(self._processes[name].wait_for(ADMIN_LINE))

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()


class OneProcess(Topology):
    name = "memory"

    def __init__(self, plan: Plan, directory: Path) -> None:
        super().__init__(plan, directory)
        # The in-memory transport's names are the process's own, but a fresh one shows that none is built in.
        self.memory_name = f"e2e-{next(_numbers)}"
        self.host = Process("host", str(HERE / "memory_host.py"))
        self._started_at_line: dict[str, int] = {}
        self._server_line = 0

    @property
    def processes(self) -> dict[str, Process]:
        return {"host": self.host}

    def start_server(self) -> None:
        path = self.directory / "server.toml"
        path.write_text(server_toml(self.plan, "memory", self.memory_name))
        self._server_line = line = len(self.host.lines)
        self.host.tell(f"server start {path}")
        self.ingress = address_of(self.host.wait_for(INGRESS_LINE, after_line=line))
        self.admins["server"] = address_of(self.host.wait_for(ADMIN_LINE, after_line=line))

    def tcp(self, name: str) -> Address:
        return address_of(self.host.wait_for(tcp_line(name), after_line=self._server_line))

    def lose_server(self) -> None:
        self._stop("server", "server stop")

    def start_client(
        self, name: str = "client", *, group: str = "web", token: str = TOKEN, via: Address | None = None
    ) -> None:
        assert via is None, "nothing lies between the two ends of the in-memory transport"
        path = self.directory / f"{name}.toml"
        server = f"memory://{self.memory_name}"
        path.write_text(client_toml(name, group=group, token=token, server=server, heartbeat_s=self.plan.heartbeat_s))
        self._started_at_line[name] = len(self.host.lines)
        self.host.tell(f"client start {name} {path}")

    def lose_client(self, name: str = "client") -> None:
        self._stop(name, f"client stop {name}")

    def _stop(self, name: str, command: str) -> None:
        line = len(self.host.lines)
        self.host.tell(command)
        self.host.wait_for(rf"(stopped|failed) name={name}\b", after_line=line)

    def wait_for_client(self, name: str = "client") -> None:
        line = self._started_at_line[name]
        self.host.wait_for(ready_line(name), after_line=line)
        self.admins[name] = address_of(self.host.wait_for(ADMIN_LINE, after_line=line))

    def close(self) -> None:
        self.host.kill()


def tcp_line(name: str) -> str:
    return rf"listening kind=ingress name=tcp-{name} address=(\S+)"


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
