"""Reads settings from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike, fspath
from pathlib import Path, PurePath
from typing import Final, TypeVar

from tunnel.adapters.config_file.formats import MalformedText, parse_json, parse_toml, parse_yaml
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


class FileConfigSource(ConfigSource[S]):
    """Settings kept in one file, read afresh by each ``load``.

    Args:
        path: A file that ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``; its name, as given here, is in errors.
        decode: Makes settings of the file's table, or raises ``ConfigurationError``.
    """

    def __init__(self, path: str | PathLike[str], decode: Callable[[Mapping[str, object]], S]) -> None:
        self._path: Final = fspath(path)
        self._decode: Final = decode

    @property
    def name(self) -> str:
        return self._path

    def load(self) -> S:
        table = read_table(self._path)
        try:
            return self._decode(table)
        except ConfigurationError as error:
            raise ConfigurationError(error.expected, key_path=error.key_path, source=self._path) from error


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
