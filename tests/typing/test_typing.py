"""What type checkers make of the public API."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tunnel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PUBLIC = HERE / "public_api.py"


def checked(*command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MYPYPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(str(tunnel.__file__)).with_name("py.typed").exists()


def test_mypy_agrees_with_the_public_api() -> None:
    done = checked(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--warn-unused-ignores"),
        *("--cache-dir", str(ROOT / ".mypy_cache"), "--follow-imports", "silent", str(PUBLIC)),
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_agrees_with_the_public_api() -> None:
    pyright = shutil.which("basedpyright", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if pyright is None:
        pytest.skip("basedpyright is not installed")

    done = checked(pyright, "--project", str(HERE / "pyrightconfig.json"), "--pythonpath", sys.executable)

    assert done.returncode == 0, done.stdout + done.stderr
