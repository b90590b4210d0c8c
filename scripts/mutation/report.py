"""What became of the mutants, module by module."""

from __future__ import annotations

from dataclasses import dataclass, field

from mutation.mutants import Mutant
from mutation.processes import Verdict
from mutation.survivors import Survivor

__all__ = ["HEADING", "Score", "total"]

HEADING = f"{'module':36} {'count':>6} {'noticed':>8} {'too slow':>9} {'listed':>7} {'survived':>9} {'score':>8}"


@dataclass
class Score:
    """The mutants of one module, or of several.

    Those listed as survivors count as much as those that are not, and those that took too long count as neither noticed
    nor surviving.
    """

    module: str
    noticed: int = 0
    too_slow: int = 0
    listed: list[tuple[Mutant, Survivor]] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)

    def add(self, mutant: Mutant, verdict: Verdict | None) -> None:
        """Count a mutant that is not listed; None when no test runs it."""
        match verdict:
            case Verdict.NOTICED:
                self.noticed += 1
            case Verdict.TOO_SLOW:
                self.too_slow += 1
            case None:
                self.survived.append(f"{mutant}   (no test runs it)")
            case _:
                self.survived.append(str(mutant))

    @property
    def counted(self) -> int:
        return self.noticed + self.too_slow + len(self.listed) + len(self.survived)

    @property
    def percent(self) -> float:
        decided = self.counted - self.too_slow
        return 100.0 * self.noticed / decided if decided else 100.0

    def __str__(self) -> str:
        return (
            f"{self.module:36} {self.counted:6} {self.noticed:8} {self.too_slow:9} {len(self.listed):7} "
            f"{len(self.survived):9} {self.percent:6.1f} %"
        )


def total(name: str, scores: list[Score]) -> Score:
    """The mutants of all of them."""
    whole = Score(name)
    for each in scores:
        whole.noticed += each.noticed
        whole.too_slow += each.too_slow
        whole.listed += each.listed
        whole.survived += each.survived
    return whole
