"""`make full` runs the tests, then the mutants whatever came of that, and tells at the end what there is to know."""

from __future__ import annotations

import sys

import pytest
from full import main

NOTES = "import os, pathlib; pathlib.Path(os.environ['TUNNEL_MEASUREMENTS']).write_text('a test: 7 MiB/s\\n'); "
FULL = "assert os.environ['TUNNEL_FULL'] == '1'; "


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_figures_and_times_come_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(program(NOTES + FULL), program("")) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("measurements:") + 1] == "a test: 7 MiB/s"
    assert [line.partition("min")[2].strip() for line in lines[-3:]] == [
        "tests at full length: passed",
        "mutants of the domain: passed",
        "in all",
    ]


@pytest.mark.parametrize(("tests", "mutation", "code"), [(1, 0, 1), (0, 1, 1), (1, 3, 3)])
def test_either_may_fail_and_both_are_run(
    capsys: pytest.CaptureFixture[str], tests: int, mutation: int, code: int
) -> None:
    assert main(program(f"exit({tests})"), program(f"exit({mutation})")) == code

    said = capsys.readouterr().out
    assert f"tests at full length: {'failed' if tests else 'passed'}" in said
    assert f"mutants of the domain: {'failed' if mutation else 'passed'}" in said


def test_nothing_follows_when_the_tests_are_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(program("exit(2)"), program("exit(0)")) == 2

    assert "mutants" not in capsys.readouterr().out


def test_figures_are_missing_when_the_tests_noted_none(capsys: pytest.CaptureFixture[str]) -> None:
    main(program(""), program(""))

    assert "measurements:\nnone\n" in capsys.readouterr().out
