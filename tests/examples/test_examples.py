"""Each example does what its page says, with the wheel that is released."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.distribution import ROOT
from support.frameworks import without_frameworks
from support.pages.ports import PagePorts
from support.pages.terminal import Terminal, reader_environment
from support.pages.walk import walk
from support.pages.walked import EXAMPLES

FULL = os.environ.get("TUNNEL_FULL") == "1"


def copied(name: str, directory: Path) -> tuple[Path, PagePorts]:
    """An example on ports of its own."""
    place = directory / name
    shutil.copytree(ROOT / "examples" / name, place, ignore=shutil.ignore_patterns("__pycache__"))
    files = [path for path in place.rglob("*") if path.is_file()]
    ports = PagePorts(path.read_text() for path in files)
    for path in files:
        path.write_text(ports.exchanged(path.read_text()))
    return place, ports


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_does_what_its_page_says(name: str, tmp_path: Path, programs: Path) -> None:
    place, ports = copied(name, tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = reader_environment(programs) | {
        # What pip is told in an example is to find everything here.
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    environment.pop("PYTHONPATH", None)
    sources = [path.read_text() for path in place.rglob("*") if path.suffix in (".md", ".py", ".toml")]
    environment = without_frameworks(environment, sources)
    page = ROOT / "examples" / name / "README.md"
    walk(
        page, f"examples/{name}/README.md", Terminal(place, environment, tmp_path / "state"), scratch, ports, full=FULL
    )


def test_examples_run_what_is_released(programs: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [programs / "python3", "-c", "import tunnel; print(tunnel.__file__)"],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert Path(found).is_relative_to(programs.parent)


def test_overview_lists_every_example() -> None:
    listed = re.findall(r"^\| \[(\w+)\]", (ROOT / "examples/README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(EXAMPLES)
