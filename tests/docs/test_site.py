"""The documentation as a site."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunnel.testing

pytest.importorskip("mkdocs", reason="the dependency group docs is not installed")

ROOT = Path(__file__).parents[2]
REMOTE = re.compile(r"<(?:link|script|img|iframe)[^>]+(?:href|src)=[\"']?(?:https?:)?//[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, directory)
    assert done.returncode == 0, done.stdout
    return directory


def build(root: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)],
        cwd=root,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}

    # MkDocs makes an index of a README.
    assert {page.parent / page.name.replace("README", "index") for page in pages} <= built


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    found = {path.name: REMOTE.findall(path.read_text()) for path in site.rglob("*.html")}

    assert {name: tags for name, tags in found.items() if tags} == {}


def test_every_export_has_its_docstring_on_the_site(site: Path) -> None:
    page = (site / "reference/names.html").read_text()
    testing = [f"tunnel.testing.{found.name}" for found in pkgutil.iter_modules(tunnel.testing.__path__)]

    public = {
        f"{module}.{name}"
        for module in ["tunnel", "tunnel.blocking", *testing]
        for name in importlib.import_module(module).__all__
    }

    assert {name for name in public if f'id="{name}"' not in page} == {"tunnel.__version__"}
    assert len(public) > 100


def test_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Home\n\n[nothing](nowhere.md)\n")
    settings = (ROOT / "mkdocs.yml").read_text()
    strict = [line for line in settings.splitlines() if re.match(r"strict:|validation:|  \w+: warn", line)]
    (tmp_path / "mkdocs.yml").write_text("\n".join(["site_name: wrong", *strict]))

    done = build(tmp_path, tmp_path / "site")

    assert done.returncode != 0
    assert "nowhere.md" in done.stdout
