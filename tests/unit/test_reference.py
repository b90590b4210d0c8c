"""What the reference says of settings, options and errors is what the code does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import tunnel

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import generate_reference  # noqa: E402

PAGE = """# Settings

| key | default | meaning |
| --- | --- | --- |
| `limits.heartbeat_s` | 7 | how often |
| `limits.gone_s` | 1 | what is no more |
| `admin.token_sha256` | nobody | whose |
"""


def test_pages_agree_with_the_code():
    assert generate_reference.drift() == []


def test_tables_are_made_of_the_structs():
    rows = [line for line in generate_reference.configuration_page(PAGE).splitlines() if line.startswith("| ")]

    assert rows[0] == "| key | type | default | meaning |"
    assert "| `limits.heartbeat_s` | seconds, 0.1 to 300 | 5 s | how often |" in rows
    assert "| `admin.token_sha256` | text | nobody | whose |" in rows
    assert not any("gone" in row for row in rows)


def test_setting_without_a_row_gets_one_with_the_docstring_as_its_meaning():
    rows = generate_reference.configuration_page(PAGE).splitlines()

    (row,) = (row for row in rows if row.startswith("| `ingress.grpc.host` "))
    assert row == (
        "| `ingress.grpc.host` | text | none | "
        "What rules take for the host of calls that enter here; None: such calls name no host. |"
    )


def test_tree_of_errors_is_that_of_the_classes():
    text = (ROOT / "docs/reference/api.md").read_text()
    drawn = re.findall(r"^[|`]-- (\w+)$", text, re.MULTILINE)

    exported = [getattr(tunnel, name) for name in tunnel.__all__]
    direct = [each.__name__ for each in exported if isinstance(each, type) and each.__base__ is tunnel.TunnelError]
    assert sorted(drawn) == sorted(direct)


def test_range_is_said_once():
    page = PAGE.replace("how often", "0.1 - 300; how often")

    assert "| `limits.heartbeat_s` | seconds, 0.1 to 300 | 5 s | how often |" in generate_reference.configuration_page(
        page
    )
