"""What a page shows of an output, compared with the output."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from typing import Final

__all__ = ["differences", "filled", "found_in"]

_PLACEHOLDER: Final = re.compile(r"<[a-z][a-z0-9 '-]*>")
_ANYTHING: Final = "..."
_MARKS: Final = re.compile(rf"{_PLACEHOLDER.pattern}|{re.escape(_ANYTHING)}|\s+")


def filled(text: str, names: MutableMapping[str, str]) -> str:
    """``text`` with the values of the placeholders that are known by now."""
    return _PLACEHOLDER.sub(lambda found: names.get(found[0], found[0]), text)


def differences(
    shown: str, lines: Sequence[str], names: MutableMapping[str, str], varies: str | None = None
) -> str | None:
    """Compare what is shown with what was printed.

    Every line has to be there, in order, and no others. ``...`` stands for anything within a line, and alone for any
    number of lines. ``<the token>`` stands for a word, and for the same one from then on. Blanks count as one.

    Args:
        shown: As on the page.
        lines: As printed.
        names: Values of placeholders; new ones are added.
        varies: Regular expression of what is another each time, though shown as it was once; None: nothing.

    Returns:
        None when they agree; else what does not.
    """
    wanted = _trimmed(shown.splitlines())
    got = _trimmed(lines)
    at = 0
    skipping = False
    for line in wanted:
        if line.strip() == _ANYTHING:
            skipping = True
            continue
        while True:
            if at == len(got):
                return f"not printed: {line!r}\nprinted:\n" + "\n".join(lines)
            at += 1
            if _agrees(line, got[at - 1], names, varies):
                break
            if not skipping:
                return f"expected {line!r}\nprinted {got[at - 1]!r}, in:\n" + "\n".join(lines)
        skipping = False
    if at < len(got) and not skipping:
        return f"printed besides: {got[at]!r}, in:\n" + "\n".join(lines)
    return None


def found_in(
    shown: str, lines: Sequence[str], names: MutableMapping[str, str], varies: str | None = None
) -> str | None:
    """Look for each line of ``shown`` among ``lines``, anywhere within one; the first that is not there, or None."""
    for line in _trimmed(shown.splitlines()):
        if not any(_agrees(f"...{line.strip()}...", each, names, varies) for each in lines):
            return line
    return None


def _trimmed(lines: Sequence[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _agrees(shown: str, printed: str, names: MutableMapping[str, str], varies: str | None) -> bool:
    groups: dict[str, str] = {}
    pattern, end = "", 0
    text = filled(shown, names)
    marks = re.compile(rf"(?P<varying>{varies})|{_MARKS.pattern}") if varies else _MARKS
    for mark in marks.finditer(text):
        varying = varies is not None and mark["varying"]
        pattern += re.escape(text[end : mark.start()]) + (rf"(?:{varies})" if varying else _piece(mark[0], groups))
        end = mark.end()
    found = re.fullmatch(pattern + re.escape(text[end:]), printed)
    if found is None:
        return False
    names.update({name: found[group] for name, group in groups.items()})
    return True


def _piece(mark: str, groups: MutableMapping[str, str]) -> str:
    if mark == _ANYTHING:
        return ".*?"
    if mark.isspace():
        return r"\s+"
    if mark in groups:
        return f"(?P={groups[mark]})"
    groups[mark] = f"p{len(groups)}"
    return rf"(?P<{groups[mark]}>\S+)"
