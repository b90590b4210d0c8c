"""Reads settings from a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path, PurePath
from typing import Final, TypeVar

from tunnel.adapters.config_file.formats import MalformedText, parse_json, parse_toml, parse_yaml
from tunnel.adapters.config_file.watch import FileWatch
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.config_source import ConfigSource

__all__ = ["FileConfigSource", "read_table"]

S = TypeVar("S")

_PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    ".toml": parse_toml,
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".json": parse_json,
}


def _none(table: Mapping[str, object]) -> Iterable[str]:
    return ()


class FileConfigSource(ConfigSource[S]):
    """Settings kept in one file, read afresh by each ``load``.

    ``changed`` follows the file and those it points to, by polling: it returns one to two seconds after
    the last write.

    Args:
        path: A file that ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``; its name, as given here, is in errors.
        decode: Makes settings of the file's table, or raises ``ConfigurationError``.
        files: Names of the files that a table points to and ``decode`` reads; the table is unchecked.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        decode: Callable[[Mapping[str, object]], S],
        *,
        files: Callable[[Mapping[str, object]], Iterable[str]] = _none,
    ) -> None:
        self._path: Final = fspath(path)
        self._decode: Final = decode
        self._files: Final = files
        self._watch: Final = FileWatch()
        self._is_loaded = False

    @property
    def name(self) -> str:
        return self._path

    def load(self) -> S:
        self._watch.note([self._path])
        self._expect_readable([self._path])
        table = read_table(self._path)
        pointed_to = [*self._files(table)]
        self._expect_readable(pointed_to)
        self._watch.note(pointed_to)
        self._watch.keep([self._path, *pointed_to])
        try:
            settings = self._decode(table)
        except ConfigurationError as error:
            raise ConfigurationError.of(error.mistakes, source=self._path) from error
        self._is_loaded = True
        return settings

    def _expect_readable(self, names: Iterable[str]) -> None:
        """Refuse pipes and terminals once settings were loaded.

        They give what they hold once, at the start. Reading them again waits for a writer that may never come, in a
        thread that nobody can interrupt: no other change would be followed, and the process could not end.
        """
        if not self._is_loaded:
            return
        for name in names:
            if _waits_for_a_writer(name):
                expected = f"expected a regular file, to be read again: {name!r} is a pipe or a device"
                raise ConfigurationError(expected, source=self._path)

    async def changed(self) -> None:
        await self._watch.changed()


def _waits_for_a_writer(name: str) -> bool:
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        # Who reads it says better what is wrong with it.
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def read_table(path: str | PathLike[str]) -> Mapping[str, object]:
    """The table a configuration file holds, unchecked but for its syntax.

    Raises:
        ConfigurationError: The file cannot be read, has an unknown ending, or is malformed; says where in the file.
            Nothing of its contents is in the error, since it may hold a token.
    """
    name = fspath(path)
    ending = PurePath(name).suffix.lower()
    if ending not in _PARSERS:
        raise ConfigurationError("expected a file that ends in .toml, .yaml, .yml or .json", source=name)
    try:
        table = _PARSERS[ending](_read(name))
    except MalformedText as error:
        raise ConfigurationError(str(error), source=name) from error
    if not isinstance(table, dict):
        raise ConfigurationError("expected a table of settings at the top", source=name)
    return table


def _read(name: str) -> str:
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot be read: {reason[:1].lower()}{reason[1:]}", source=name) from error
    except ValueError as error:
        raise ConfigurationError("expected the name of a file", source=repr(name)) from error
    try:
        # A byte order mark, as some editors on Windows write it, is not content.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"line {line}: expected UTF-8 text", source=name) from error
