"""No block of any page is left out: each is run, loaded or compared, or is a picture."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pages.blocks import Block, Claim, blocks_of
from support.pages.walked import NEWCOMERS, ROOT, WALKED

PICTURES = {"README.md": 1, "docs/index.md": 1, "docs/architecture.md": 3}
DRAWN = re.compile(r"-->|==>|<--|<==|\|$|^ +v$", re.MULTILINE)

AT_FULL_LENGTH_ONLY: dict[str, str] = {}
"""Blocks that a walk without ``TUNNEL_FULL`` leaves out, and why. README and the tutorial are always walked whole."""

WHERE_PROGRAMS_ARE = {
    "docs/howto/behind-another-proxy.md": "the page is about nginx; what tunnel reads on it is checked anywhere",
    "docs/howto/reach-services-behind-the-server.md": "a session of ssh needs sshd; the block before it needs nothing",
}


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return [block for name in WALKED for block in blocks_of(ROOT / name, name)]


def all_pages() -> list[str]:
    """Every page that is committed; without git, those of the documentation."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True)
    return listed.stdout.split() or [str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")]


def test_every_page_with_a_block_is_walked() -> None:
    fenced = {page for page in all_pages() if re.search(r"^ *```", (ROOT / page).read_text(), re.MULTILINE)}

    assert fenced == set(WALKED)


def test_blocks_are_fenced_in_the_one_way_that_is_looked_for() -> None:
    other = re.compile(r"^ *~~~|<pre\b|<script\b", re.MULTILINE)

    assert [page for page in all_pages() if other.search((ROOT / page).read_text())] == []


def test_blocks_are_counted_and_only_pictures_are_not_run(blocks: list[Block], measured: Callable[[str], None]) -> None:
    kinds = Counter(block.claim for block in blocks)

    measured(
        f"{len(blocks)} blocks on {len(WALKED)} pages: "
        + ", ".join(f"{number} {kind.name.lower()}" for kind, number in kinds.most_common())
    )
    assert Counter(block.page for block in blocks if block.claim is Claim.PICTURE) == PICTURES
    assert len(blocks) - kinds[Claim.PICTURE] > 200


def test_pictures_are_drawn(blocks: list[Block]) -> None:
    drawn = [len(DRAWN.findall(block.text)) for block in blocks if block.claim is Claim.PICTURE]

    assert min(drawn) >= 3


def test_block_that_takes_long_is_listed_with_its_reason(blocks: list[Block]) -> None:
    found = {block.page for block in blocks if "full" in block.remarks and block.page not in NEWCOMERS}

    assert found == AT_FULL_LENGTH_ONLY.keys()


def test_block_that_needs_programs_is_listed_with_its_reason(blocks: list[Block]) -> None:
    assert {block.page for block in blocks if "needs" in block.remarks} == WHERE_PROGRAMS_ARE.keys()


def test_file_that_is_saved_is_used_later_on_its_page(blocks: list[Block]) -> None:
    """Configurations are checked when they are saved; whatever else is saved has to be run, too."""
    unused = [
        f"{block.where}: {block.title}"
        for place, block in enumerate(blocks)
        if block.claim is Claim.FILE
        and block.title is not None
        and not block.title.endswith("server.toml")
        and not block.title.startswith("client")
        and not any(_uses(later, block.title) for later in blocks[place + 1 :] if later.page == block.page)
    ]

    assert unused == []


def _uses(block: Block, title: str) -> bool:
    path = Path(title)
    text = "\n".join([block.text, block.before, *(script for _, script in block.typed), *block.given.values()])
    if path.name.startswith(("test_", "conftest")):
        return block.claim is Claim.COMMANDS and "pytest" in text
    if (reader := {"pyproject.toml": "pip install", "Dockerfile": "docker build"}.get(path.name)) is not None:
        return block.claim is Claim.COMMANDS and reader in text
    return path.name in text or re.search(rf"\b{path.stem}\b", text) is not None
