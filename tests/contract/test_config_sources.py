"""Configuration sources under their contract, in virtual time."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from support.fake_source import FakeSource
from support.virtual_loop import VirtualLoop

from tunnel.adapters.config_file import FileConfigSource
from tunnel.domain.errors import ConfigurationError
from tunnel.testing.config_source import ConfigSourceContract, ConfigSourceHarness
from tunnel.testing.event_loops import VIRTUAL


class FileHarness(ConfigSourceHarness):
    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tunnel-"))
        self._path = self._folder / "settings.json"

    def write(self, value: int) -> None:
        self._path.write_text(json.dumps({"value": value}))

    def spoil(self) -> None:
        self._path.write_text("{")

    def remove(self) -> None:
        self._path.unlink()

    def source(self) -> FileConfigSource[Any]:
        return FileConfigSource(self._path, lambda table: table["value"])

    def close(self) -> None:
        shutil.rmtree(self._folder)


class FakeHarness(ConfigSourceHarness):
    def __init__(self) -> None:
        self._kept: int | ConfigurationError = 0
        self._sources: list[FakeSource[int]] = []

    def _keep(self, value: int | ConfigurationError) -> None:
        self._kept = value
        for source in self._sources:
            source.put(value)

    def write(self, value: int) -> None:
        self._keep(value)

    def spoil(self) -> None:
        self._keep(ConfigurationError("expected a number", source="settings.toml"))

    def remove(self) -> None:
        self._keep(ConfigurationError("expected a file that can be read", source="settings.toml"))

    def source(self) -> FakeSource[int]:
        self._sources.append(FakeSource(self._kept))
        return self._sources[-1]


class TestFileConfigSource(ConfigSourceContract):
    harness = FileHarness
    event_loop = ("asyncio", {"loop_factory": VirtualLoop})


class TestFileConfigSourceOnTrio(ConfigSourceContract):
    harness = FileHarness
    event_loop = VIRTUAL


class TestFakeSource(ConfigSourceContract):
    harness = FakeHarness
    event_loop = VIRTUAL
