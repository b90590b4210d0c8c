"""Adapters that are broken on purpose, to see that a contract notices.

A contract that nothing can fail shows nothing. So each rule has a mutant: an adapter that keeps every rule, its twin,
but for a few changed lines, and that must be found by this rule. A collection of them is a module with ``MUTANTS``, a
tuple of ``Mutant``; ``python -m tunnel.testing.mutants contract.mutants.transports`` tries each and prints the table.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from tunnel.testing.contract import Contract, Rule, RuleBroken
from tunnel.testing.event_loops import EventLoop

__all__ = ["Mutant", "Verdict", "table", "try_out"]


EXAMPLES: Final = 100
"""Drawn examples of each check that draws: mutants are in-memory adapters, for which that is a blink."""


@dataclass(frozen=True)
class Mutant:
    """An adapter with one mistake.

    Args:
        name: What it does wrong, in a few words.
        contract: The contract it breaks.
        rule: The first rule that finds it.
        harness: Makes a harness of the broken adapter.
        event_loop: On which event loop it runs.
        others: Rules that find it as well. A rule is worth its place when a mutant exists that no other finds.
    """

    name: str
    contract: Contract[Any]
    rule: Rule
    harness: Callable[[], Any]
    event_loop: EventLoop = "asyncio"
    others: frozenset[Rule] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """What a contract found in a mutant.

    Args:
        mutant: Which.
        broken: The rules that found it, in the contract's order. None: it survived.
    """

    mutant: Mutant
    broken: tuple[RuleBroken, ...]

    @property
    def as_named(self) -> bool:
        """Whether the rule that the mutant names was the first to find it, and nothing that it does not name did."""
        found = [each.rule for each in self.broken]
        return found[:1] == [self.mutant.rule] and set(found) == {self.mutant.rule, *self.mutant.others}


def try_out(mutant: Mutant) -> Verdict:
    """Run all of its contract on ``mutant``; the same examples every time."""
    return Verdict(mutant, mutant.contract.verdict(mutant.harness, mutant.event_loop, examples=EXAMPLES))


def table(verdicts: Iterable[Verdict]) -> str:
    """What was found, a row for each mutant, in Markdown."""
    rows: list[tuple[str, ...]] = [("mutant", "rule", "others", "shown by", "counterexample")]
    rows.append(("---",) * len(rows[0]))
    rows += [(verdict.mutant.name, *_cells(verdict.broken)) for verdict in verdicts]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(broken: tuple[RuleBroken, ...]) -> tuple[str, ...]:
    if not broken:
        return ("survives", "", "", "")
    first, *rest = broken
    cells = (
        first.rule.id,
        ", ".join(each.rule.id for each in rest),
        first.check.replace("_", " "),
        first.counterexample or first.why,
    )
    return tuple(" ".join(cell.split()).replace("|", "\\|") for cell in cells)


def main(modules: list[str]) -> int:
    """Try the mutants of ``modules``, print the table, and return how many were not found as they say."""
    # Services fail on purpose, and listeners log that.
    logging.disable(logging.CRITICAL)
    mutants: list[Mutant] = []
    for module in modules:
        mutants += import_module(module).MUTANTS
    verdicts = [try_out(mutant) for mutant in mutants]
    wrong = [verdict.mutant.name for verdict in verdicts if not verdict.as_named]
    lines = (table(verdicts), *(f"not found as it says: {name}" for name in wrong))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
