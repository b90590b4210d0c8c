"""A page walked as a reader would: block by block, in one directory."""

from __future__ import annotations

import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, assert_never

from support.pages import program
from support.pages.blocks import Block, Claim, PageError, blocks_of
from support.pages.configurations import check_settings
from support.pages.output import differences, filled, found_in
from support.pages.ports import PagePorts
from support.pages.terminal import Terminal

__all__ = ["walk"]

_COMMAND_S: Final = 60.0
"""For one block that ends."""
_LONG_S: Final = 600.0
"""For one that installs packages."""


def walk(
    path: Path,
    name: str,
    terminal: Terminal,
    scratch: Path,
    ports: PagePorts | None = None,
    *,
    full: bool = False,
    brief: bool | None = None,
    told: Callable[[str], object] = lambda _: None,
) -> None:
    """Walk a page to its end; what it left running is stopped then.

    Args:
        path: The page.
        name: What it is called in messages.
        terminal: Where its commands are typed.
        scratch: Empty directory for what belongs to the walk and not to the page.
        ports: For a page whose files are there already; None: exchanged for those that the page names.
        full: Whether to run what takes long, too.
        brief: Whether to type the shorter form of what has one; None: unless ``full``.
        told: Called with what cannot be run on this machine.

    Raises:
        PageError: The page promises what does not happen.
    """
    blocks = blocks_of(path, name)
    brief = not full if brief is None else brief
    walker = _Walker(blocks, terminal, scratch, ports or _ports_of(blocks), full=full, brief=brief, told=told)
    try:
        for block in blocks:
            walker.do(block)
    finally:
        ends = terminal.close()
    if ends:
        raise PageError(f"{name}: " + "\n".join(ends))


def _ports_of(blocks: list[Block]) -> PagePorts:
    return PagePorts(
        text
        for block in blocks
        for text in (
            block.text,
            block.before,
            *(script for _, script in block.typed),
            *block.given.values(),
            *(typed for _, typed in (*block.instead, *block.briefly)),
        )
    )


