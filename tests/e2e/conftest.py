"""One suite over every transport, on real sockets, with server and client as real processes.

Environment:
    TUNNEL_E2E_TOPOLOGY: comma-separated, of grpc, websocket, memory (default: all three) and direct (no tunnel: shows
        whether a failure is the tests' own, and what the machine can do).
"""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e_processes import Process, start_upstream
from e2e_topologies import DIRECTIONS, TRANSPORTS, Plan, Topology, make_topology, running
from e2e_visitor import Address

# 1,000 visitors, twice that in a process which holds both ends of a tunnel, and room.
NEEDED_FILES = 8192
TOPOLOGIES = os.environ.get("TUNNEL_E2E_TOPOLOGY", ",".join(TRANSPORTS)).split(",")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        for process in Process.running:
            report.sections.append((f"output of {process.name} ({process.pid})", process.output[-8000:]))
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "direction" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_ways"):
        metafunc.parametrize("direction", DIRECTIONS if TOPOLOGIES != ["direct"] else DIRECTIONS[:1], scope="session")


@pytest.fixture(scope="session")
def direction() -> str:
    """Which way conversations go: tests marked ``both_ways`` are run once for each."""
    return DIRECTIONS[0]


@pytest.fixture(scope="session", autouse=True)
def enough_files() -> None:
    """Raise the limit on open files for this process and, by inheritance, for all that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = NEEDED_FILES if hard == resource.RLIM_INFINITY else min(NEEDED_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@pytest.fixture(scope="session", params=TOPOLOGIES)
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def upstream() -> Iterator[Address]:
    process, address = start_upstream()
    yield address
    process.kill()


@pytest.fixture(scope="session")
def tunnel(
    transport: str, direction: str, upstream: Address, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Topology]:
    """A server and a client of the group web, shared by all tests that break neither."""
    plan = Plan(upstream, direction=direction)
    with running(make_topology(transport, plan, tmp_path_factory.mktemp(transport))) as topology:
        yield topology


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the site has its git repositories."""
    return tmp_path_factory.mktemp("repositories")


@pytest.fixture(scope="session")
def site(repositories: Path) -> Iterator[Address]:
    process, address = start_upstream("site_app.py", str(repositories))
    yield address
    process.kill()


@pytest.fixture(scope="session", params=[each for each in TOPOLOGIES if each != "memory"])
def site_tunnel(
    request: pytest.FixtureRequest, site: Address, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Topology]:
    """A tunnel to a web site, by whatever host it is asked for, with server and client as processes of their own."""
    plan = Plan(site, any_host=True)
    with running(make_topology(request.param, plan, tmp_path_factory.mktemp(f"site-{request.param}"))) as topology:
        yield topology


@pytest.fixture(scope="module")
def fresh_tunnel(transport: str, upstream: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """The same for one module alone: the peak of its memory is this module's doing."""
    with running(make_topology(transport, Plan(upstream), tmp_path_factory.mktemp(transport))) as topology:
        yield topology


@pytest.fixture
def deploy(transport: str, direction: str, upstream: Address, tmp_path: Path) -> Iterator[Callable[..., Topology]]:
    """Start a tunnel of the test's own, to break."""
    with ExitStack() as stack:

        def start(*, client: bool = True, **plan) -> Topology:
            topology = make_topology(transport, Plan(upstream, direction=direction, **plan), tmp_path)
            return stack.enter_context(running(topology, client=client))

        yield start


@pytest.fixture
def spawn() -> Iterator[Callable[..., Process]]:
    """Start a process that ends with the test at the latest."""
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> Process:
            process = Process(name, *arguments)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def requires_tunnel(transport: str) -> None:
    if transport == "direct":
        pytest.skip("is about the tunnel itself")


@pytest.fixture
def requires_processes(transport: str) -> None:
    if transport not in ("grpc", "websocket"):
        pytest.skip("needs server and client as processes of their own")
