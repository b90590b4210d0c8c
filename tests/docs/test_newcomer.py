"""A stranger's first hour: a fresh clone, then README.md and the tutorial, typing only what is printed there.

The stranger has a HOME of their own, Python, make, git, curl and openssl, and nothing of ours installed. What the
environment tells pip holds. So that nothing is fetched, the packages that ours needs are found where the tests have
them; `make full` has pip fetch them, as everybody else does. `make test`, which is printed too, is what runs this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.distribution import packages_besides
from support.frameworks import without_frameworks
from support.pages.terminal import Terminal, reader_environment
from support.pages.walk import walk
from support.pages.walked import NEWCOMERS

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("TUNNEL_FULL") == "1"
NEEDED = ("git", "make", "curl", "openssl")
OWN = ("hextunnel", "_editable", "pip", "tunnel")
"""Packages that the stranger has to get in the ways that are printed."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository as it is committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository: there is nothing to clone")
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    path = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(path)], check=True)
    return path


def strangers_environment(directory: Path) -> dict[str, str]:
    """An environment in which Python is the only thing of ours that is found."""
    home, programs = directory / "home", directory / "programs"
    home.mkdir()
    programs.mkdir()
    python = programs / "python3"
    # Not a link: an environment that is made by way of one would look for its library beside the link.
    python.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" "$@"\n')  # type: ignore[attr-defined]
    python.chmod(0o755)
    environment = reader_environment(programs)
    own = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join(each for each in environment["PATH"].split(os.pathsep) if each != own)
    environment["HOME"] = str(home)
    environment.pop("PYTHONPATH", None)
    if not FULL:
        environment |= {
            "PYTHONPATH": str(packages_besides(OWN, directory / "packages")),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            # Which means that there is none.
            "PIP_NO_BUILD_ISOLATION": "0",
        }
        environment = without_frameworks(environment, [(ROOT / page).read_text() for page in NEWCOMERS])
    return environment


def test_stranger_gets_through_readme_and_tutorial(clone: Path, tmp_path: Path) -> None:
    environment = strangers_environment(tmp_path)
    for page in NEWCOMERS:
        scratch = tmp_path / Path(page).stem
        scratch.mkdir()
        walk(ROOT / page, page, Terminal(clone, environment, scratch / "state"), scratch, full=True, brief=not FULL)
