"""Where the pages of the documentation are walked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.distribution import ROOT, built, environment_without
from support.frameworks import without_frameworks
from support.pages.terminal import Terminal, reader_environment


@pytest.fixture
def terminal_in(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Terminal]:
    """A terminal with the environment that the tests run in, or one that has yet to install the package.

    The texts of a page say whether it needs a web framework. ``CHECKOUT`` is this tree, for what a page has its reader
    do there.
    """

    def terminal(directory: Path, *sources: str, installs: bool = False) -> Terminal:
        if installs:
            environment = reader_environment(environment_without(tmp_path / "environment")) | {
                # What pip is asked for is to be found here: the wheel that is released, and what others need of it.
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(built(tmp_path_factory)),
                # Which means that there is none.
                "PIP_NO_BUILD_ISOLATION": "0",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                # Most of it is never imported.
                "PIP_NO_COMPILE": "1",
            }
            environment.pop("PYTHONPATH", None)
        else:
            environment = reader_environment(Path(sys.executable).parent)
        environment = without_frameworks(environment, sources) | {"CHECKOUT": str(ROOT)}
        return Terminal(directory, environment, tmp_path / "state")

    return terminal


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A directory for what belongs to a test and not to the page."""
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"
