"""Change the domain's modules one operator at a time, and count the changes that their unit tests notice.

::

    python scripts/mutate.py                       # all of the domain
    python scripts/mutate.py mux/windows rules     # some of it
    python scripts/mutate.py --every 10            # one mutant in ten

First the tests are run once, to learn which of them run which lines; then each mutant meets those that run its line, in
a process of its own (``mutation/trials.py``). What takes too long is counted apart. Survivors are shown. Those in
``tests/mutation/survivors.toml`` are known, with a reason each, and are not tried again; one that is not there makes
this fail, and so does a score below the least.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence

# Loaded once, for all trials that load the domain anew.
import anyio  # noqa: F401
import hypothesis.stateful  # noqa: F401
import msgspec  # noqa: F401
import pytest  # noqa: F401
from mutation.measurement import measured
from mutation.mentions import Mentions
from mutation.mutants import mutants
from mutation.report import HEADING, Score, total
from mutation.survivors import known, listed
from mutation.tree import SURVIVORS, module_files, short_name
from mutation.trials import outcomes, planned

_LEAST_PERCENT = 90.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="mux/windows, rules, ...; none: all of the domain")
    parser.add_argument("--every", type=int, default=1, help="try one mutant in so many")
    parser.add_argument("--least", type=float, default=_LEAST_PERCENT, help="fail below this score of all, in percent")
    parser.add_argument("--listed", action="store_true", help="try known survivors too")
    parser.add_argument("--survivors", action="store_true", help="show known survivors, and why")
    parser.add_argument("--longest", type=float, default=600.0, help="leave out tests of more seconds under the tracer")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="trials at once")
    options = parser.parse_args(arguments)
    scores = scored(options)
    for each in scores:
        say(str(each))
        for line in each.survived:
            say(f"    {line}")
        if options.survivors:
            for mutant, survivor in each.listed:
                say(f"    {mutant}   ({survivor.reason})")
    whole = total("all", scores)
    say(HEADING)
    say(str(whole))
    return int(bool(whole.survived) or whole.percent < options.least)


def scored(options: argparse.Namespace) -> list[Score]:
    """Try the mutants of the modules that were asked for."""
    coverage = measured(options.workers, options.longest)
    say(f"{len(coverage.took_s)} tests take {sum(coverage.took_s.values()):.0f} s under the tracer")
    mentions = Mentions()
    for path in module_files(()):
        mentions.add(path, ast.parse(path.read_text()))
    survivors = known(SURVIVORS)
    scores: list[Score] = []
    trials = []
    tried: list[Score] = []
    for path in module_files(options.modules):
        made = list(mutants(ast.parse(path.read_text())))
        if not made:
            continue
        score = Score(short_name(path))
        scores.append(score)
        try:
            accepted = {} if options.listed else listed(survivors.get(score.module, ()), made)
        except ValueError as error:
            raise SystemExit(f"{SURVIVORS.name}: {score.module}: {error}") from error
        score.listed += [(made[number], survivor) for number, survivor in accepted.items()]
        for number, mutant in enumerate(made):
            if number not in accepted and number % options.every == 0:
                trials.append(planned(path, mutant, coverage, mentions))
                tried.append(score)
    for trial, score, verdict in zip(trials, tried, outcomes(trials, options.workers), strict=True):
        score.add(trial.mutant, verdict)
    return scores


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
