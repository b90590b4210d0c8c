"""Rules of a port, and the checks that show whether an adapter keeps them.

A rule is an id and a sentence. A check is a function ``async def check(harness)`` that fails when its rule is broken;
where the rule holds for whatever order things happen in, it takes a second argument, drawn by Hypothesis. Both belong
to the contract of one port::

    CLOCK = Contract[ClockHarness]("clock")
    FORWARD = CLOCK.state("C-FORWARD", "Time never goes back.")

    @CLOCK.shows(FORWARD)
    async def time_never_goes_back(harness: ClockHarness) -> None: ...

Checks need no test runner: ``Contract.verdict`` is all of them on one adapter. For pytest there is a thin class per
port, whose one test runs for each check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

import anyio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tunnel.testing.event_loops import EventLoop, run
from tunnel.testing.harness import Harness

__all__ = ["Check", "Contract", "Rule", "RuleBroken"]

EXAMPLES: Final = 25
"""Drawn examples of each check that draws: a second of an in-memory adapter, several of one with sockets."""

DEADLINE_S: Final = 20.0
"""Longest a scenario may take unless its contract says otherwise: far more than any needs."""

HarnessT = TypeVar("HarnessT", bound=Harness)

Scenario: TypeAlias = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Rule:
    """What every adapter of a port must do.

    Args:
        id: Stable, with the letter of its port: ``T-ORDER``.
        sentence: What holds, as a sentence.
    """

    id: str
    sentence: str

    def __str__(self) -> str:
        return self.id


class RuleBroken(AssertionError):
    """An adapter does not keep a rule.

    Args:
        rule: The rule.
        check: Name of the check that found it.
        why: What was seen.
        counterexample: The smallest drawn example that shows it; empty where nothing is drawn.
    """

    def __init__(self, rule: Rule, check: str, why: str, *, counterexample: str = "") -> None:
        super().__init__(rule, check, why, counterexample)
        self.rule = rule
        self.check = check
        self.why = why
        self.counterexample = counterexample

    def __str__(self) -> str:
        shown = f" with {self.counterexample}" if self.counterexample else ""
        return f"{self.rule.id} is broken: {self.rule.sentence}\n{self.check}{shown}: {self.why}"


@dataclass(frozen=True)
class Check(Generic[HarnessT]):
    """One scenario that shows a rule.

    Args:
        rule: Broken when the scenario fails in whatever way.
        scenario: ``async def scenario(harness)``, or ``(harness, drawn)``.
        deadline_s: Longest the scenario may take, in seconds; a hang is a failure, never a wait.
        drawn: Where the second argument comes from; None when there is none.
    """

    rule: Rule
    scenario: Scenario
    deadline_s: float
    drawn: SearchStrategy[Any] | None = None

    @property
    def name(self) -> str:
        """What the scenario shows, in words."""
        return self.scenario.__name__

    def __str__(self) -> str:
        return f"{self.rule.id}-{self.name}"

    def run(
        self,
        harness: HarnessT,
        event_loop: EventLoop = "asyncio",
        *,
        examples: int = EXAMPLES,
        drawn_anew: bool = False,
        smallest: bool = True,
    ) -> None:
        """Run the scenario on a new event loop; where it draws, on one for each example.

        Args:
            harness: Makes the adapters. Used again for every example.
            event_loop: On which event loop.
            examples: How many are drawn.
            drawn_anew: Whether to look for other examples than the last time.
            smallest: Whether to look for the smallest example that fails, which takes longer than finding one.

        Raises:
            RuleBroken: The adapter does not keep the rule, with the smallest example found.
        """
        failing: list[str] = []
        try:
            if self.drawn is None:
                run(event_loop, self._in_time, harness)
            else:
                once = self._once(harness, event_loop, failing)
                self._try_drawn(once, examples, drawn_anew=drawn_anew, smallest=smallest)
        except Exception as exc:
            cause = _root(exc)
            why = str(cause) if isinstance(cause, AssertionError) else f"{type(cause).__name__}: {cause}"
            raise RuleBroken(self.rule, self.name, why, counterexample="".join(failing[-1:])) from exc

    async def _in_time(self, *arguments: Any) -> None:
        with anyio.move_on_after(self.deadline_s) as scope:
            await self.scenario(*arguments)
        assert not scope.cancelled_caught, f"has not come to an end after {self.deadline_s:g} s"

    def _once(self, harness: HarnessT, event_loop: EventLoop, failing: list[str]) -> Callable[[Any], None]:
        # The smallest example comes last, since Hypothesis runs it once more when it has found it.
        def once(example: Any) -> None:
            try:
                run(event_loop, self._in_time, harness, example)
            except Exception:
                failing.append(repr(example))
                raise

        return once

    def _try_drawn(self, once: Callable[[Any], None], examples: int, *, drawn_anew: bool, smallest: bool) -> None:
        assert self.drawn is not None
        settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=not drawn_anew,
            report_multiple_bugs=False,
            print_blob=False,
            phases=[Phase.generate, Phase.shrink] if smallest else [Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        )(given(self.drawn)(once))()


class Contract(Generic[HarnessT]):
    """The rules of one port and their checks, in the order in which they were written.

    Args:
        port: What the adapters are adapters of, ``transport``.
        deadline_s: Longest one scenario may take, in seconds, on a slow machine.
    """

    def __init__(self, port: str, *, deadline_s: float = DEADLINE_S) -> None:
        self.port = port
        self.deadline_s = deadline_s
        self._rules: dict[str, Rule] = {}
        self._checks: list[Check[HarnessT]] = []

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules."""
        return tuple(self._rules.values())

    @property
    def checks(self) -> tuple[Check[HarnessT], ...]:
        """All checks, in the order of their rules: the simplest that an adapter breaks says so first."""
        order = {rule: number for number, rule in enumerate(self._rules.values())}
        return tuple(sorted(self._checks, key=lambda check: order[check.rule]))

    def state(self, id: str, sentence: str) -> Rule:
        """Add a rule.

        Args:
            id: Not yet taken.
            sentence: What holds.
        """
        assert id not in self._rules, id
        rule = self._rules[id] = Rule(id, sentence)
        return rule

    def shows(self, rule: Rule, *, drawn: SearchStrategy[Any] | None = None) -> Callable[[Scenario], Scenario]:
        """Decorate the scenario that shows ``rule``.

        Args:
            rule: One of this contract's.
            drawn: Strategy for the scenario's second argument; None when it has none.
        """

        def add(scenario: Scenario) -> Scenario:
            self._checks.append(Check(rule, scenario, self.deadline_s, drawn))
            return scenario

        return add

    def verdict(
        self,
        harness: Callable[[], HarnessT],
        event_loop: EventLoop = "asyncio",
        *,
        checks: Iterable[Check[HarnessT]] | None = None,
        examples: int = EXAMPLES,
        smallest: bool = True,
    ) -> tuple[RuleBroken, ...]:
        """Run the checks and tell which rules an adapter breaks; each rule once, none when it keeps all.

        Args:
            harness: Makes a harness; called for each check, after which what it made is closed.
            event_loop: On which event loop.
            checks: Which to run; None for all.
            examples: How many are drawn by each check that draws.
            smallest: Whether to look for the smallest examples that fail.
        """
        broken: dict[Rule, RuleBroken] = {}
        for check in self.checks if checks is None else checks:
            if check.rule not in broken:
                made = harness()
                try:
                    check.run(made, event_loop, examples=examples, smallest=smallest)
                except RuleBroken as exc:
                    broken[check.rule] = exc
                finally:
                    made.close()
        return tuple(broken.values())


def _root(exc: BaseException) -> BaseException:
    """The first failure in a task group is what went wrong; what it brought down is not."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc
