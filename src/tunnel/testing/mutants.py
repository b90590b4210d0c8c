"""Adapters that are broken on purpose, to see that a contract notices.

A contract that nothing can fail shows nothing. So each rule has a mutant: an adapter that keeps every rule, its twin,
but for a few changed lines, and that must be found by this rule and no other. A collection of them is a module with
``MUTANTS``, a tuple of ``Mutant``, or a package of such modules. ``python -m tunnel.testing.mutants contract.mutants``
tries each and prints two tables: what found each mutant, as soon as it is tried, and which mutants each rule found
alone.
"""

from __future__ import annotations

import argparse
import logging
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from tunnel.testing.contract import Contract, Rule, RuleBroken
from tunnel.testing.event_loops import EventLoop

__all__ = ["Mutant", "Verdict", "collections", "found_alone", "table", "table_of_rules", "try_out"]

EXAMPLES: Final = 100
"""Drawn examples of each check that draws, so that what finds a mutant beside its rule does so here."""

EXAMPLES_OF_ITS_RULE: Final = 10
"""As few as any class of tests draws: the rule of a mutant finds it within these."""


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


def try_out(
    mutant: Mutant, *, named_only: bool = False, deadline_s: float | None = None, smallest: bool = True
) -> Verdict:
    """Run its contract on ``mutant``; the same examples every time.

    Args:
        mutant: Which.
        named_only: Run the rule that it names and no other, which tells whether that finds it; neither what else does,
            nor the smallest example.
        deadline_s: Longest each check of that rule may take, for mutants that it would wait for in vain for longer;
            None: as long as the contract says.
        smallest: Look for the smallest examples, which the table shows; which rules find the mutant is told without.
    """
    contract = mutant.contract
    if named_only:
        checks = [check for check in contract.checks if check.rule == mutant.rule]
        if deadline_s is not None:
            checks = [replace(check, deadline_s=deadline_s) for check in checks]
        found = contract.verdict(
            mutant.harness, mutant.event_loop, checks=checks, examples=EXAMPLES_OF_ITS_RULE, smallest=False
        )
    else:
        found = contract.verdict(mutant.harness, mutant.event_loop, examples=EXAMPLES, smallest=smallest)
    return Verdict(mutant, found)


def collections(name: str) -> tuple[ModuleType, ...]:
    """The modules with mutants of a package, by name; of a module, that one.

    Args:
        name: As it is imported, ``contract.mutants``.
    """
    found = import_module(name)
    if hasattr(found, "__path__"):
        modules = [import_module(f"{name}.{each.name}") for each in pkgutil.iter_modules(found.__path__)]
        return tuple(module for module in modules if hasattr(module, "MUTANTS"))
    return (found,)


def found_alone(verdicts: Iterable[Verdict]) -> dict[Rule, list[Mutant]]:
    """The mutants that were found by one rule only, for every rule of the contracts that the mutants break."""
    seen = list(verdicts)
    contracts = {id(verdict.mutant.contract): verdict.mutant.contract for verdict in seen}
    alone: dict[Rule, list[Mutant]] = {rule: [] for contract in contracts.values() for rule in contract.rules}
    for verdict in seen:
        if len(verdict.broken) == 1:
            alone[verdict.broken[0].rule].append(verdict.mutant)
    return alone


def table(verdicts: Iterable[Verdict]) -> str:
    """What was found, a row for each mutant, in Markdown."""
    return "\n".join(_lines(verdicts))


def table_of_rules(alone: dict[Rule, list[Mutant]]) -> str:
    """What each rule alone found, a row for each rule, in Markdown."""
    rows = [(rule.id, ", ".join(mutant.name for mutant in mutants)) for rule, mutants in alone.items()]
    return "\n".join(_markdown(("rule", "mutants that no other rule finds"), rows))


def _lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    rows = ((verdict.mutant.name, *_cells(verdict.broken)) for verdict in verdicts)
    return _markdown(("mutant", "rule", "others", "shown by", "counterexample"), rows)


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield from (f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head)))
    yield from (f"| {' | '.join(row)} |" for row in rows)


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


def main(arguments: list[str]) -> int:
    """Try the mutants of modules and packages, and print the tables.

    Returns:
        What the process exits with: 0 when all is as it should be, 1 when a mutant was not found as it says, or a rule
        finds none alone. With arguments that name no mutants it exits with 2.
    """
    mutants = _asked_for(arguments)
    # Services fail on purpose, and listeners log that.
    logging.disable(logging.CRITICAL)
    verdicts: list[Verdict] = []

    def tried() -> Iterator[Verdict]:
        for mutant in mutants:
            verdicts.append(try_out(mutant))
            yield verdicts[-1]

    for line in _lines(tried()):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()  # the next may take seconds
    alone = found_alone(verdicts)
    wrong = [f"not found as it says: {verdict.mutant.name}" for verdict in verdicts if not verdict.as_named]
    wrong += [f"finds no mutant alone: {rule}" for rule, found in alone.items() if not found]
    sys.stdout.writelines(f"{line}\n" for line in ("", table_of_rules(alone), *wrong))
    return int(bool(wrong))


def _asked_for(arguments: list[str]) -> list[Mutant]:
    parser = argparse.ArgumentParser(
        prog="python -m tunnel.testing.mutants",
        description="Tries adapters that are broken on purpose, and prints which rule of their contract finds each.",
    )
    parser.add_argument(
        "collection", nargs="+", help="a module with MUTANTS, or a package of such modules, as it is imported"
    )
    names = parser.parse_args(arguments).collection
    try:
        modules = [module for name in names for module in collections(name)]
    except ModuleNotFoundError as exc:
        parser.error(f"{exc}: is the folder it is in on PYTHONPATH?")
    mutants = [mutant for module in modules for mutant in getattr(module, "MUTANTS", ())]
    if not mutants:
        parser.error(f"no mutants in {', '.join(names)}")
    return mutants


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
