"""Coverage of the domain by its unit tests, measured and remembered until a file changes."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mutation.coverage import Coverage, Line, Run, coverage
from mutation.loaded import CachedFunctions
from mutation.processes import answers
from mutation.suite import Suite, collected
from mutation.tracer import Tracer
from mutation.tree import DOMAIN, ROOT, TESTS

__all__ = ["measured"]

_REMEMBERED = ROOT / "build" / "mutation" / "coverage.pickle"

#: By digest of a test file and of all that it depends on; lines that run when modules are loaded have that of no file.
_Memory = dict[str, list[Run]]


def measured(workers: int, longest_s: float) -> Coverage:
    """Which lines the tests run, but for those tests that take longer than ``longest_s``.

    The tests of files that have not changed since are not run again.

    Raises:
        SystemExit: A test fails as things are.
    """
    digests = _digests()
    remembered: _Memory = pickle.loads(_REMEMBERED.read_bytes()) if _REMEMBERED.exists() else {}  # noqa: S301
    memory = {digest: remembered[digest] for digest in digests.values() if digest in remembered}
    loading = remembered.get(_loading(), [])
    missing = [file for file, digest in digests.items() if digest not in memory]
    if missing:
        [(runs, imported)] = answers([partial(_measured, workers, missing)])
        loading = [*loading, Run("", 0.0, imported)]
        for file in missing:
            memory[digests[file]] = [run for run in runs if ROOT / run.test.partition("::")[0] == file]
        _REMEMBERED.parent.mkdir(parents=True, exist_ok=True)
        _REMEMBERED.write_bytes(pickle.dumps(memory | {_loading(): loading}))
    quick = [run for file in digests.values() for run in memory[file] if run.took_s <= longest_s]
    return coverage(quick, frozenset().union(*(run.lines for run in loading)))


def _digests() -> dict[Path, str]:
    """What each test file and all that it depends on contain."""
    files = sorted(TESTS.rglob("*.py"))
    shared = [ROOT / "tests" / "conftest.py", *(file for file in files if not file.name.startswith("test_"))]
    common = _loading() + _digest(shared)
    return {file: common + _digest([file]) for file in files if file.name.startswith("test_")}


def _loading() -> str:
    return _digest([*sorted(DOMAIN.rglob("*.py")), Path(__file__)])


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _measured(workers: int, files: Sequence[Path]) -> tuple[list[Run], frozenset[Line]]:
    tracer = Tracer()
    found: list[tuple[list[Run], frozenset[Line]]] = []

    def work(suite: Suite) -> None:
        imported = tracer.end()
        shares = [suite.ids[first::workers] for first in range(workers)]
        parts = answers([partial(_ran, suite, share, tracer) for share in shares])
        found.append(([run for part in parts for run in part], imported))

    tracer.begin()
    collected(files, work)
    if not found:
        raise SystemExit(f"not all tests in {TESTS} can be collected and pass")
    return found[0]


def _ran(suite: Suite, share: Sequence[str], tracer: Tracer) -> list[Run]:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    caches = CachedFunctions()
    runs: list[Run] = []
    for test, following in zip(share, [*share[1:], None], strict=True):
        caches.clear()
        tracer.begin()
        began = time.process_time()
        passed = suite.passes(test, following)
        took_s = time.process_time() - began
        lines = tracer.end()
        # One that counts calls counts those of the tracer.
        if not passed and not suite.passes(test, following):
            raise SystemExit(f"this test fails without any mutant: {test}")
        runs.append(Run(test, took_s, lines))
    return runs
