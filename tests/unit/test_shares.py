"""How tests are shared out among the processes of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("xdist")

from support.shares import APART, Shares

ROOT = Path(__file__).parents[2]


def share_of(test: str) -> str:
    return object.__new__(Shares)._split_scope(test)


def test_tests_of_a_file_go_together() -> None:
    assert share_of("tests/e2e/test_e2e_grpc.py::test_a[x::y]") == share_of("tests/e2e/test_e2e_grpc.py::TestB::test_c")


@pytest.mark.parametrize("file", APART)
def test_tests_that_go_apart_share_nothing(file: str) -> None:
    assert share_of(f"{file}::test_a[1]") != share_of(f"{file}::test_a[2]")
    # What is made for a whole file would be made again by each process.
    assert "scope=" not in (ROOT / file).read_text()
