"""Makes the package `bench` importable, which lies beside `src` and is not installed; and starts its upstreams once."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from bench.processes import Processes
from bench.upstreams import Upstreams, start_upstreams


@pytest.fixture(scope="session")
def processes(tmp_path_factory) -> Iterator[Processes]:
    started = Processes(tmp_path_factory.mktemp("bench"))
    yield started
    started.stop_all()


@pytest.fixture(scope="session")
def upstreams(processes) -> Upstreams:
    return start_upstreams(processes, large_mib=1)
