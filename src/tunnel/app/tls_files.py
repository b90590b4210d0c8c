"""The files that the TLS tables of a configuration name: where they are, and which of them to watch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["TLS_KEYS", "beside", "tls_files"]

TLS_KEYS: Final = ("certificate", "key", "client_ca", "ca")
"""Keys of TLS tables that name files."""

_LISTENERS: Final = (("transports", "*"), ("ingress", "*"), ("entry", "*"), ("admin",))


def beside(table: Mapping[str, object], directory: Path) -> dict[str, object]:
    """``table`` with the files that it names for TLS looked up in ``directory``, unless they are absolute.

    Args:
        table: Of a server's or a client's configuration, unchecked.
        directory: That of the configuration file.
    """
    placed = dict(table)
    for path in _tls_paths(table):
        inner = placed
        for key in path:
            inner[key] = copied = dict(inner[key])  # type: ignore[call-overload]
            inner = copied
        for key, name in _named(inner):
            inner[key] = os.fspath(directory / name)
    return placed


def tls_files(table: Mapping[str, object], directory: Path) -> list[str]:
    """Names of the files that ``beside`` looks up."""
    found = []
    for path in _tls_paths(table):
        inner: object = table
        for key in path:
            assert isinstance(inner, Mapping)
            inner = inner[key]
        assert isinstance(inner, Mapping)
        found += [os.fspath(directory / name) for _, name in _named(inner)]
    return found


def _named(tls: Mapping[str, object]) -> list[tuple[str, str]]:
    # An empty name is refused later, and must not become that of the directory.
    return [(key, name) for key in TLS_KEYS if isinstance(name := tls.get(key), str) and name]


def _tls_paths(table: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    """Where TLS tables are: below each listener, at the top of a client's."""
    if isinstance(table.get("tls"), Mapping):
        yield ("tls",)
    for path in _LISTENERS:
        for found in _matches(table, path):
            yield (*found, "tls")


def _matches(table: Mapping[str, object], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not path:
        if isinstance(table.get("tls"), Mapping):
            yield ()
        return
    first, *rest = path
    for key, inner in table.items():
        if first in ("*", key) and isinstance(inner, Mapping):
            for found in _matches(inner, tuple(rest)):
                yield (key, *found)
