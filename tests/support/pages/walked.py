"""Which pages there are, and which test walks them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["EXAMPLES", "NEWCOMERS", "OTHERS", "ROOT", "WALKED"]

ROOT: Final = Path(__file__).parents[3]

NEWCOMERS: Final = ("README.md", "docs/tutorial.md")
"""Walked in a fresh clone, one after the other, by ``tests/docs/test_newcomer.py``."""

OTHERS: Final = tuple(
    str(page.relative_to(ROOT))
    for page in sorted(
        (
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / name for name in ("CONTRIBUTING.md", "bench/README.md", "tests/mutation/README.md")),
        )
    )
    if "```" in page.read_text() and str(page.relative_to(ROOT)) not in NEWCOMERS
)
"""Walked one by one, by ``tests/docs/test_pages.py``."""

EXAMPLES: Final = tuple(sorted(page.parent.name for page in (ROOT / "examples").glob("*/README.md")))
"""Folders of ``examples`` whose pages ``tests/examples/test_examples.py`` walks, each in a copy of its folder."""

WALKED: Final = (*NEWCOMERS, *OTHERS, *(f"examples/{name}/README.md" for name in EXAMPLES))
"""Every page with a block."""
