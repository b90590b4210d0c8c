"""Other paths for requests, by prefix or by pattern, the query being kept.

Prefixes are whole segments, compared in the normal form that rules use, so ``/%61pi/x`` has the prefix ``/api``. What
follows the prefix is kept as it was received.

A pattern matches a whole path or does not apply, so that it takes time linear in the path.

Source: Gateway API, HTTPPathModifier: ``ReplacePrefixMatch`` and ``ReplaceFullPath``; after Envoy's ``regex_rewrite``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.rules.paths import ASTERISK, normal_path, normal_prefix
from tunnel.domain.rules.patterns import Pattern, compile_pattern

__all__ = ["FullPath", "PathChange", "PrefixReplacement", "RegexReplacement", "path_change", "stripped_prefix"]

_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]+")

_MAX_PATH_BYTES: Final = 64 * 1024
"""Bytes; a replacement that repeats its groups must not make more of a request than a head may hold."""


class PathChange(Protocol):
    """Makes a path of a path."""

    def of(self, path: bytes) -> bytes:
        """The other path; ``path`` itself where this does not apply to it.

        Raises:
            SessionError: ``bad_request``: the result is no path.
        """


class FullPath:
    """Every path becomes this one."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path: Final = path.encode()

    def of(self, path: bytes) -> bytes:
        return path if path == ASTERISK else self._path


class PrefixReplacement:
    """One prefix takes the place of another."""

    __slots__ = ("_by", "_prefix")

    def __init__(self, prefix: str, by: str) -> None:
        self._prefix: Final = normal_prefix(prefix.encode())
        self._by: Final = by.encode().removesuffix(b"/")

    def of(self, path: bytes) -> bytes:
        rest = _after(path, self._prefix)
        return path if rest is None else (self._by + rest or b"/")


class RegexReplacement:
    r"""A path that a pattern matches becomes another one, in which ``\1`` is the first group of the pattern.

    Args:
        regex: In the syntax of RE2; matches the whole path as received.
        replacement: Characters of a path, and ``\0`` for all of the path, ``\1`` to ``\9`` for groups.

    Raises:
        ConfigurationError: Naming the key.
    """

    __slots__ = ("_parts", "_pattern")

    def __init__(self, regex: str, replacement: str) -> None:
        try:
            self._pattern: Final[Pattern] = compile_pattern(regex, captures=True)
        except ConfigurationError as error:
            raise ConfigurationError(error.expected, key_path="regex") from error
        self._parts: Final = tuple(_parts(replacement, self._pattern.groups))

    def of(self, path: bytes) -> bytes:
        found = None if path == ASTERISK else self._pattern.fullmatch(path)
        if found is None:
            return path
        changed = b"".join(part if isinstance(part, bytes) else found.group(part) or b"" for part in self._parts)
        if changed[:1] != b"/":
            changed = b"/" + changed
        if len(changed) > _MAX_PATH_BYTES:
            raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: too long when rewritten")
        normal_path(changed)
        return changed


def path_change(
    *, path: str | None, prefix: str | None, by: str | None, regex: str | None, replacement: str | None
) -> PathChange | None:
    """What a table says of the path, checked; None when it says nothing.

    Args:
        path: The whole path, in place of any.
        prefix: What ``by`` takes the place of.
        by: The key ``replace_prefix``.
        regex: Pattern of whole paths.
        replacement: For what the pattern matches.

    Raises:
        ConfigurationError: Something is malformed, or they contradict each other; names the key.
    """
    given = [key for key, value in (("path", path), ("prefix", prefix), ("regex", regex)) if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"expected either {given[0]} or {given[1]}, not both", key_path=given[1])
    for key, value, partner, partner_value in (
        ("prefix", prefix, "replace_prefix", by),
        ("regex", regex, "replacement", replacement),
    ):
        if (value is None) is not (partner_value is None):
            missing, there = (key, partner) if value is None else (partner, key)
            raise ConfigurationError(f'missing the required key "{missing}", as {there} is given', key_path="")
    if path is not None:
        _check_path(path, "path")
        return FullPath(path)
    if prefix is not None and by is not None:
        _check_path(prefix, "prefix")
        _check_path(by, "replace_prefix")
        return PrefixReplacement(prefix, by)
    if regex is not None and replacement is not None:
        return RegexReplacement(regex, replacement)
    return None


def stripped_prefix(path: bytes, prefixes: Iterable[bytes]) -> tuple[bytes, bytes] | None:
    """The prefix that ``path`` has, as received, and what is left of the path; None when it has none of them.

    Args:
        path: As received.
        prefixes: In normal form; the first that fits counts.
    """
    for prefix in prefixes:
        rest = _after(path, prefix)
        if rest is not None:
            return path[: len(path) - len(rest)], rest or b"/"
    return None


def _after(path: bytes, prefix: bytes) -> bytes | None:
    """What follows ``prefix``, empty or beginning with ``/``; None when it is no prefix of ``path``."""
    if path == ASTERISK:
        return None
    depth = prefix.count(b"/")
    segments = path.split(b"/", depth + 1)
    if len(segments) <= depth:
        return None
    head = b"/".join(segments[: depth + 1])
    if (normal_path(head) if head else head) != prefix:
        return None
    return path[len(head) :]


def _parts(replacement: str, groups: int) -> Iterator[bytes | int]:
    """Literal pieces, and numbers of groups."""
    for literal, group in re.findall(r"([^\\]+)|\\(.?)", replacement, re.DOTALL):
        if literal:
            if not _LITERAL.fullmatch(literal):
                raise ConfigurationError(
                    "expected characters of a path, and groups such as \\1", key_path="replacement"
                )
            yield literal.encode()
        elif group.isascii() and group.isdigit() and int(group) <= groups:
            yield int(group)
        else:
            raise ConfigurationError(
                f"expected groups from \\0 to \\{groups}, as the pattern has them", key_path="replacement"
            )


def _check_path(path: str, key: str) -> None:
    if not _PATH.fullmatch(path):
        raise ConfigurationError("expected a path that starts with /, of characters that paths have", key_path=key)
    try:
        normal_path(path.encode())
    except SessionError as error:
        raise ConfigurationError(f"expected a path without dot segments ({error.message})", key_path=key) from error
