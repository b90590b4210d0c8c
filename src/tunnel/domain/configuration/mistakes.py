"""How a mistake in the configuration is worded: one line that names the key, what was expected and what was found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from tunnel.domain.errors import ConfigurationError

__all__ = [
    "alternatives",
    "check_name",
    "close_name",
    "key_path",
    "mistake",
    "not_built",
    "shown",
    "suggestion",
    "unknown_name",
]

_MAX_SHOWN_CHARACTERS: Final = 60
"""Characters of a wrong value that are repeated in a message, so that it stays one line."""

_MAX_NAMES: Final = 20
"""Names that a message lists of those that could have been meant."""

_MAX_COMPARED: Final = 1000
"""Names among which a misspelt one is looked for; each takes a microsecond or more."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def key_path(*segments: str | int) -> str:
    """``key_path("rules", 0, "host")`` is ``rules[0].host``; keys that TOML would quote are quoted."""
    parts: list[str] = []
    for segment in segments:
        if isinstance(segment, int):
            parts.append(f"[{segment}]")
            continue
        key = segment if _BARE_KEY.fullmatch(segment) else json.dumps(segment)
        parts.append(f".{key}" if parts else key)
    return "".join(parts)


def mistake(path: str, expected: str, *, got: object = ..., meant: str = "") -> ConfigurationError:
    """The error that says: at ``path``, ``expected ...``, and unless it may not be shown, ``got ...``.

    Args:
        path: Key path.
        expected: What would be right.
        got: What there is.
        meant: What that nearly is; empty: it looks like nothing.
    """
    text = f"expected {expected}" if got is ... else f"expected {expected}, got {shown(got)}"
    return ConfigurationError(f"{text}; did you mean {shown(meant)}?" if meant else text, key_path=path)


def not_built(path: str) -> ConfigurationError:
    """The error for a key that is planned but absent from this version."""
    return ConfigurationError("this key is not built yet in this version", key_path=path)


def shown(value: object) -> str:
    """A value as a message repeats it: as JSON, shortened; tables and lists by kind only."""
    match value:
        case None:
            return "null"
        case bool() | int() | float():
            text = json.dumps(value)
        case str():
            text = json.dumps(value, ensure_ascii=not value.isprintable())
        case list() | tuple():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return f"a {type(value).__name__}"
    if len(text) <= _MAX_SHOWN_CHARACTERS:
        return text
    return text[:_MAX_SHOWN_CHARACTERS] + ("..." if not isinstance(value, str) else '..."')


def alternatives(names: Iterable[str]) -> str:
    """``one of "a", "b"``; ``"a"`` when there is but one."""
    quoted = [json.dumps(name, ensure_ascii=False) for name in names]
    return quoted[0] if len(quoted) == 1 else f"one of {', '.join(quoted)}"


def close_name(word: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``word`` is most likely a misspelling of; None when it looks like none of them."""
    close = get_close_matches(word, list(names), n=1)
    return close[0] if close else None


def suggestion(word: str, names: Iterable[str]) -> str:
    """``; did you mean "..."?`` when one of ``names`` looks much like ``word``, else nothing."""
    close = close_name(word, names)
    return "" if close is None else f"; did you mean {json.dumps(close, ensure_ascii=False)}?"


def unknown_name(name: str, known: Iterable[str], path: str, *, kind: str, add: str = "") -> ConfigurationError:
    """The error for a name that refers to nothing.

    Args:
        name: As configured.
        known: What could have been named.
        path: Where it is named.
        kind: What it should be, ``group``.
        add: Table that would define one, ``[groups.NAME]``; said when there is none yet.
    """
    names = sorted(known)
    more = len(names) - _MAX_NAMES
    expected = f"expected {alternatives(names[:_MAX_NAMES])}" if names else f"there is none; add {add}"
    if more > 0:
        expected += f" and {more} more"
    hint = suggestion(name, names) if len(names) <= _MAX_COMPARED else ""
    return ConfigurationError(f"unknown {kind} {shown(name)}; {expected}{hint}", key_path=path)


def check_name(name: str, path: str, *, what: str) -> None:
    """Refuse names that are empty, long, or would break a log line.

    Raises:
        ConfigurationError: Always naming ``path``.
    """
    if not name or len(name) > 128 or not name.isprintable() or name != name.strip():
        raise mistake(path, f"{what} of 1 to 128 printable characters", got=name)
