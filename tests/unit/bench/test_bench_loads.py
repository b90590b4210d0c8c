"""The loads against the upstream of our own, in a process of its own, and what is read of wrk's report."""

import sys
from dataclasses import replace

import pytest

from bench import request_load
from bench.accounting import Meter
from bench.event_load import run_events
from bench.lanes import Entrance, Lane
from bench.plain_lanes import start_direct, start_uvicorn
from bench.processes import Failed, NotFound, program
from bench.request_load import run_requests
from bench.samples import Result
from bench.transfer_load import run_downloads, run_uploads

TURN_S = 0.05
WRK_REPORT = """
Running 2s test @ http://127.0.0.1:1/small
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.34ms    2.00ms  42.80ms   97.10%
    Req/Sec    45.31k     5.00k   54.00k    75.00%
  Latency Distribution
     50%  900.00us
     75%    1.30ms
     90%    2.00ms
     99%    1.50s
  90000 requests in 2.00s, 11.00MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  45000.00
Transfer/sec:      5.50MB
"""


@pytest.fixture(scope="module", params=["upstream", "streams", "uvicorn"])
def lane(request, processes, upstreams) -> Lane:
    """The upstream as it is used, that of our own alone, and the application on uvicorn: they answer alike."""
    if request.param == "uvicorn":
        return start_uvicorn(sys.executable, upstreams, processes)
    direct = start_direct(upstreams, processes)
    if request.param == "streams":
        return replace(direct, entrances={**direct.entrances, "plain": direct.entrances["streams"]})
    return direct


@pytest.fixture
def no_wrk(monkeypatch) -> None:
    def missing(name: str) -> str:
        raise NotFound(name)

    monkeypatch.setattr(request_load, "program", missing)


@pytest.mark.usefixtures("no_wrk")
@pytest.mark.parametrize("path", ["/small", "/body"])
def test_requests_are_generated_without_wrk(lane, path):
    # Time for more than one request of each, on a busy machine too.
    result = run_requests(lane, Meter({}), path=path, connections=3, seconds=5 * TURN_S)

    assert result.done > 3
    assert result.failed == 0
    assert 0 < result.p50_ms <= result.p99_ms


@pytest.mark.usefixtures("no_wrk")
def test_requests_that_nobody_answers_fail():
    nowhere = Entrance("127.0.0.1:1")

    with pytest.raises(Failed):
        run_requests(Lane("direct", {"plain": nowhere}, ""), Meter({}), path="/", connections=1, seconds=TURN_S)


@pytest.mark.parametrize("run", [run_downloads, run_uploads])
def test_transfers_count_whole_bodies(lane, run):
    meter = Meter(lane.measured("streams"))

    result = run(lane, meter, large_mib=1, seconds=TURN_S)

    assert result.done >= 1
    assert result.done == int(result.done)
    assert set(meter.cpu_s) <= {"server", "upstream"}


def test_a_body_of_another_size_fails(lane):
    with pytest.raises(Failed, match="of 2097152 bytes"):
        run_downloads(lane, Meter({}), large_mib=2, seconds=TURN_S)


def test_every_subscriber_gets_every_event(lane):
    result = run_events(lane, Meter({}), subscribers=4, seconds=TURN_S)

    assert result.done > 0
    assert result.done % 4 == 0


def test_report_of_wrk_is_read():
    assert request_load._read_report(WRK_REPORT) == Result(90_000, 2.0, p50_ms=0.9, p99_ms=1500, failed=15)


def test_programs_that_are_missing_are_named():
    with pytest.raises(NotFound, match="no-such-program"):
        program("no-such-program")
