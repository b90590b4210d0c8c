"""Every block on every page does what the page says it does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pages.blocks import blocks_of
from support.pages.terminal import Terminal
from support.pages.walk import walk

from tunnel.app.cli import main

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("TUNNEL_FULL") == "1"
WALKED_BY_A_NEWCOMER = {"docs/tutorial.md"}
PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if "```" in page.read_text())


@pytest.mark.parametrize("name", [page for page in PAGES if page not in WALKED_BY_A_NEWCOMER])
def test_page_does_what_it_shows(
    name: str, tmp_path: Path, terminal_in: Callable[[Path], Terminal], scratch: Path
) -> None:
    directory = tmp_path / "reader"
    directory.mkdir()
    walk(ROOT / name, name, terminal_in(directory), scratch, full=FULL)


def test_calls_of_the_quick_start_go_past_the_rule_for_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [block.text for block in blocks_of(ROOT / "README.md", "README.md") if block.title == "server.toml"]
    file = tmp_path / "server.toml"
    file.write_text("\n".join(shown).replace("<its hash>", "0" * 64))

    assert main(["explain", str(file), "--grpc", "/shop.v1.Orders/Place", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["upstream"] == "orders"
