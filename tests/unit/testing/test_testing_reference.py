"""The reference of what is shipped for tests has all of it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs/reference/testing.md").read_text()

MODULES = (
    *("fixtures", "visitor", "faults", "faulty_network", "faulty_transport", "faulty_link", "manual_clock"),
    *("autojump", "strategies", "state_machines"),
)
INSIDE = {"Struck"}
"""What only the modules beside it need."""


@pytest.mark.parametrize("module", MODULES)
def test_every_exported_name_is_in_a_table(module: str):
    firsts = {
        name
        for line in PAGE.splitlines()
        if line.startswith("| ")
        for name in re.findall(r"`(\w+)`", line.split(" | ")[0])
    }

    assert set(import_module(f"tunnel.testing.{module}").__all__) - INSIDE - firsts == set()
