"""Configuration sources with one mistake each. Their twin is that of files, which keeps every rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import anyio
from contract.test_config_sources import FileHarness

from tunnel.adapters.config_file import FileConfigSource
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.config_source import ConfigSource
from tunnel.testing import config_source as rules
from tunnel.testing.config_source import CONFIG_SOURCE
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import Mutant


class Around(ConfigSource[Any]):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: FileConfigSource[Any]) -> None:
        self.twin = twin

    @property
    def name(self) -> str:
        return self.twin.name

    def load(self) -> Any:
        return self.twin.load()

    async def changed(self) -> None:
        await self.twin.changed()


class Clamping(Around):
    def load(self) -> Any:
        return min(super().load(), 2**16)


class Anonymous(Around):
    def load(self) -> Any:
        try:
            return super().load()
        except ConfigurationError as error:
            raise ConfigurationError(error.expected, key_path=error.key_path) from error


class Lapsing(Around):
    """Looks only for as long as most changes take."""

    async def changed(self) -> None:
        with anyio.move_on_after(2.2):
            await super().changed()
            return
        await anyio.sleep_forever()


class Doubting(Around):
    """Does not know of a change that was loaded before it was told of."""

    def load(self) -> Any:
        if not hasattr(self, "_again"):
            self._again = self.twin.load()
            return self._again
        return FileConfigSource(self.name, lambda table: table["value"]).load()


class Blind(Around):
    """Does not take being gone for a change."""

    async def changed(self) -> None:
        while True:
            await super().changed()
            try:
                super().load()
            except ConfigurationError:
                continue
            return


class Losing(Around):
    async def changed(self) -> None:
        try:
            await super().changed()
        except anyio.get_cancelled_exc_class():
            self.twin._watch.note([self.name])
            raise


def _harness(made: Callable[[FileConfigSource[Any]], ConfigSource[Any]]) -> Callable[[], FileHarness]:
    class Harness(FileHarness):
        def source(self) -> ConfigSource[Any]:  # type: ignore[override]
            return made(super().source())

    return Harness


TWINS: Final = (_harness(Around),)


class _Leisurely(FileHarness):
    notice_s = 5.5


MUTANTS: Final = (
    *(
        Mutant(name, CONFIG_SOURCE, rule, _harness(made), VIRTUAL, frozenset(others))
        for name, rule, made, others in (
            ("loads no large number", rules.LOADS, Clamping, ()),
            ("does not say where the mistake is", rules.WRONG, Anonymous, ()),
            ("stops looking after a while", rules.TELLS, Lapsing, ()),
            ("tells of changes that were loaded before", rules.QUIET, Doubting, ()),
            ("is silent about what is gone", rules.SPOILED, Blind, ()),
            ("forgets a change when it is cancelled", rules.CANCELS, Losing, ()),
        )
    ),
    Mutant("is said to need longer than anybody waits", CONFIG_SOURCE, rules.TELLS, _Leisurely, VIRTUAL),
)