class _Walker:
    """How far a walk has got: what was printed last, and what the placeholders stand for."""

    def __init__(
        self,
        blocks: list[Block],
        terminal: Terminal,
        scratch: Path,
        ports: PagePorts,
        *,
        full: bool,
        brief: bool,
        told: Callable[[str], object],
    ) -> None:
        self._ports: Final = ports
        self._terminal: Final = terminal
        self._scratch: Final = scratch
        self._full: Final = full
        self._brief: Final = brief
        self._told: Final = told
        self._printed: list[str] | None = None
        self._names: Final[dict[str, str]] = {}

    def do(self, block: Block) -> None:
        """Do what a block claims.

        Raises:
            PageError: It is not so.
        """
        for name, text in block.given.items():
            self._write(name, self._ready(text))
        if ("full" in block.remarks and not self._full) or self._misses_programs(block):
            self._printed = None
            return
        for stays, script in block.typed:
            self._type(self._ready(script), block, stays=stays)
        match block.claim:
            case Claim.FILE:
                self._save(block)
            case Claim.SETTINGS:
                self._check(self._ready(block.text), block)
            case Claim.PROGRAM | Claim.COMMANDS:
                self._run(block)
            case Claim.OUTPUT:
                self._compare(block)
            case Claim.SAID:
                self._hear(block)
            case Claim.PART:
                self._look_for(block)
            case Claim.PICTURE:
                pass
            case _:
                assert_never(block.claim)

    def _misses_programs(self, block: Block) -> bool:
        path = f"{self._terminal.environment['PATH']}:/usr/sbin:/sbin"
        missing = [each for each in block.remarks.get("needs", "").split() if shutil.which(each, path=path) is None]
        if missing:
            self._told(f"{block.where} is not run: no {', '.join(missing)} here")
        return bool(missing)

    def _ready(self, text: str) -> str:
        return filled(self._ports.exchanged(text), self._names)

    def _exchanged(self, block: Block) -> str:
        """What is typed or saved: what is shown, but for what the page exchanges."""
        text = block.text
        for old, new in (*block.instead, *(block.briefly if self._brief else ())):
            text = text.replace(old, new)
        return text

    def _write(self, name: str, text: str) -> None:
        path = self._terminal.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _save(self, block: Block) -> None:
        assert block.title is not None
        text = self._ready(self._exchanged(block))
        if "append" in block.remarks:
            text = (self._terminal.directory / block.title).read_text() + "\n" + text
        self._write(block.title, text)
        # What builds a package reads its file, when the page has it built.
        if block.language == "toml" and "wrong" not in block.remarks and Path(block.title).name != "pyproject.toml":
            self._check(text, block)

    def _look_for(self, block: Block) -> None:
        """Look for each key of a part in the whole."""
        name = block.remarks["part"]
        whole = tomllib.loads((self._terminal.directory / name).read_text())
        if not _holds(whole, tomllib.loads(self._ready(block.text))):
            raise PageError(f"{block.where}: {name} does not say this:\n{block.text}")

    def _check(self, text: str, block: Block) -> None:
        why = check_settings(text, block.language, self._scratch, beside=self._terminal.directory)
        if why is not None:
            raise PageError(f"{block.where}: {why}")

    def _run(self, block: Block) -> None:
        source = self._ready(block.before + self._exchanged(block))
        if block.claim is Claim.PROGRAM:
            file = self._scratch / f"line{block.line}.py"
            file.write_text(source)
            source = f"python3 {shlex.quote(program.__file__)} {shlex.quote(str(file))}"
        self._type(source, block, stays=block.remarks.get("stays", ""), status=int(block.remarks.get("exit", "0")))

    def _type(self, source: str, block: Block, *, stays: str, status: int = 0) -> None:
        """Run what ends, or start what stays and wait until it says so."""
        if stays:
            self._start(block, source, self._ready(stays))
            return
        ended, self._printed = self._terminal.run(source, limit_s=_LONG_S if "full" in block.remarks else _COMMAND_S)
        if ended != status:
            raise PageError(f"{block.where}: ended with {ended}, not {status}:\n" + "\n".join(self._printed))

    def _start(self, block: Block, source: str, text: str) -> None:
        running = self._terminal.start(source, drawn="terminal" in block.remarks)
        self._printed = running.lines
        if not self._terminal.wait_until(lambda: found_in(text, running.lines, self._names) is None):
            raise PageError(f"{block.where}: does not say {text!r}:\n" + "\n".join(running.lines))

    def _compare(self, block: Block) -> None:
        if "interrupted" in block.remarks:
            self._interrupt(block)
        if self._printed is None:
            return
        shown, varies = self._ports.exchanged(block.text), block.remarks.get("varies")
        if (why := differences(shown, self._printed, self._names, varies)) is not None:
            raise PageError(f"{block.where}: {why}")

    def _interrupt(self, block: Block) -> None:
        """Press Ctrl-C where something was started last; what it printed is what the block shows."""
        running = self._terminal.running.pop()
        if (end := running.stop()) is not None:
            raise PageError(f"{block.where}: {end}")
        self._printed = running.lines

    def _hear(self, block: Block) -> None:
        """Wait until something that goes on running says all of this."""
        text, varies = self._ports.exchanged(block.text), block.remarks.get("varies")
        running = self._terminal.running
        if not self._terminal.wait_until(
            lambda: any(found_in(text, each.lines, self._names, varies) is None for each in running)
        ):
            said = "\n".join(line for each in running for line in each.lines)
            raise PageError(f"{block.where}: nobody says this:\n{text}\nthey said:\n{said}")


def _holds(whole: Any, part: Any) -> bool:
    """Whether ``part`` is in ``whole``: of a table some keys, of an array of tables some of them."""
    match part:
        case dict():
            return isinstance(whole, dict) and all(key in whole and _holds(whole[key], part[key]) for key in part)
        case [dict(), *_]:
            return isinstance(whole, list) and all(any(_holds(each, table) for each in whole) for table in part)
        case _:
            return bool(whole == part)
