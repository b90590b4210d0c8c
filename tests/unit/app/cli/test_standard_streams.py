"""Commands whose standard streams are closed, full, or not text."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import unused_port

SERVER = '[transports.grpc]\nlisten = "127.0.0.1:7000"\n'
NEEDS_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


def _run(arguments: str, redirection: str, directory: Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = f"exec {shlex.quote(sys.executable)} -m tunnel {arguments} {redirection}"
    # What is not buffered is not left for the interpreter to write.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=directory, env=environment, input=given, capture_output=True, timeout=30
    )


@pytest.fixture(autouse=True)
def file(tmp_path: Path) -> Path:
    (tmp_path / "server.toml").write_text(SERVER)
    return tmp_path


@pytest.mark.parametrize("redirection", ["<&- 2>&-", "<&-", "2>&-"])
def test_event_loop_does_not_take_the_numbers_of_closed_streams(tmp_path: Path, redirection: str) -> None:
    nobody = f"grpc://127.0.0.1:{unused_port()}"
    done = _run(f"expose 3000 --server {nobody} --token t --timeout 0.2 --json", redirection, tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "closed"


@pytest.mark.parametrize("arguments", ["check server.toml", "token new", "--version"])
def test_results_that_cannot_be_written_are_a_failure(tmp_path: Path, arguments: str) -> None:
    done = _run(arguments, ">&-", tmp_path)
    assert (done.returncode, done.stderr) == (1, b"tunnel: [Errno 9] standard output is closed\n")


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=NEEDS_FULL)])
def test_exit_code_tells_what_standard_error_cannot(tmp_path: Path, redirection: str) -> None:
    assert _run("check none.toml", redirection, tmp_path).returncode == 2
    assert _run("check server.toml", redirection, tmp_path).returncode == 0


def test_password_has_to_be_utf_8(tmp_path: Path) -> None:
    done = _run("token password", "", tmp_path, given=b"\xff\xfe\n")
    assert (done.returncode, done.stderr) == (2, b"tunnel: expected a password in UTF-8\n")


def test_password_of_a_closed_standard_input_is_missing(tmp_path: Path) -> None:
    done = _run("token password", "<&-", tmp_path)
    assert (done.returncode, done.stderr) == (2, b"tunnel: expected a password\n")
