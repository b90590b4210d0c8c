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
from support.pages.walked import OTHERS, ROOT

from tunnel.app.cli import main

FULL = os.environ.get("TUNNEL_FULL") == "1"


@pytest.mark.parametrize("name", OTHERS)
def test_page_does_what_it_shows(
    name: str,
    tmp_path: Path,
    terminal_in: Callable[..., Terminal],
    scratch: Path,
    measured: Callable[[str], None],
) -> None:
    directory = tmp_path / "reader"
    directory.mkdir()
    page = (ROOT / name).read_text()
    installs = any("pip install" in block.text for block in blocks_of(ROOT / name, name))
    terminal = terminal_in(directory, page, installs=installs)
    walk(ROOT / name, name, terminal, scratch, full=FULL, told=measured)


def test_calls_of_the_quick_start_go_past_the_rule_for_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [block.text for block in blocks_of(ROOT / "README.md", "README.md") if block.title == "server.toml"]
    file = tmp_path / "server.toml"
    file.write_text("\n".join(shown).replace("<its hash>", "0" * 64))

    assert main(["explain", str(file), "--grpc", "/shop.v1.Orders/Place", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["upstream"] == "orders"
