"""A hook of MkDocs: pages that come one by one get into the navigation by themselves, and links into the tree work.

What ``mkdocs.yml`` lists is the frame. Below "How-to" come the pages of ``docs/howto`` in the order of their titles,
below "Decisions" those of ``docs/adr`` in the order of their numbers. Pages link to files outside ``docs`` as they do
where the repository is browsed; on the site those links become text, since the site does not have those files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

_DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
_HEADING: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_KEY: Final = re.compile(r"<td><code>[^<]+</code>")
_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\((?P<target>(?:\.\./)+[^)#\s]+)[^)]*\)")


def on_config(config: Any) -> Any:
    """Fill the sections of the navigation that ``mkdocs.yml`` leaves empty."""
    sections = {"How-to": _pages("howto", by_title=True), "Decisions": _pages("adr", by_title=False)}
    config["nav"] = _filled(config["nav"], sections)
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Keep the text of links that leave ``docs``."""
    here = (_DOCS / page.file.src_uri).parent

    def inside(link: re.Match[str]) -> str:
        return link[0] if (here / link["target"]).resolve().is_relative_to(_DOCS) else link[1]

    return _OUTSIDE.sub(inside, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Let long keys in tables break after their dots, and leave out what reStructuredText puts before examples."""
    html = _KEY.sub(lambda cell: cell[0].replace(".", ".<wbr>"), html)
    return html.replace("<p>::</p>", "")


def _filled(entries: list[Any], sections: dict[str, list[Any]]) -> list[Any]:
    """``entries`` with the empty sections filled, and those left out for which there is nothing."""
    done = []
    for entry in entries:
        (title, value), *_ = entry.items()
        if isinstance(value, list):
            value = _filled(value, sections) or sections[title]
        if value:
            done.append({title: value})
    return done


def _pages(folder: str, *, by_title: bool) -> list[Any]:
    found = []
    for path in sorted((_DOCS / folder).glob("*.md")):
        heading = _HEADING.search(path.read_text())
        title = heading[1] if heading is not None else path.stem
        found.append((path.name != "README.md", title if by_title else path.name, title, f"{folder}/{path.name}"))
    return [{title.replace("`", ""): path} for _, _, title, path in sorted(found)]
