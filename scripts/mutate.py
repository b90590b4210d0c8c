"""Change the domain's modules one operator at a time, and count the changes that their unit tests notice.

::

    python scripts/mutate.py                       # all of the domain
    python scripts/mutate.py mux/windows rules     # some of it
    python scripts/mutate.py --survivors mux       # and show what was not noticed

Each mutant is tried in a process of its own, forked from one that has loaded the test tools but nothing of ``tunnel``.
The tests named after the module run first, those beside them only if it survives. A mutant that makes them take too
long counts as noticed, and is counted apart. Those in ``tests/mutation/survivors.toml`` are known to change nothing
that matters; each says why, and one that is no mutant any more is an error.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import CodeType, ModuleType

import anyio  # noqa: F401 - loaded once, for all trials
import hypothesis  # noqa: F401
import msgspec  # noqa: F401
import pytest
from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
DOMAIN = ROOT / "src" / "tunnel" / "domain"
TESTS = ROOT / "tests" / "unit" / "domain"
SURVIVORS = ROOT / "tests" / "mutation" / "survivors.toml"

_TIMES_AS_LONG = 5
_LEAST_TIMEOUT_S = 10.0
_PYTEST = ("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(ROOT))


class Verdict(IntEnum):
    """What became of a mutant; the numbers are exit codes of its process."""

    SURVIVED = 0
    NOTICED = 1
    TOO_SLOW = 2


@dataclass
class Score:
    """The mutants of one module."""

    module: str
    noticed: int = 0
    too_slow: int = 0
    accepted: int = 0
    survived: list[Mutant] = field(default_factory=list)

    @property
    def counted(self) -> int:
        return self.noticed + self.too_slow + len(self.survived)

    @property
    def percent(self) -> float:
        return 100.0 * (self.noticed + self.too_slow) / self.counted if self.counted else 100.0

    def __str__(self) -> str:
        return (
            f"{self.module:36} {self.counted:5} {self.noticed:8} {self.too_slow:9} {len(self.survived):9} "
            f"{self.accepted:9} {self.percent:6.1f} %"
        )


class _MutatedLoader(importlib.abc.InspectLoader):
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code

    def get_source(self, fullname: str) -> None:
        return None


class _MutatedFinder(importlib.abc.MetaPathFinder):
    """Finds one module, mutated."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name = name
        self._path = path
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        package = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        spec = importlib.machinery.ModuleSpec(
            fullname, _MutatedLoader(self._code), origin=str(self._path), is_package=package is not None
        )
        if package is not None:
            spec.submodule_search_locations = package
        return spec


def in_process(work: Callable[[], int], timeout_s: float) -> Verdict:
    """Run ``work`` in a forked process of at most ``timeout_s`` seconds; what it returns is 0 when nothing failed."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = int(Verdict.NOTICED)
        try:
            code = int(Verdict.NOTICED if work() else Verdict.SURVIVED)
        finally:
            # Nothing that the parent has registered is to run here.
            os._exit(code)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return Verdict.SURVIVED if status == 0 else Verdict.NOTICED
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return Verdict.TOO_SLOW


def module_name(path: Path) -> str:
    """``tunnel.domain.mux.windows`` of the file."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tests_of(path: Path) -> tuple[list[Path], list[Path]]:
    """The test files named after the module, and the others that mirror its package."""
    folder = TESTS / path.parent.relative_to(DOMAIN)
    files = sorted(folder.glob("test_*.py")) if folder.is_dir() else []
    stem = path.stem.removeprefix("_")
    named = [file for file in files if stem in file.stem or stem.rstrip("s") in file.stem]
    return named, [file for file in files if file not in named]


def run_tests(files: Sequence[Path], finder: _MutatedFinder | None) -> int:
    """Exit code of the tests, run here, with the module that ``finder`` finds."""
    if finder is not None:
        sys.meta_path.insert(0, finder)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    sys.dont_write_bytecode = True
    return int(pytest.main([*_PYTEST, *map(str, files)]))


