"""Work in forked processes: what it answers, or how it ended."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import TypeVar

__all__ = ["NOT_HERE", "NOTICED", "SURVIVED", "Verdict", "allow_cpu_s", "answers", "verdicts"]

_T = TypeVar("_T")

# Exit codes of a trial's process.
SURVIVED = 0
NOTICED = 1
NOT_HERE = 3

_WALL_CLOCK_PER_CPU = 30.0
_MEMORY_BYTES = 2 << 30


class Verdict(Enum):
    """What became of a mutant."""

    SURVIVED = "survived"
    NOTICED = "noticed"
    TOO_SLOW = "too slow"
    #: It cannot be put in place in a process that has loaded the module.
    NOT_HERE = "not here"


def answers(works: Sequence[Callable[[], _T]]) -> list[_T]:
    """What each of the works returns, all at once, each in a process of its own.

    Raises:
        SystemExit: One of them ended without an answer.
    """
    pipes: list[tuple[int, int]] = []
    sys.stdout.flush()
    for work in works:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reading)
                with open(writing, "wb") as pipe:
                    pickle.dump(work(), pipe)
                sys.stdout.flush()
                code = 0
            except SystemExit as exit:
                sys.stderr.write(f"{exit}\n")
            except Exception:  # noqa: BLE001 - told here, since nothing else can be told to the parent
                traceback.print_exc()
            finally:
                # Nothing that the parent has registered is to run here.
                os._exit(code)
        os.close(writing)
        pipes.append((child, reading))
    written: list[bytes] = []
    failed = False
    for child, reading in pipes:
        with open(reading, "rb") as pipe:
            written.append(pipe.read())
        failed = bool(os.waitpid(child, 0)[1]) or failed
    if failed:
        raise SystemExit(1)
    return [pickle.loads(each) for each in written]  # noqa: S301 - written by this program


def verdicts(trials: Sequence[Callable[[], int]], at_once: int) -> Iterator[tuple[int, Verdict]]:
    """Which trial ended how, as they end. A trial returns its exit code, or exits."""
    running: dict[int, int] = {}
    waiting = iter(enumerate(trials))
    while True:
        while len(running) < at_once and (following := next(waiting, None)) is not None:
            number, trial = following
            running[_start(trial)] = number
        if not running:
            return
        child, status = os.waitpid(-1, 0)
        yield running.pop(child), _verdict(status)


def _start(trial: Callable[[], int]) -> int:
    child = os.fork()
    if child:
        return child
    code = NOTICED
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        # A mutant that gathers without end is noticed by what it lacks.
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
        code = trial()
    finally:
        # Whatever else ends a trial, an exception too, has noticed the mutant.
        os._exit(code)


def _verdict(status: int) -> Verdict:
    if os.WIFSIGNALED(status):
        return Verdict.TOO_SLOW if os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM) else Verdict.NOTICED
    match os.WEXITSTATUS(status):
        case code if code == SURVIVED:
            return Verdict.SURVIVED
        case code if code == NOT_HERE:
            return Verdict.NOT_HERE
        case _:
            return Verdict.NOTICED


def allow_cpu_s(seconds: float) -> None:
    """End this process when it works for longer than ``seconds`` from now, or waits for very much longer.

    Work is what counts, so that a busy machine makes no mutant slow.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * _WALL_CLOCK_PER_CPU)
