"""The reference lists the rules of every contract, in their words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tunnel.testing.access_log import ACCESS_LOG
from tunnel.testing.admin import ADMIN
from tunnel.testing.authenticator import AUTHENTICATOR
from tunnel.testing.balancing import STRATEGY
from tunnel.testing.clock import CLOCK
from tunnel.testing.config_source import CONFIG_SOURCE
from tunnel.testing.contract import Contract
from tunnel.testing.ingress import INGRESS
from tunnel.testing.listener_tls import LISTENER_TLS
from tunnel.testing.middleware import MIDDLEWARE
from tunnel.testing.signal import SIGNAL
from tunnel.testing.target import TARGET
from tunnel.testing.telemetry import TELEMETRY
from tunnel.testing.transport import TRANSPORT

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "contracts.md"


CONTRACTS: dict[str, Contract[Any]] = {
    "Transport": TRANSPORT,
    "Target": TARGET,
    "Ingress": INGRESS,
    "Middleware": MIDDLEWARE,
    "Authenticator": AUTHENTICATOR,
    "Configuration source": CONFIG_SOURCE,
    "Strategy": STRATEGY,
    "Telemetry": TELEMETRY,
    "Access log": ACCESS_LOG,
    "Admin listener": ADMIN,
    "TLS of a listener": LISTENER_TLS,
    "Clock": CLOCK,
    "Signal": SIGNAL,
}


@pytest.mark.parametrize(("heading", "contract"), CONTRACTS.items())
def test_page_lists_the_rules_as_they_are(heading: str, contract: Contract[Any]) -> None:
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| ([A-Z]-[A-Z-]+) \| (.*) \|$", section, re.MULTILINE)

    assert documented == [(rule.id, rule.sentence) for rule in contract.rules]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.port)
def test_every_rule_is_shown_by_a_check(contract: Contract[Any]) -> None:
    assert {check.rule for check in contract.checks} == set(contract.rules)
