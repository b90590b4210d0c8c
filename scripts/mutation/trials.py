"""Trials of mutants: each in a process of its own, against the tests that could notice it.

1. What is in the body of a function is tried in forks of a process that has loaded the domain and collected its tests:
   the function gets other code, and the tests that run the changed line are run, quickest first, until one fails.
2. What is outside functions, cannot be put in place, or is not noticed and also runs when modules are loaded, is tried
   in forks of a process that has loaded nothing of ``tunnel``: the module is imported anew, mutated, and the tests are
   those that run a line which mentions what is bound there.
"""

from __future__ import annotations

import ast
import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import CodeType

from mutation.coverage import Coverage
from mutation.fresh import import_mutated
from mutation.loaded import CachedFunctions, LoadedFunctions
from mutation.mentions import Mentions
from mutation.mutants import Mutant
from mutation.processes import NOT_HERE, NOTICED, SURVIVED, Verdict, allow_cpu_s, answers, verdicts
from mutation.suite import Suite, collected
from mutation.tree import DOMAIN, ROOT, TESTS, short_name

__all__ = ["Trial", "outcomes", "planned"]

# What a test may take under a mutant: it was measured under the tracer, which is slow already.
_TIMES_AS_LONG = 4
_LEAST_S = 1.0
_COLLECTION_S = 60.0
_PROGRESS_EVERY_S = 30.0


@dataclass(frozen=True)
class Trial:
    """A mutant of a module, and the tests to try, quickest first."""

    path: Path
    mutant: Mutant
    tests: Sequence[str]
    allowed_s: Mapping[str, float]
    imported: bool


def planned(path: Path, mutant: Mutant, coverage: Coverage, mentions: Mentions) -> Trial:
    """The trial of the mutant."""
    site = mutant.site
    lines = {(str(path), line) for line in site.lines}
    imported = not site.function or not lines.isdisjoint(coverage.imported)
    if not site.function:
        # Whatever works with this module may depend on how it was loaded, by more than names.
        lines |= mentions.of(site.names) | {line for line in coverage.tests if line[0] == str(path)}
    tests = coverage.running(lines)
    if imported:
        # A test may read a table or a constant, or what was made when its file was loaded, and run no such line itself.
        tests += [test for test in coverage.took_s if test not in set(tests) and _is_named_after(path, test)]
    allowed_s = {test: _LEAST_S + _TIMES_AS_LONG * coverage.took_s[test] for test in tests}
    return Trial(path, mutant, tests, allowed_s, imported)


def outcomes(trials: Sequence[Trial], workers: int) -> list[Verdict | None]:
    """What became of each mutant; None when no test runs its line."""
    found: list[Verdict | None] = [None] * len(trials)
    loaded = [number for number, trial in enumerate(trials) if trial.mutant.site.function and trial.tests]
    for number, verdict in zip(loaded, _in_loaded([trials[number] for number in loaded], workers), strict=True):
        found[number] = verdict
    fresh = [
        number
        for number, trial in enumerate(trials)
        if found[number] is Verdict.NOT_HERE
        or (trial.imported and trial.tests and found[number] in (None, Verdict.SURVIVED))
    ]
    works = [partial(_fresh, trials[number]) for number in fresh]
    for number, verdict in _told("imported anew", [trials[number] for number in fresh], works, workers):
        found[fresh[number]] = verdict
    return found


def _in_loaded(trials: Sequence[Trial], workers: int) -> list[Verdict]:
    """What became of mutants in bodies of functions."""

    def begin() -> list[Verdict]:
        found = [Verdict.NOT_HERE] * len(trials)

        def work(suite: Suite) -> None:
            functions, caches = LoadedFunctions(), CachedFunctions()
            caches.clear()
            for trial in trials:
                _parsed(trial.path)
            # Forks share what is never collected.
            gc.collect()
            gc.freeze()
            works = [partial(_replaced, trial, functions, suite) for trial in trials]
            for number, verdict in _told("put in place", trials, works, workers):
                found[number] = verdict

        collected([TESTS], work)
        return found

    return answers([begin])[0] if trials else []


def _replaced(trial: Trial, functions: LoadedFunctions, suite: Suite) -> int:
    code, tree = _parsed(trial.path)
    allow_cpu_s(_COLLECTION_S)
    try:
        if not functions.replace(code, trial.mutant, tree):
            return NOT_HERE
    except SyntaxError:
        # A break outside a loop, and the like, is no program at all.
        return NOTICED
    return _run(trial, trial.tests, suite)


def _fresh(trial: Trial) -> int:
    code, tree = _parsed(trial.path)
    allow_cpu_s(_COLLECTION_S)
    try:
        code = compile(trial.mutant.change_tree(tree), code.co_filename, "exec")
    except SyntaxError:
        return NOTICED
    import_mutated(trial.path, code)
    for tests in _nearest_first(trial):
        passed: list[bool] = []

        def work(suite: Suite, tests: Sequence[str] = tests, passed: list[bool] = passed) -> None:
            passed.append(_run(trial, tests, suite) == SURVIVED)

        # A test file that the mutant keeps from being imported has noticed it.
        collected(sorted({_file(test) for test in tests}), work)
        if passed != [True]:
            return NOTICED
    return SURVIVED


def _nearest_first(trial: Trial) -> list[list[str]]:
    """Tests of the files named after the module, those beside them, and the others: loading them is what takes long."""
    folder = TESTS / trial.path.parent.relative_to(DOMAIN)
    named = [test for test in trial.tests if _is_named_after(trial.path, test)]
    beside = [test for test in trial.tests if _file(test).parent == folder and test not in set(named)]
    near = {*named, *beside}
    return [tests for tests in (named, beside, [test for test in trial.tests if test not in near]) if tests]


def _is_named_after(path: Path, test: str) -> bool:
    file = _file(test)
    folder = TESTS / path.parent.relative_to(DOMAIN)
    return file.parent == folder and path.stem.removeprefix("_").rstrip("s") in file.stem


def _file(test: str) -> Path:
    return ROOT / test.partition("::")[0]


def _run(trial: Trial, wanted: Sequence[str], suite: Suite) -> int:
    tests = suite.present(wanted)
    for test, following in zip(tests, [*tests[1:], None], strict=True):
        allow_cpu_s(trial.allowed_s.get(test, _COLLECTION_S))
        if not suite.passes(test, following):
            return NOTICED
    return SURVIVED


@cache
def _parsed(path: Path) -> tuple[CodeType, ast.Module]:
    source = path.read_text()
    tree = ast.parse(source)
    return compile(tree, str(path), "exec"), tree


def _told(
    way: str, trials: Sequence[Trial], works: Sequence[Callable[[], int]], workers: int
) -> Iterator[tuple[int, Verdict]]:
    """The verdicts; what survives is told at once, and now and then how far it is."""
    began = told = time.monotonic()
    for done, (number, verdict) in enumerate(verdicts(works, workers), start=1):
        if verdict is Verdict.SURVIVED:
            _say(f"{way}, survives: {short_name(trials[number].path)}: {trials[number].mutant}")
        now = time.monotonic()
        if now - told > _PROGRESS_EVERY_S or done == len(works):
            told = now
            _say(f"{done} of {len(works)} {way}, {now - began:.0f} s")
        yield number, verdict


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
