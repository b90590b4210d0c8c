"""`tunnel demo` as a user runs it."""

import os
import re
import signal
import tempfile
import time
from pathlib import Path

import pytest
from e2e_processes import Process, address_of
from e2e_topologies import TRANSPORTS
from e2e_visitor import fetch, run
from support.frameworks import without_frameworks

ROWS = 22
DEMO_S = 90.0
WITHOUT_THE_APPLICATION = {
    "unknown host: 404 route_not_found",
    "upstream refuses: 502 upstream_unreachable",
    "TCP: each line comes back",
    "TCP: an answer after the visitor's last word",
    "TCP: 4 MiB there and back at once",
    "exposed ASGI application, by its claimed host",
}
ROW = r"^  (\S.*?)  +\d+  +\d*  +(ok|FAILED: expected .*, got .*)$"


@pytest.fixture
def demo(spawn, tmp_path, monkeypatch):
    """Start the demo with its temporary files where the test can see them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # For the five interpreters that a demo starts.
    monkeypatch.setenv("PYTHONPATH", without_frameworks(os.environ)["PYTHONPATH"])
    return lambda *arguments: spawn("demo", "-m", "tunnel", "demo", *arguments)


def results(demo: Process) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in demo.matches(ROW)]


def pids(demo: Process) -> list[int]:
    return [int(pid) for line in demo.lines for pid in re.findall(r"pid (\d+)", line)]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_nothing_left(demo: Process, directory: Path, *, processes: int) -> None:
    assert len(pids(demo)) == processes
    assert [pid for pid in pids(demo) if exists(pid)] == []
    assert list(directory.glob("tunnel-demo-*")) == []


# The next test has the rows of all; this one has what naming one changes.
@pytest.mark.parametrize("transport", ["memory", "websocket"])
def test_every_row_passes(demo, transport, tmp_path):
    process = demo("--once", "--transport", transport)

    assert process.wait(DEMO_S) == 0, process.output
    assert [result for _, result in results(process)] == ["ok"] * ROWS
    assert process.matches(rf"^over {transport}: ")
    assert_nothing_left(process, tmp_path, processes=1 if transport == "memory" else 3)


def test_every_transport_has_its_turn_unless_one_is_named(demo, tmp_path, measured):
    start = time.monotonic()
    process = demo("--once")

    assert process.wait(DEMO_S) == 0, process.output
    assert [found[1] for found in process.matches(r"^over (\w+): ")] == list(TRANSPORTS)
    assert [result for _, result in results(process)] == ["ok"] * ROWS * len(TRANSPORTS)
    assert process.lines[-1] == f"all {ROWS * len(TRANSPORTS)} rows passed"
    assert_nothing_left(process, tmp_path, processes=5)
    measured(f"{time.monotonic() - start:.1f} s")


def test_rows_fail_when_the_application_is_killed(demo, tmp_path):
    process = demo("--once")
    # It is announced before anything else is started.
    os.kill(int(process.wait_for(r"^sample application: http://\S+ \(pid (\d+)\)$")[1]), signal.SIGKILL)

    assert process.wait(DEMO_S) == 1, process.output
    passed = {name for name, result in results(process) if result == "ok"}
    failed = [(name, result) for name, result in results(process) if result != "ok"]
    assert passed == WITHOUT_THE_APPLICATION
    assert len(failed) == (ROWS - len(passed)) * len(TRANSPORTS)
    reasons = (
        "502 upstream_unreachable",
        "UNAVAILABLE: the upstream cannot be reached",
        # What the library makes up where the call is over before the caller's message is written, whatever its status.
        "INTERNAL: Internal error from Core",
    )
    assert [each for each in failed if not any(reason in each[1] for reason in reasons)] == []
    for name, _ in failed:
        assert process.matches(rf"^  over grpc: {re.escape(name)}$")
    assert process.lines[-1] == "  the sample application was ended by SIGKILL"
    assert_nothing_left(process, tmp_path, processes=5)


@pytest.mark.parametrize("part", ["server", "client"])
def test_rows_fail_when_an_end_of_the_tunnel_is_killed(demo, part, tmp_path):
    process = demo("--once", "--transport", "websocket")
    os.kill(int(process.wait_for(rf"^over websocket: .*\b{part} pid (\d+)")[1]), signal.SIGKILL)

    assert process.wait(DEMO_S) == 1, process.output
    assert process.matches(rf"^  the {part} over websocket was ended by SIGKILL$")
    assert_nothing_left(process, tmp_path, processes=3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_stays_until_it_is_interrupted(demo, number, tmp_path):
    process = demo("--transport", "grpc")
    public = address_of(process.wait_for(r"curl -i http://([^/]+)/", deadline_s=DEMO_S))

    assert run(fetch(public, "/", host=f"{public[0]}:{public[1]}")).body.startswith(b"Hello")
    assert all(exists(pid) for pid in pids(process))
    process.signal(number)
    assert process.wait() == 0, process.output
    assert_nothing_left(process, tmp_path, processes=3)


@pytest.mark.parametrize("moment", [r"^sample application", r"^over websocket", r"^  GET"])
def test_interrupted_early_it_leaves_nothing_behind(demo, moment, tmp_path):
    process = demo("--transport", "websocket")
    process.wait_for(moment)
    process.signal(signal.SIGINT)

    assert process.wait() == 130, process.output
    assert "Traceback" not in process.output
    assert_nothing_left(process, tmp_path, processes=len(pids(process)))


def test_temporary_files_are_where_the_system_has_them(demo, tmp_path):
    process = demo("--transport", "memory")
    process.wait_for(r"curl -i http://([^/]+)/", deadline_s=DEMO_S)

    assert len(list(tmp_path.glob("tunnel-demo-*"))) == 1
    assert tempfile.gettempdir() != str(tmp_path)
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    assert_nothing_left(process, tmp_path, processes=1)
