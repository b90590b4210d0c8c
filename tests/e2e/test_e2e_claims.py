"""Clients that serve hosts of their own, with real processes on real sockets, over each transport."""

import contextlib
import hashlib
import itertools
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import websockets.asyncio.client
import websockets.asyncio.server
from e2e_processes import HERE, Process
from e2e_topologies import ADMIN_LINE, INGRESS_LINE, SCHEMES
from e2e_visitor import Address, fetch, run
from support.ports import unused_port

import tunnel
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

TOKENS = {"laptop": "token-of-laptop-93f1", "phone": "token-of-phone-7ac4"}
CLAIMED = r"claimed client={} host=(\S+) path_prefix=\S+ url=(\S+)"
_numbers = itertools.count()


class Edge:
    """A server that grants claims, and its clients: processes, or tasks of one where they meet in memory."""

    def __init__(self, transport: str, upstream: Address, directory: Path) -> None:
        self.transport = transport
        self.upstream = upstream
        self.directory = directory
        self.name = f"claims-{next(_numbers)}"
        self.transport_port, self.ingress_port = unused_port(), unused_port()
        self.host = Process("host", str(HERE / "memory_host.py")) if transport == "memory" else None
        self.processes: dict[str, Process] = {}
        self.since: dict[str, int] = {}

    # -- starting and stopping

    def settings(self, *, laptop: str = "*.laptop.test", rules: str = "") -> str:
        where = f'name = "{self.name}"' if self.host else f'listen = "127.0.0.1:{self.transport_port}"'
        hosts = {"laptop": f'"{laptop}"', "phone": '"*.phone.test", "*.laptop.test"'}
        tokens = "".join(
            f'[auth.tokens.{name}]\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\ngroups = ["web"]\n'
            f"hosts = [{hosts[name]}]\n"
            for name, token in TOKENS.items()
        )
        return f"""
[transports.{self.transport}]
{where}
[ingress.http]
listen = "127.0.0.1:{self.ingress_port}"
public_url = "https://edge.test:8443"
[admin]
listen = "127.0.0.1:0"
{tokens}
[groups.web]
{rules}
"""

    def start_server(self, **settings: str) -> None:
        path = self.directory / "server.toml"
        path.write_text(self.settings(**settings))
        self._start("server", "server", path)
        self.wait_for("server", INGRESS_LINE)
        self.wait_for("server", ADMIN_LINE)

    def start(self, client: str, claim: str, *, token: str = "laptop", ready: bool = True) -> None:
        server = (
            f"memory://{self.name}" if self.host else f"{SCHEMES[self.transport]}://127.0.0.1:{self.transport_port}"
        )
        path = self.directory / f"{client}.toml"
        path.write_text(
            f"""
client_id = "{client}"
token = "{TOKENS[token]}"
servers = ["{server}"]
[claim]
{claim}
[upstreams.app]
targets = ["http://{self.upstream[0]}:{self.upstream[1]}"]
host_header = "{client}.app.test"
"""
        )
        self._start(client, "client", path)
        if ready:
            self.wait_for(client, rf"ready client={client}\b")

    def _start(self, name: str, kind: str, path: Path) -> None:
        if self.host is not None:
            self.since[name] = len(self.host.lines)
            self.host.tell(f"server start {path}" if kind == "server" else f"client start {name} {path}")
        else:
            self.processes[name] = Process(name, "-m", "tunnel", kind, "--config", str(path))

    def lose(self, name: str) -> None:
        if self.host is not None:
            line = len(self.host.lines)
            self.host.tell("server stop" if name == "server" else f"client stop {name}")
            self.host.wait_for(rf"(stopped|failed) name={name}\b", after_line=line)
        else:
            self.processes.pop(name).kill()

    def close(self) -> None:
        for process in (self.host, *self.processes.values()):
            if process is not None:
                process.kill()

    # -- watching

    def mark(self, name: str) -> int:
        """How many lines there are by now."""
        return len((self.host or self.processes[name]).lines)

    def wait_for(self, name: str, pattern: str, *, after: int | None = None):
        process = self.host or self.processes[name]
        return process.wait_for(pattern, after_line=self.since.get(name, 0) if after is None else after)

    def granted(self, client: str, *, after: int | None = None) -> tuple[str, str]:
        """Host and URL of a claim."""
        found = self.wait_for(client, CLAIMED.format(client), after=after)
        return found[1], found[2]

    def serving(self, host: str, path: str = "/inspect", times: int = 1) -> Counter:
        """Which client answers, by the Host that its application sees; else the status."""

        async def visit() -> Counter:
            seen: Counter = Counter()
            for _ in range(times):
                response = await fetch(("127.0.0.1", self.ingress_port), path, host=host)
                if response.status != 200:
                    seen[response.status] += 1
                    continue
                headers = {name.lower(): value for name, value in response.json()["headers"]}
                seen[headers["host"].partition(".")[0]] += 1
            return seen

        return run(visit())


@pytest.fixture
def edge(transport: str, upstream: Address, tmp_path: Path) -> Iterator[Edge]:
    with contextlib.closing(Edge(transport, upstream, tmp_path)) as edge:
        edge.start_server()
        yield edge


