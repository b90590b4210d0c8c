"""The mutants that ``make mutation`` makes, and the list of those that are the same program."""

from __future__ import annotations

import ast
import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SURVIVORS = tomllib.loads((ROOT / "tests" / "mutation" / "survivors.toml").read_text())


@pytest.fixture(scope="module")
def mutation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclass looks itself up there.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a < b", ["a < b  ->  a <= b"]),
        ("a and b", ["a and b  ->  a or b"]),
        ("x += 1", ["x += 1  ->  x -= 1", "1  ->  2"]),
        ("call()", ["call()  ->  pass"]),
        ("if flag:\n    pass", ["if flag: pass  ->  if not flag: pass"]),
        ("def f() -> int | None:\n    return x", ["return x  ->  return None"]),
        ('"""About."""\n__all__ = ["a"]\nx: int | None', []),
    ],
)
def test_one_operator_at_a_time_is_changed(mutation: ModuleType, source: str, changes: list[str]) -> None:
    assert [each.change for each in mutation.mutants(source)] == changes


def test_every_mutant_is_another_program_and_leaves_the_source_alone(mutation: ModuleType) -> None:
    source = (ROOT / "src" / "tunnel" / "domain" / "mux" / "windows.py").read_text()
    unchanged = ast.dump(ast.parse(source))

    made = [ast.dump(each.tree) for each in mutation.mutants(source)]

    assert unchanged not in made
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("module", SURVIVORS)
def test_accepted_survivors_are_mutants_and_say_why(mutation: ModuleType, module: str) -> None:
    made = {each.change for each in mutation.mutants((ROOT / f"src/tunnel/domain/{module}.py").read_text())}

    for entry in SURVIVORS[module]:
        assert entry["change"] in made
        assert entry["reason"]
