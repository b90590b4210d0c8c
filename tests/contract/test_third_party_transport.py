"""The transport that the documentation builds: a package of its own, which knows the built wheel only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party_transport"
PAGE = ROOT / "docs" / "howto" / "write-a-transport.md"


def built(project: Path, into: Path) -> None:
    """Build the wheel of ``project`` and unpack it, which is what installing it without dependencies does."""
    wheels = into / "wheels" / project.name
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", wheels, project]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    zipfile.ZipFile(wheel).extractall(into / "site")


@pytest.mark.parametrize(
    "path",
    [
        "src/tunnel_unix/link.py",
        "src/tunnel_unix/transport.py",
        "src/tunnel_unix/listener.py",
        "tests/test_contract.py",
    ],
)
def test_page_shows_the_code_of_the_package(path: str) -> None:
    blocks = re.findall(r"```python title=[^\n]*\n(.*?)\n```", PAGE.read_text(), re.DOTALL)

    assert (EXAMPLE / path).read_text().rstrip() in blocks


@pytest.mark.full
def test_package_keeps_the_contract_with_the_built_wheel_and_nothing_else(tmp_path: Path) -> None:
    built(ROOT, tmp_path)
    built(EXAMPLE, tmp_path)
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE)
