"""Whatever a harness declares is in the reference, with the rule that shows it and the mutants that it finds."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import NamedTuple

import pytest
from contract.test_contract_pages import CONTRACTS, PAGE

from tunnel.testing.access_log import AccessLogHarness
from tunnel.testing.admin import AdminHarness
from tunnel.testing.authenticator import AuthenticatorHarness
from tunnel.testing.balancing import StrategyHarness
from tunnel.testing.clock import ClockHarness
from tunnel.testing.config_source import ConfigSourceHarness
from tunnel.testing.harness import Harness
from tunnel.testing.ingress import IngressHarness
from tunnel.testing.listener_tls import ListenerTlsHarness
from tunnel.testing.middleware import MiddlewareHarness
from tunnel.testing.mutants import collections
from tunnel.testing.signal import SignalHarness
from tunnel.testing.target import TargetHarness
from tunnel.testing.telemetry import TelemetryHarness
from tunnel.testing.transport import TransportCapabilities, TransportHarness

HARNESSES: dict[str, type[Harness]] = {
    "Transport": TransportHarness,
    "Target": TargetHarness,
    "Ingress": IngressHarness,
    "Middleware": MiddlewareHarness,
    "Authenticator": AuthenticatorHarness,
    "Configuration source": ConfigSourceHarness,
    "Strategy": StrategyHarness,
    "Telemetry": TelemetryHarness,
    "Access log": AccessLogHarness,
    "Admin listener": AdminHarness,
    "TLS of a listener": ListenerTlsHarness,
    "Clock": ClockHarness,
    "Signal": SignalHarness,
}

SUPPLIED: dict[str, set[str]] = {
    # Made of what the others say.
    "Transport": {"capabilities", "scheme", "url", "connect", "serve", "connected_pair", "clogged_pair"},
    # What is spoken in all checks, and so is what it is.
    "Target": {"dialect"},
    "Ingress": {"dialect"},
    # What is put under the contract, and how it is spoken to.
    "Middleware": {"kind", "options", "make", "dialects", "opening", "answer_fields"},
    "Strategy": {"strategy", "make"},
    "Signal": {"signal", "make"},
    "TLS of a listener": {"host"},
    # Has time pass, without which nobody wakes.
    "Clock": {"pass_time"},
}
"""What harnesses have besides abstract methods that says nothing of their adapters, by contract."""


class Declaration(NamedTuple):
    """A line of the table."""

    contract: str
    names: frozenset[str]
    rule: str
    refuted_by: frozenset[str]


def documented() -> list[Declaration]:
    section = PAGE.read_text().partition("\n## What harnesses declare\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ") for line in re.findall(r"^\| (?!---|contract )(.*) \|$", section, re.MULTILINE)]
    return [
        Declaration(contract, frozenset(re.findall(r"`(\w+)`", names)), rule, frozenset(refuted_by.split("; ")))
        for contract, names, _, rule, refuted_by in cells
    ]


def declared(harness: type[Harness]) -> set[str]:
    """What a harness may say by itself: attributes, methods it need not have, and those that may return None."""
    found = {name for name in vars(harness).get("__annotations__", {}) if not name.startswith("_")}
    for name, member in vars(harness).items():
        if name.startswith("_") or not inspect.isfunction(member):
            continue
        may_be_none = str(inspect.signature(member).return_annotation).endswith("| None")
        if may_be_none or not getattr(member, "__isabstractmethod__", False):
            found.add(name)
    if "capabilities" in found:
        found |= {field.name for field in dataclasses.fields(TransportCapabilities)}
    return found


@pytest.mark.parametrize("contract", CONTRACTS)
def test_whatever_a_harness_declares_is_in_the_table(contract: str) -> None:
    names = [name for line in documented() if line.contract == contract for name in line.names]

    assert sorted(names) == sorted(declared(HARNESSES[contract]) - SUPPLIED.get(contract, set()))


@pytest.mark.parametrize("line", documented(), ids=lambda line: f"{line.contract}-{'-'.join(sorted(line.names))}")
def test_each_declaration_is_refuted_by_mutants_of_its_rule(line: Declaration) -> None:
    port = CONTRACTS[line.contract]
    mutants = [mutant for module in collections("contract.mutants") for mutant in module.MUTANTS]
    found = {mutant.name: mutant.rule.id for mutant in mutants if mutant.contract is port}

    assert {name: found.get(name) for name in line.refuted_by} == dict.fromkeys(line.refuted_by, line.rule)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_each_mutant_of_a_declaration_is_in_the_table(contract: str) -> None:
    told = {name for line in documented() if line.contract == contract for name in line.refuted_by}
    port = CONTRACTS[contract]
    mutants = [mutant for module in collections("contract.mutants") for mutant in module.MUTANTS]
    of_declarations = {
        mutant.name
        for mutant in mutants
        if mutant.contract is port and re.search(r"said to|claim|den(y|ies)", mutant.name)
    }

    assert of_declarations - told == set()
