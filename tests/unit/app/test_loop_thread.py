"""The thread of blocking contexts: interrupted, forked, and when the interpreter ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from typing import Any

import pytest

import tunnel.app.loop_thread
from tunnel.app.loop_thread import LoopThread

ENTERED = """
import os, sys, threading
from tunnel import blocking
from tunnel.domain.errors import LinkError

class Kept:
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        print("left", flush=True)

kept = blocking.Blocking(Kept)
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def _ran(script: str) -> tuple[int, str]:
    """The exit code of a Python script, and what it printed."""
    command = [sys.executable, "-c", ENTERED + script]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stdout


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "tunnel-blocking"]


def test_context_that_is_never_left_is_closed_when_the_interpreter_ends() -> None:
    assert _ran("kept.__enter__()") == (0, "left\n")


def test_error_that_nobody_handles_ends_a_process_with_an_open_context() -> None:
    assert _ran("kept.__enter__(); sys.exit(7)") == (7, "left\n")


def test_context_of_another_thread_is_closed_when_the_interpreter_ends() -> None:
    assert _ran("thread = threading.Thread(target=kept.__enter__); thread.start(); thread.join()") == (0, "left\n")


def test_context_that_was_left_is_left_once() -> None:
    assert _ran("with kept: print('inside')") == (0, "inside\nleft\n")


@needs_fork
@pytest.mark.parametrize("ending", ["sys.exit(3)", "kept.__exit__(None, None, None); sys.exit(3)"])
def test_child_that_was_forked_leaves_the_context_to_its_parent(ending: str) -> None:
    script = f"""
kept.__enter__()
child = os.fork()
if not child:
    try:
        kept.inner
    except LinkError as error:
        print(error.reason, flush=True)
    {ending}
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
kept.__exit__(None, None, None)
"""
    assert _ran(script) == (0, "the context was entered by the parent of this process\n3\nleft\n")


def test_interrupt_while_the_thread_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Future[Any]):
        waits = 0

        def result(self, timeout: float | None = None) -> Any:
            self.waits += 1
            if self.waits == 1:
                raise KeyboardInterrupt
            return super().result(timeout)

    monkeypatch.setattr(tunnel.app.loop_thread, "Future", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        LoopThread().__enter__()
    assert _threads() == []


def test_thread_that_is_told_to_stop_before_its_loop_runs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = threading.Event()
    serve = LoopThread._serve

    async def late(self: LoopThread) -> None:
        assert waits.wait(10)
        await serve(self)

    monkeypatch.setattr(LoopThread, "_serve", late)
    thread = LoopThread()
    thread._thread.start()
    thread._told.set()
    waits.set()
    thread._stop(cancel=True)
    assert not thread._thread.is_alive()


def test_loop_that_cannot_run_says_why_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(self: LoopThread) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(LoopThread, "_serve", failing)
    with pytest.raises(OSError, match="too many open files"):
        LoopThread().__enter__()
    assert _threads() == []
