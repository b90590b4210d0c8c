"""A program that is forked cannot tell, and its tests cannot."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from e2e_forks import Fork, can_fork
from e2e_processes import EXIT_S, Process

pytestmark = pytest.mark.skipif(not can_fork(os.environ), reason="programs are started as interpreters")

PROGRAMS = {
    "arguments": "import sys; print(sys.argv, sys.path, __name__)",
    "place": "import os; print(os.getcwd(), sorted(os.environ.items()))",
    "signals": "import signal; print([(each, str(signal.getsignal(each))) for each in signal.valid_signals()])",
    "files": "import os; print(len(os.listdir('/dev/fd')), os.get_inheritable(0), os.isatty(1))",
    "threads": "import threading; print(threading.enumerate()[0].name, threading.active_count())",
    "exit code": "import sys; sys.exit(3)",
    "reason": "import sys; sys.exit('a reason')",
    "error": "raise ValueError('an error')",
    "interruption": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "end": "import atexit, threading; atexit.register(print, 'done'); threading.Timer(0.01, print, ['late']).start()",
    "input": "import sys; print(sys.stdin.read())",
    "unbuffered": "import os; print('said', end=''); os._exit(0)",
}


def end_of(popen: "Fork | subprocess.Popen[str]") -> tuple[int, list[str]]:
    """The exit code and what was printed, without the lines of tracebacks, which begin where an interpreter began."""
    assert popen.stdin is not None
    assert popen.stdout is not None
    # Most end without reading.
    with contextlib.suppress(BrokenPipeError), popen.stdin:
        popen.stdin.write("given")
    said = popen.stdout.read()
    popen.stdout.close()
    return popen.wait(EXIT_S), [line for line in said.splitlines() if not line.startswith(("  ", "Traceback"))]


def interpreter(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=environment, text=True, errors="replace"
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_fork_is_like_an_interpreter(program, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OWN": "value"}
    arguments = ["-c", PROGRAMS[program], "an argument"]

    assert end_of(Fork(arguments, environment)) == end_of(interpreter(arguments, environment))


@pytest.mark.parametrize("how", ["file", "module"])
def test_fork_runs_what_an_interpreter_runs(how, monkeypatch, tmp_path):
    (tmp_path / "own_module.py").write_text(PROGRAMS["arguments"])
    monkeypatch.chdir(tmp_path)
    arguments = ["-m", "own_module", "1"] if how == "module" else [str(tmp_path / "own_module.py"), "1"]

    assert end_of(Fork(arguments, os.environ)) == end_of(interpreter(arguments, dict(os.environ)))


def test_fork_that_is_killed_ends_by_the_signal_and_is_found_to_run_until_then():
    fork = Fork(["-c", "import sys; print('here', flush=True); sys.stdin.read()"], os.environ)
    assert fork.stdout.readline() == "here\n"
    assert fork.poll() is None

    fork.kill()

    assert fork.wait(EXIT_S) == -signal.SIGKILL
    fork.stdin.close()
    fork.stdout.close()


def test_other_packages_to_import_take_an_interpreter(monkeypatch, tmp_path):
    (tmp_path / "own_package.py").write_text("print('found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = Process("own", "-c", "import own_package")

    assert process.wait() == 0
    assert process.lines == ["found"]
    process.kill()
