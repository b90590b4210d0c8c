"""The fixtures as somebody else's tests use them: in files of their own, run by a pytest of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HOWTO = (Path(__file__).parents[3] / "docs/howto/test-your-application.md").read_text()
FILES = dict(re.findall(r"```python title=\"(\w+)\.py\"\n(.*?)```", HOWTO, re.DOTALL))
"""The files that the how-to page has its reader write."""
TESTS = {name: code for name, code in FILES.items() if name.startswith("test_")}

WATCHED = """
import socket


def bind(*_):
    raise AssertionError("a port was opened")


socket.socket.bind = bind
"""


def run(path: Path, **files: str) -> subprocess.CompletedProcess[str]:
    for name, text in {"shop": FILES["shop"], **files}.items():
        (path / f"{name}.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(path)],
        cwd=path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_files_of_the_howto_page_pass_as_they_stand_and_open_no_port(tmp_path: Path):
    done = run(tmp_path, **TESTS, conftest=WATCHED + FILES["conftest"])

    assert len(TESTS) == 4
    # Those of requests and of streams on asyncio and on trio.
    assert "9 passed" in done.stdout, done.stdout + done.stderr


def test_fixtures_are_loaded_by_a_conftest_that_has_imported_from_them(tmp_path: Path):
    conftest = f"from tunnel.testing.fixtures import TunnelPair\n{FILES['conftest']}"

    done = run(tmp_path, conftest=conftest, test_blocking=FILES["test_blocking"])

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_fixtures_are_not_there_unless_asked_for(tmp_path: Path):
    done = run(tmp_path, test_blocking=FILES["test_blocking"])

    assert "fixture 'tunnel_pair' not found" in done.stdout, done.stdout + done.stderr


def test_package_registers_no_plugin_of_pytest():
    code = (
        "from importlib.metadata import entry_points;"
        "print([each.value for each in entry_points(group='pytest11') if each.value.startswith('tunnel')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
