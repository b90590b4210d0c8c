r"""Regular expressions of rules, matched in time linear in what they are matched against.

The engine is RE2, of the optional package ``google-re2``, which is loaded with the first pattern. A pattern matches a
whole value, and ``.`` matches line ends too, since an encoded one in a path must not get around a rule. Values that are
not UTF-8 are matched byte by byte with ``\C`` only.

Source: ADR 11.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol

from tunnel.domain.errors import ConfigurationError

__all__ = ["MAX_PATTERN_CHARACTERS", "Match", "Pattern", "compile_pattern"]

MAX_PATTERN_CHARACTERS: Final = 1000
"""Characters; what is longer is generated, and better written as several rules."""

_MAX_PATTERN_BYTES: Final = 1024 * 1024
"""Bytes that RE2 may use for one pattern: the program, and the states it keeps while matching."""

_KEPT_PATTERNS: Final = 1024
"""Patterns kept compiled: each is looked at when its rule is checked and when it is compiled."""


class Match(Protocol):
    """A match."""

    def group(self, number: int, /) -> bytes | None:
        """What a group matched; None if it took no part. 0 is all of it; others are there with ``captures`` only."""


class Pattern(Protocol):
    """A compiled pattern."""

    groups: int
    """How many it has, with ``captures``."""

    def fullmatch(self, text: bytes, /) -> Match | None:
        """Something if all of ``text`` matches, else None."""


@lru_cache(_KEPT_PATTERNS)
def compile_pattern(pattern: str, *, captures: bool = False) -> Pattern:
    """Compile a pattern in the syntax of RE2.

    Args:
        pattern: The pattern.
        captures: Whether a match is to tell what its groups matched; it takes longer then.

    Raises:
        ConfigurationError: It is too long or too large, malformed, asks for what cannot be matched in linear time
            (backreferences, look-around), or ``google-re2`` is not installed. Names no key path.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise ConfigurationError(f"expected a pattern of at most {MAX_PATTERN_CHARACTERS} characters")
    try:
        import re2  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigurationError(
            "patterns need the package google-re2, which is not installed; pip install 'hextunnel[regex]'"
        ) from error
    options = re2.Options()
    options.log_errors = False  # else it writes to standard error by itself
    options.max_mem = _MAX_PATTERN_BYTES
    options.never_capture = not captures
    options.dot_nl = True
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except UnicodeEncodeError as error:
        raise ConfigurationError("expected a pattern of valid Unicode") from error
    except re2.error as error:
        raise ConfigurationError(f"expected a pattern that RE2 takes: {_reason(error)}") from error
    return compiled


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    if text.startswith(("invalid perl operator: (?", "invalid escape sequence: \\")):
        text += "; there are no backreferences and no look-around"
    return text if text.isprintable() else ascii(text)
