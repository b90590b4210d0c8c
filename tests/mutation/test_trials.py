"""How a mutant is put in place, which tests meet it, and how its trial ends."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest
from mutation.coverage import Run, coverage
from mutation.loaded import LoadedFunctions
from mutation.mentions import Mentions
from mutation.mutants import Mutant, mutants
from mutation.processes import NOT_HERE, NOTICED, SURVIVED, Verdict, allow_cpu_s, answers, verdicts
from mutation.report import Score, total
from mutation.survivors import Survivor
from mutation.tracer import Tracer
from mutation.tree import DOMAIN
from mutation.trials import planned

from tunnel.domain.mux.rate import RateBudget

RATE = DOMAIN / "mux" / "rate.py"


@pytest.fixture(autouse=True)
def no_garbage_is_collected_in_forks() -> Generator[None]:
    """What other tests left behind may belong to threads, which a fork has not."""
    gc.disable()
    yield
    gc.enable()


def of_text(source: str) -> list[Mutant]:
    return list(mutants(ast.parse(source)))


def spins() -> int:
    allow_cpu_s(0.05)
    while True:
        pass


def fails() -> int:
    raise ValueError


def test_each_trial_ends_with_its_own_verdict() -> None:
    trials = [lambda: SURVIVED, lambda: NOTICED, lambda: NOT_HERE, spins, fails]

    found = dict(verdicts(trials, at_once=2))

    assert found == {
        0: Verdict.SURVIVED,
        1: Verdict.NOTICED,
        2: Verdict.NOT_HERE,
        3: Verdict.TOO_SLOW,
        4: Verdict.NOTICED,
    }


def test_work_elsewhere_answers_in_order() -> None:
    assert answers([partial(pow, 2, 3), partial(pow, 2, 4)]) == [8, 16]


def test_work_elsewhere_that_fails_ends_the_program() -> None:
    with pytest.raises(SystemExit):
        answers([fails])


def spends_its_last_token() -> bool:
    return RateBudget(burst=1, per_second=0.0, now=0.0).spend(0.0)


def spends_after_the_change() -> tuple[bool, bool]:
    tree = ast.parse(RATE.read_text())
    [mutant] = [each for each in mutants(tree) if each.change == "self._tokens < 1  ->  self._tokens <= 1"]
    return LoadedFunctions().replace(compile(tree, str(RATE), "exec"), mutant, tree), spends_its_last_token()


def test_function_of_a_loaded_module_is_replaced_in_that_process_only() -> None:
    assert answers([spends_after_the_change]) == [(True, False)]
    assert spends_its_last_token()


def test_functions_are_found_where_tests_are_collected() -> None:
    # An interpreter of its own: pytest ends by collecting garbage, which kills a fork of a process that has used gRPC.
    program = subprocess.run(
        [sys.executable, Path(__file__).with_name("functions_of_collected_tests.py")], capture_output=True, text=True
    )

    assert (program.returncode, program.stderr) == (0, "")
    assert program.stdout.splitlines()[-1:] == ["[True]"]


def test_tracer_notes_lines_that_ran_and_no_others() -> None:
    source = RATE.read_text().splitlines()
    tracer = Tracer()

    tracer.begin()
    spends_its_last_token()
    ran = {source[line - 1].strip() for file, line in tracer.end() if file == str(RATE)}

    assert "return True" in ran
    assert "return False" not in ran


def test_quickest_of_the_tests_that_run_a_line_comes_first() -> None:
    line, other = ("a.py", 1), ("a.py", 2)
    runs = [
        Run("slow", 2.0, frozenset({line})),
        Run("quick", 0.1, frozenset({line, other})),
        Run("elsewhere", 0.0, frozenset({other})),
    ]

    assert coverage(runs, frozenset()).running([line]) == ["quick", "slow"]


def test_what_depends_on_a_constant_is_found_through_others() -> None:
    mentions = Mentions()
    mentions.add(Path("a.py"), ast.parse("A = 1\nB = A * 2\ndef f():\n    return B\ndef g():\n    return C\n"))

    assert mentions.of(["A"]) == {("a.py", 4)}


def test_what_decodes_a_class_depends_on_the_annotations_of_its_fields() -> None:
    mentions = Mentions()
    mentions.add(Path("a.py"), ast.parse("Status = Annotated[int, Meta(le=599)]\nclass Inner:\n    of: list[Status]\n"))
    mentions.add(Path("b.py"), ast.parse("class Outer(Inner):\n    pass\ndef decode():\n    return f(Outer)\n"))

    assert mentions.of(["Status"]) == {("b.py", 4)}


def test_mutant_outside_functions_meets_all_tests_that_work_with_its_module() -> None:
    mutant = of_text("A = 1\n")[0]
    runs = [
        Run("tests/unit/domain/mux/test_other.py::test_a", 0.1, frozenset({(str(RATE), 9)})),
        Run("tests/unit/domain/test_b.py::test_b", 0.1, frozenset({("b.py", 1)})),
    ]

    assert planned(RATE, mutant, coverage(runs, frozenset()), Mentions()).tests == [runs[0].test]


def test_listed_survivors_lower_the_score_and_slow_ones_do_not() -> None:
    score = Score("a")
    made = of_text("f(0, 1, 2, 3)")
    for mutant, verdict in zip(made, [Verdict.NOTICED, Verdict.NOTICED, Verdict.TOO_SLOW, None], strict=False):
        score.add(mutant, verdict)
    score.listed.append((made[4], Survivor(made[4].change, "any will do")))

    whole = total("all", [score, score])

    assert [whole.counted, whole.too_slow, len(whole.listed), len(whole.survived)] == [10, 2, 2, 2]
    assert whole.percent == 50.0


def test_mutant_that_runs_while_modules_are_loaded_meets_the_tests_named_after_its_module() -> None:
    inside = next(each for each in mutants(ast.parse(RATE.read_text())) if each.site.function)
    runs = [Run("tests/unit/domain/mux/test_mux_rate.py::test_a", 0.1, frozenset())]
    loading = frozenset((str(RATE), line) for line in inside.site.lines)

    assert planned(RATE, inside, coverage(runs, frozenset()), Mentions()).tests == []
    assert planned(RATE, inside, coverage(runs, loading), Mentions()).tests == [runs[0].test]