def trial(path: Path, mutant: Mutant, suites: Sequence[tuple[Sequence[Path], float]]) -> Verdict:
    """What the suites, one after the other, make of the mutant."""
    try:
        code = compile(mutant.tree, str(path), "exec")
    except (SyntaxError, ValueError):
        # A break outside a loop, and the like, is no program at all.
        return Verdict.NOTICED
    finder = _MutatedFinder(module_name(path), path, code)
    for files, timeout_s in suites:
        verdict = in_process(lambda files=files: run_tests(files, finder), timeout_s)  # type: ignore[misc]
        if verdict is not Verdict.SURVIVED:
            return verdict
    return Verdict.SURVIVED


def timed(files: Sequence[Path]) -> float:
    """Seconds to give a mutant for these tests.

    Raises:
        SystemExit: They fail as things are.
    """
    began = time.monotonic()
    if in_process(lambda: run_tests(files, None), 600.0) is not Verdict.SURVIVED:
        raise SystemExit(f"these tests fail without any mutant: {' '.join(map(str, files))}")
    return max(_LEAST_TIMEOUT_S, _TIMES_AS_LONG * (time.monotonic() - began))


def score(path: Path, accepted: dict[str, str], every: int) -> Score:
    """Try a module's mutants: all, or one in ``every``."""
    result = Score(path.relative_to(DOMAIN).with_suffix("").as_posix())
    suites = [(files, timed(files)) for files in tests_of(path) if files]
    unmet = set(accepted)
    for number, mutant in enumerate(mutants(path.read_text())):
        if mutant.change in accepted:
            unmet.discard(mutant.change)
            result.accepted += 1
            continue
        if number % every:
            continue
        match trial(path, mutant, suites):
            case Verdict.NOTICED:
                result.noticed += 1
            case Verdict.TOO_SLOW:
                result.too_slow += 1
            case Verdict.SURVIVED:
                result.survived.append(mutant)
    if unmet:
        raise SystemExit(f"{SURVIVORS.name}: no such mutants of {result.module} any more: {sorted(unmet)}")
    return result


def modules(wanted: Sequence[str]) -> list[Path]:
    """Files of the modules and packages named, all when none is.

    Raises:
        SystemExit: There is no such module.
    """
    found: list[Path] = []
    for name in wanted or ["."]:
        path = DOMAIN / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise SystemExit(f"no module or package of the domain: {name}")
        found += files
    return [file for file in found if next(mutants(file.read_text()), None) is not None]


def known_survivors() -> dict[str, dict[str, str]]:
    """By module: mutants that change nothing that matters, and why."""
    return {
        module: {each["change"]: each["reason"] for each in entries}
        for module, entries in tomllib.loads(SURVIVORS.read_text()).items()
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="mux/windows, rules, ...; none: all of the domain")
    parser.add_argument("--survivors", action="store_true", help="show what was not noticed")
    parser.add_argument("--every", type=int, default=1, help="try one mutant in so many")
    parser.add_argument("--least", type=float, default=0.0, help="fail below this score, in percent")
    options = parser.parse_args(arguments)
    os.nice(10)
    known = known_survivors()
    scores: list[Score] = []
    say(f"{'module':36} {'count':>5} {'noticed':>8} {'too slow':>9} {'survived':>9} {'accepted':>9} {'score':>8}")
    for path in modules(options.modules):
        name = path.relative_to(DOMAIN).with_suffix("").as_posix()
        scores.append(score(path, known.get(name, {}), options.every))
        say(str(scores[-1]))
        if options.survivors:
            for mutant in scores[-1].survived:
                say(f"    {mutant}")
    total = Score("all")
    for each in scores:
        total.noticed += each.noticed
        total.too_slow += each.too_slow
        total.accepted += each.accepted
        total.survived += each.survived
    say(str(total))
    return int(total.percent < options.least)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
