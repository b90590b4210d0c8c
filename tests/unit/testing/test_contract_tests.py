"""What the classes of tests of all contracts have in common."""

from __future__ import annotations

import sys
from typing import ClassVar

import pytest

from tunnel.testing.contract import Contract, RuleBroken
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.harness import Harness


class NotingHarness(Harness):
    """Notes what becomes of it."""

    made: ClassVar[list[NotingHarness]] = []

    def __init__(self) -> None:
        self.made.append(self)
        self.event_loops: list[str] = []
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


KIT = Contract[NotingHarness]("kit")
KEPT = KIT.state("X-KEPT", "What is kept.")
BROKEN = KIT.state("X-BROKEN", "What is broken.")


@KIT.shows(KEPT)
async def it_is_kept(harness: NotingHarness) -> None:
    harness.event_loops.append("trio" if "trio" in sys.modules and _on_trio() else "asyncio")


@KIT.shows(BROKEN)
async def it_is_broken(harness: NotingHarness) -> None:
    raise AssertionError("broken")


def _on_trio() -> bool:
    import trio

    return trio.lowlevel.in_trio_run()


class NotingContract(ContractTests[NotingHarness]):
    contract = KIT
    harness = NotingHarness


class NotingContractOnTrio(NotingContract):
    event_loop = "trio"


@pytest.fixture(autouse=True)
def made() -> list[NotingHarness]:
    NotingHarness.made.clear()
    return NotingHarness.made


@pytest.mark.parametrize(("tests", "event_loop"), [(NotingContract, "asyncio"), (NotingContractOnTrio, "trio")])
def test_each_check_has_a_harness_of_its_own_on_the_event_loop_in_question(
    tests: type[NotingContract], event_loop: str, made: list[NotingHarness]
) -> None:
    for _ in range(2):
        tests().test_rule(KIT.checks[0])

    assert [(each.event_loops, each.closed) for each in made] == [([event_loop], 1)] * 2


def test_harness_is_closed_after_a_check_that_fails(made: list[NotingHarness]) -> None:
    with pytest.raises(RuleBroken, match="X-BROKEN is broken"):
        NotingContract().test_rule(KIT.checks[1])

    assert [each.closed for each in made] == [1]


def test_verdict_closes_every_harness(made: list[NotingHarness]) -> None:
    assert [each.rule for each in KIT.verdict(NotingHarness)] == [BROKEN]
    assert [each.closed for each in made] == [1, 1]


class TestForEachCheck(NotingContract):
    contract = Contract[NotingHarness]("kit with one check")


@TestForEachCheck.contract.shows(TestForEachCheck.contract.state("X-ONE", "One."))
async def there_is_one_check(harness: NotingHarness) -> None:
    assert not harness.closed
