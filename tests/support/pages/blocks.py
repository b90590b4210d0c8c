"""The fenced blocks of a page, and what each of them claims to be."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final

__all__ = ["Block", "Claim", "PageError", "blocks_of"]

_FENCE: Final = re.compile(
    r"""^(?P<indent>[ ]*)(?P<ticks>`{3,})(?P<language>[\w+-]*)(?P<info>[^\n`]*)\n
        (?P<text>.*?)
        ^(?P=indent)(?P=ticks)[ ]*$""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_REMARK: Final = re.compile(
    r"(?<!`)<!--\s*test:\s*(?P<verb>\w+)[ ]*(?P<argument>[^\n]*?)\s*(?:\n(?P<body>.*?))?-->", re.DOTALL
)
_TITLE: Final = re.compile(r'title="([^"]+)"')

_EXCHANGES: Final = {"instead", "briefly"}
_VERBATIM: Final = _EXCHANGES | {"varies"}
_WITH_ARGUMENT: Final = {"stays", "exit", "given", "part", "needs", "varies"} | _EXCHANGES
_VERBS: Final = _WITH_ARGUMENT | {
    *("append", "wrong", "full", "interrupted", "output", "said", "before", "typed", "terminal", "picture"),
}
_COMMANDS: Final = {"sh", "console", "bash"}
_SETTINGS: Final = {"toml", "yaml"}
_DRAWN: Final = {"text", "mermaid"}


class Claim(Enum):
    """What a block is, which says what is done with it."""

    FILE = auto()
    """Written to the file in its title."""
    SETTINGS = auto()
    """Part of a configuration: completed, and checked as ``tunnel check`` does."""
    PROGRAM = auto()
    """Python, run by itself."""
    COMMANDS = auto()
    """Typed into a terminal."""
    OUTPUT = auto()
    """What the block before it printed."""
    SAID = auto()
    """What something that goes on running says."""
    PART = auto()
    """Part of a file that is there: every key is in that file, with the same value."""
    PICTURE = auto()
    """Drawn with characters: there is nothing that could be run, and no language that it could be in."""


class PageError(AssertionError):
    """A page and what it says of itself do not agree."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block.

    Args:
        page: The file, for messages.
        line: Of the opening fence, from 1.
        language: As after the fence.
        title: The file that it is saved as; None: none.
        text: Without the indentation that all of its lines have.
        remarks: Arguments of the comments before it, by verb.
        given: Files that a comment before it gives, by name.
        before: Python that runs before it and is not shown.
        typed: Commands that are typed before it and are not shown, each with what it says when it goes on running;
            the block may be what the last of them prints.
        instead: What is typed, or saved, in place of what is shown, pair by pair.
        briefly: The same, unless everything is run at full length.
        claim: What it is.
    """

    page: str
    line: int
    language: str
    title: str | None
    text: str
    remarks: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    typed: tuple[tuple[str, str], ...] = ()
    instead: tuple[tuple[str, str], ...] = ()
    briefly: tuple[tuple[str, str], ...] = ()
    claim: Claim

    @property
    def where(self) -> str:
        """``README.md:42``."""
        return f"{self.page}:{self.line}"


def blocks_of(path: Path, name: str) -> list[Block]:
    """The blocks of a page in order.

    Args:
        path: The page.
        name: What it is called in messages.

    Raises:
        PageError: A block claims nothing, or a comment says what nobody understands.
    """
    text = path.read_text()
    found: list[Block] = []
    end = 0
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 1
        found.append(_block(fence, text[end : fence.start()], f"{name}:{line}", found[-1] if found else None))
        end = fence.end()
    if (left := _REMARK.search(text, end)) is not None:
        raise PageError(f"{name}: no block follows the comment {left.group()!r}")
    if text.count("```", end):
        raise PageError(f"{name}: a fence is not closed, or closed at another indentation")
    return found


def _block(fence: re.Match[str], between: str, where: str, before: Block | None) -> Block:
    remarks: dict[str, str] = {}
    given: dict[str, str] = {}
    program: str = ""
    typed: list[tuple[str, str]] = []
    exchanged: dict[str, list[tuple[str, str]]] = {verb: [] for verb in _EXCHANGES}
    for verb, argument, body in _remarks(between, where):
        remarks[verb] = argument
        if verb == "given":
            given[argument] = body
        elif verb == "before":
            program += body
        elif verb == "typed":
            typed.append((argument, body))
        elif verb in _EXCHANGES:
            exchanged[verb].append(_exchange(argument, fence["text"], where))
    title = _TITLE.search(fence["info"])
    page, _, line = where.rpartition(":")
    return Block(
        page=page,
        line=int(line),
        language=fence["language"],
        title=title[1] if title else None,
        text=textwrap.dedent(fence["text"]),
        remarks=remarks,
        given=given,
        before=program,
        typed=tuple(typed),
        instead=tuple(exchanged["instead"]),
        briefly=tuple(exchanged["briefly"]),
        claim=_claim(fence["language"], title is not None, remarks, where, before),
    )


def _remarks(between: str, where: str) -> Iterator[tuple[str, str, str]]:
    for remark in _REMARK.finditer(between):
        verb, argument = remark["verb"], remark["argument"]
        if verb not in _VERBS:
            raise PageError(f"{where}: nobody understands {verb!r}; known are {', '.join(sorted(_VERBS))}")
        if verb in _WITH_ARGUMENT and not argument:
            raise PageError(f"{where}: {verb!r} needs something after it")
        yield verb, argument if verb in _VERBATIM else argument.strip('"'), textwrap.dedent(remark["body"] or "")


def _exchange(argument: str, shown: str, where: str) -> tuple[str, str]:
    old, arrow, new = argument.partition(" => ")
    if not arrow or old not in shown:
        raise PageError(f"{where}: expected 'SHOWN => TYPED' with something that is shown, not {argument!r}")
    return old, new


def _claim(language: str, titled: bool, remarks: Mapping[str, str], where: str, before: Block | None) -> Claim:
    if "picture" in remarks:
        if language not in _DRAWN:
            raise PageError(
                f"{where}: a picture is of {' or '.join(sorted(_DRAWN))}, not of {language or 'no language'}"
            )
        return Claim.PICTURE
    if "part" in remarks:
        return Claim.PART
    if "said" in remarks:
        return Claim.SAID
    if "output" in remarks or "interrupted" in remarks:
        return Claim.OUTPUT
    if titled:
        return Claim.FILE
    if language in _SETTINGS:
        return Claim.SETTINGS
    if language == "python":
        return Claim.PROGRAM
    if language in _COMMANDS:
        return Claim.COMMANDS
    printed = "typed" in remarks or (before is not None and before.claim in {Claim.COMMANDS, Claim.PROGRAM})
    if language in {"text", "json"} and printed:
        return Claim.OUTPUT
    raise PageError(
        f"{where}: nothing says what this block of {language or 'no language'} is: give it a title, put it after what "
        "prints it, or say with <!-- test: typed ... --> what does"
    )
