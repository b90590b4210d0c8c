"""A hook of MkDocs: pages that come one by one get into the navigation by themselves, and links into the tree work.

What ``mkdocs.yml`` lists is the frame. Below "How-to" come the pages of ``docs/howto`` in the order of their titles,
below "Decisions" those of ``docs/adr`` in the order of their numbers. Pages link to files outside ``docs`` as they do
where the repository is browsed; on the site those links become text, since the site does not have those files.

``<!-- names: tunnel.blocking -->`` becomes the docstrings of what that module exports, and ``tunnel.testing.*`` in it
those of every module of that package.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
_SOURCE: Final = _DOCS.parent / "src"
_NAMES: Final = re.compile(r"<!-- names: ([\w.]+?)(\.\*)? -->")
_HEADING: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_KEY: Final = re.compile(r"<td><code>[^<]+</code>")
_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\((?P<target>(?:\.\./)+[^)#\s]+)[^)]*\)")


def on_config(config: Any) -> Any:
    """Fill the sections of the navigation that ``mkdocs.yml`` leaves empty."""
    sections = {"How-to": _pages("howto", by_title=True), "Decisions": _pages("adr", by_title=False)}
    config["nav"] = _filled(config["nav"], sections)
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Keep the text of links that leave ``docs``, and ask for docstrings."""
    here = (_DOCS / page.file.src_uri).parent

    def inside(link: re.Match[str]) -> str:
        return link[0] if (here / link["target"]).resolve().is_relative_to(_DOCS) else link[1]

    return _NAMES.sub(_docstrings, _OUTSIDE.sub(inside, markdown))


def on_page_content(html: str, **_: object) -> str:
    """Let long keys in tables break after their dots, and leave out what reStructuredText puts before examples."""
    html = _KEY.sub(lambda cell: cell[0].replace(".", ".<wbr>"), html)
    return html.replace("<p>::</p>", "")


def _docstrings(found: re.Match[str]) -> str:
    """What has mkdocstrings write about the exports of a module, or of each module of a package."""
    if found[2] is None:
        return "\n".join(f"::: {found[1]}.{name}" for name in _exports(_SOURCE / found[1].replace(".", "/")))
    package = _SOURCE / found[1].replace(".", "/")
    modules = sorted({path.stem for path in package.iterdir()} - {"__init__", "__pycache__"})
    sections = []
    for module in modules:
        asked = [f"::: {found[1]}.{module}.{name}" for name in _exports(package / module)]
        if asked:
            sections.append("\n".join([f"## {found[1]}.{module}", "", *asked]))
    return "\n\n".join(sections)


def _exports(module: Path) -> Iterator[str]:
    """``__all__`` of a module or a package, in its order; of one that is not loaded, for loading may need extras."""
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            yield from ast.literal_eval(statement.value)


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
