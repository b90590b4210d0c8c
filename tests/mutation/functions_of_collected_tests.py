"""A program that collects the tests of one module, and prints whether a function of it is found to be replaced."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from mutation.loaded import LoadedFunctions
from mutation.mutants import mutants
from mutation.suite import Suite, collected
from mutation.tree import DOMAIN, TESTS

HOPS = DOMAIN / "hops.py"


def main() -> None:
    found: list[bool] = []

    def work(_suite: Suite) -> None:
        tree = ast.parse(HOPS.read_text())
        inside = [each for each in mutants(tree) if each.site.function]
        found.append(LoadedFunctions().replace(compile(tree, str(HOPS), "exec"), inside[0], tree))

    collected([TESTS / "test_hops.py"], work)
    print(found)


if __name__ == "__main__":
    main()
