"""The fixtures as somebody else's tests use them: in files of their own, run by a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""

ASYNC_TEST = """
import anyio
import pytest
from shop import app
from tunnel.ports.telemetry import LinkLost
from tunnel.testing.faults import Cut, Delay, FaultSchedule, Heal, ScheduledFault

pytestmark = pytest.mark.anyio


async def test_application_answers(tunnel_pair):
    async with tunnel_pair(app) as pair:
        assert (await pair.get("/")).text == "hello"


async def test_application_is_back_after_a_cut(tunnel_pair):
    async with tunnel_pair(app) as pair:
        pair.faults.cut()
        await pair.ready()
        assert (await pair.get("/")).text == "hello"
"""

BLOCKING_TEST = """
from shop import app


def test_application_answers(tunnel_pair):
    with tunnel_pair.blocking(app) as pair:
        assert pair.get("/").text == "hello"
"""

VIRTUAL_TEST = """
import anyio
import pytest
from shop import app
from tunnel.ports.telemetry import LinkLost

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(autojump_backend):
    return autojump_backend


async def test_a_day_of_a_half_open_link(tunnel_pair):
    async with tunnel_pair(app) as pair:
        for _ in range(24):
            await anyio.sleep(3600)
            pair.faults.half_open()
            await pair.until(lambda: not pair.faults.links or pair.events(LinkLost))
            await anyio.sleep(60)
            assert (await pair.get("/")).text == "hello"


async def test_a_clock_of_its_own(manual_clock):
    await manual_clock.advance(60)
    assert manual_clock.now() == 60
"""


def run(path: Path, **files: str) -> subprocess.CompletedProcess[str]:
    for name, text in {"shop": APP, **files}.items():
        (path / f"{name}.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(path)],
        cwd=path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        timeout=60,
    )


LOADING = 'pytest_plugins = ["tunnel.testing.fixtures"]\n'


@pytest.mark.parametrize("how", ["", "from tunnel.testing.fixtures import TunnelPair\n"], ids=["first", "imported"])
def test_fixtures_serve_tests_of_every_kind(tmp_path: Path, how: str):
    done = run(
        tmp_path,
        conftest=how + LOADING,
        test_async=ASYNC_TEST,
        test_blocking=BLOCKING_TEST,
        test_virtual=VIRTUAL_TEST,
    )

    # Those of the first file on asyncio and on trio.
    assert "7 passed" in done.stdout, done.stdout + done.stderr


def test_fixtures_are_not_there_unless_asked_for(tmp_path: Path):
    done = run(tmp_path, test_blocking=BLOCKING_TEST)

    assert "fixture 'tunnel_pair' not found" in done.stdout, done.stdout + done.stderr


def test_package_registers_no_plugin_of_pytest():
    code = (
        "from importlib.metadata import entry_points;"
        "print([each.value for each in entry_points(group='pytest11') if each.value.startswith('tunnel')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_fixtures_listen_on_no_port(tmp_path: Path):
    watched = """
import socket


def bind(*_):
    raise AssertionError("a port was opened")


socket.socket.bind = bind
"""
    done = run(tmp_path, conftest=watched + LOADING, test_async=ASYNC_TEST, test_blocking=BLOCKING_TEST)

    assert "5 passed" in done.stdout, done.stdout + done.stderr
