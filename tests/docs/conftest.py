"""Where the pages of the documentation are walked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pages.terminal import Terminal, reader_environment


@pytest.fixture
def terminal_in(tmp_path: Path) -> Callable[[Path], Terminal]:
    """A terminal with the environment that the tests run in."""
    return lambda directory: Terminal(directory, reader_environment(Path(sys.executable).parent), tmp_path / "state")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A directory for what belongs to a test and not to the page."""
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"
