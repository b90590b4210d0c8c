"""Rules of the protocol that are rules of every transport too, which run for each with its contract."""

from __future__ import annotations

import pytest
from support.memory_harness import MemoryHarness

from tunnel.testing.contract import Check
from tunnel.testing.transport import TRANSPORT, TransportHarness


def checks(*rules: str) -> list[Check[TransportHarness]]:
    return [check for check in TRANSPORT.checks if check.rule.id in rules]


@pytest.mark.rule("W1")
@pytest.mark.parametrize("check", checks("T-ORDER", "T-DUPLEX", "T-FIELDS", "T-PUSH"), ids=str)
def test_link_moves_whole_frames_in_order_both_ways(check: Check[TransportHarness]) -> None:
    check.run(MemoryHarness())


@pytest.mark.rule("W9")
@pytest.mark.parametrize("check", checks("T-CANCEL-RECEIVE", "T-CANCEL-SEND"), ids=str)
def test_cancelling_a_caller_loses_repeats_and_reorders_nothing(check: Check[TransportHarness]) -> None:
    check.run(MemoryHarness())
