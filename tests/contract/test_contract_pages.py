"""The reference lists the rules of every contract, in their words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tunnel.testing.contract import Contract
from tunnel.testing.transport import TRANSPORT

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "contracts.md"


@pytest.mark.parametrize(("heading", "contract"), [("Transport", TRANSPORT)])
def test_page_lists_the_rules_as_they_are(heading: str, contract: Contract[Any]) -> None:
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| ([A-Z]-[A-Z-]+) \| (.*) \|$", section, re.MULTILINE)

    assert documented == [(rule.id, rule.sentence) for rule in contract.rules]


def test_every_rule_is_shown_by_a_check() -> None:
    assert {check.rule for check in TRANSPORT.checks} == set(TRANSPORT.rules)