def test_host_is_claimed_shared_and_refused_to_others(edge: Edge) -> None:
    edge.start("one", 'host = "Demo.laptop.test"')
    assert edge.granted("one") == ("demo.laptop.test", "https://demo.laptop.test:8443")
    assert edge.serving("demo.laptop.test") == {"one": 1}

    edge.start("two", 'host = "demo.laptop.test"')
    shares = edge.serving("demo.laptop.test", times=40)
    assert shares["one"] + shares["two"] == 40
    assert min(shares["one"], shares["two"]) >= 5

    edge.start("other", 'host = "demo.laptop.test"', token="phone", ready=False)
    if edge.host is None:
        assert edge.processes["other"].wait() == 3
    edge.wait_for("other", 'the host \\S*"demo.laptop.test\\S*" is claimed by somebody else')


def test_host_that_the_server_chose_is_kept_over_its_restart(edge: Edge) -> None:
    edge.start("one", "")
    host, url = edge.granted("one")
    assert host.endswith(".laptop.test")
    assert url == f"https://{host}:8443"
    assert edge.serving(host) == {"one": 1}

    line = edge.mark("one")
    edge.lose("server")
    edge.start_server()
    edge.wait_for("one", r"ready client=one\b", after=line)

    assert edge.serving(host) == {"one": 1}


def test_rules_win_ties_and_claims_win_against_what_is_less_close(transport, upstream, tmp_path) -> None:
    rules = """
[[rules]]
host = "demo.laptop.test"
path_prefix = "/inspect/static"
group = "web"
[[rules]]
path_prefix = "/"
group = "web"
"""
    with contextlib.closing(Edge(transport, upstream, tmp_path)) as edge:
        edge.start_server(rules=rules)
        edge.start("tied", 'host = "demo.laptop.test"\npath_prefix = "/inspect/static"')
        edge.start("all", 'host = "demo.laptop.test"')

        # The group of the rules has no client.
        assert edge.serving("demo.laptop.test", "/inspect/static") == {503: 1}
        assert edge.serving("demo.laptop.test", "/inspect") == {"all": 1}
        assert edge.serving("else.laptop.test") == {503: 1}


@pytest.mark.usefixtures("requires_processes")
def test_claim_that_a_reload_takes_away_ends_its_client(edge: Edge) -> None:
    edge.start("one", 'host = "demo.laptop.test"')
    server = edge.processes["server"]

    (edge.directory / "server.toml").write_text(edge.settings(laptop="*.elsewhere.test"))
    server.signal(signal.SIGHUP)

    assert edge.processes["one"].wait() == 3
    edge.wait_for("one", "may not claim the host")
    assert edge.serving("demo.laptop.test") == {404: 1}


def test_websockets_and_calls_reach_what_was_claimed() -> None:
    """In one process, by the library."""
    name, host = f"claims-{next(_numbers)}", "demo.laptop.test"
    token = TOKENS["laptop"]
    server_settings = decode_server_settings(
        {
            "transports": {"memory": {"name": name}},
            "ingress": {
                "http": {"listen": "127.0.0.1:0"},
                "grpc": {"listen": "127.0.0.1:0", "host": host},
            },
            "auth": {"tokens": {"x": {"sha256": hashlib.sha256(token.encode()).hexdigest(), "hosts": ["*.test"]}}},
        }
    )

    def client(client_id: str, prefix: str, target: str) -> tunnel.Client:
        return tunnel.Client(
            decode_client_settings(
                {
                    "servers": [f"memory://{name}"],
                    "token": token,
                    "client_id": client_id,
                    "claim": {"host": host, "path_prefix": prefix},
                    "upstreams": {"app": {"targets": [target]}},
                }
            )
        )

    async def echo(socket: websockets.asyncio.server.ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def upper(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return request.upper()

    async def story() -> tuple[str | bytes, bytes, str | None]:
        calls = grpc.aio.server()
        handler = grpc.method_handlers_generic_handler(
            "shop.v1.Orders", {"Get": grpc.unary_unary_rpc_method_handler(upper)}
        )
        calls.add_generic_rpc_handlers((handler,))
        port = calls.add_insecure_port("127.0.0.1:0")
        await calls.start()
        async with (
            websockets.asyncio.server.serve(echo, "127.0.0.1", 0) as sockets,
            tunnel.Server(server_settings) as server,
            client("sockets", "/", "http://{}:{}".format(*sockets.sockets[0].getsockname())) as one,
            client("calls", "/shop.v1.Orders", f"grpc://127.0.0.1:{port}") as other,
        ):
            await one.ready()
            await other.ready()
            ingress, grpc_ingress = server.addresses["ingress.http"], server.addresses["ingress.grpc"]
            assert one.claim is not None
            assert one.claim.url == f"http://{host}:{ingress.rpartition(':')[2]}"
            connect = websockets.asyncio.client.connect(
                f"ws://{host}/chat", host="127.0.0.1", port=int(ingress.rpartition(":")[2]), proxy=None
            )
            async with connect as socket:
                await socket.send("hello")
                said = await socket.recv()
            async with grpc.aio.insecure_channel(grpc_ingress) as channel:
                called = await channel.unary_unary("/shop.v1.Orders/Get")(b"abc")
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await channel.unary_unary("/shop.v1.Others/Get")(b"abc")
        await calls.stop(0)
        return said, called, error.value.details()

    said, called, refused = run(story())

    assert (said, called) == ("hello", b"ABC")
    # A call of another service falls under the other claim, whose target speaks no gRPC.
    assert refused == "what is at this route answers HTTP and WebSocket only"
