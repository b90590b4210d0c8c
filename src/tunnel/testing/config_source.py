"""The contract of configuration sources.

A source is put under it by a harness that changes what is kept, and the thin class::

    class StoneTabletHarness(ConfigSourceHarness):
        def write(self, value: int) -> None: ...
        def spoil(self) -> None: ...
        def remove(self) -> None: ...
        def source(self) -> ConfigSource[int]: ...

    class TestStoneTablets(ConfigSourceContract):
        harness = StoneTabletHarness
        event_loop = VIRTUAL
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import anyio
from hypothesis import strategies as st

from tunnel.domain.errors import ConfigurationError
from tunnel.ports.config_source import ConfigSource
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.declared import expect_at_most
from tunnel.testing.harness import Harness

__all__ = ["CONFIG_SOURCE", "ConfigSourceContract", "ConfigSourceHarness"]


class ConfigSourceHarness(Harness, ABC):
    """Keeps settings, of which a check needs no more than one number, where sources of one kind find them."""

    notice_s: ClassVar[float] = 5.0
    """Seconds in which a source tells of a change, 5 at most; virtual ones where the event loop's are."""

    @abstractmethod
    def write(self, value: int) -> None:
        """Keep ``value`` from now on, whatever was kept before."""

    @abstractmethod
    def spoil(self) -> None:
        """Keep something that is no settings."""

    @abstractmethod
    def remove(self) -> None:
        """Keep nothing, so that there is nothing to read."""

    @abstractmethod
    def source(self) -> ConfigSource[int]:
        """A new source of what is kept; its ``load`` returns the number."""


CONFIG_SOURCE: Final = Contract[ConfigSourceHarness]("config_source")

LOADS: Final = CONFIG_SOURCE.state("F-LOADS", "What is loaded is what is kept at that moment, each time.")
WRONG: Final = CONFIG_SOURCE.state(
    "F-WRONG", "What cannot be read or is wrong is a `ConfigurationError` that names the source, and is not remembered."
)
TELLS: Final = CONFIG_SOURCE.state("F-TELLS", "A change is told of, whether it came before or during the wait for it.")
QUIET: Final = CONFIG_SOURCE.state("F-QUIET", "Each change is told of once, and what did not change not at all.")
SPOILED: Final = CONFIG_SOURCE.state("F-SPOILED", "Becoming unreadable is a change, once; so is being readable again.")
CANCELS: Final = CONFIG_SOURCE.state(
    "F-CANCELS", "A wait that is cancelled loses no change: the next one tells of what came meanwhile."
)


_MOST_NOTICE_S: Final = 5.0
"""Longest that whoever changes something waits for it to be noticed."""


async def _told(harness: ConfigSourceHarness, source: ConfigSource[int]) -> bool:
    """Whether a change is told of in time."""
    with anyio.move_on_after(harness.notice_s) as waiting:
        await source.changed()
    return not waiting.cancelled_caught


def _loaded(harness: ConfigSourceHarness, value: int) -> ConfigSource[int]:
    """A source as it is when one begins to follow it."""
    harness.write(value)
    source = harness.source()
    assert source.load() == value, "something else was loaded than is kept"
    return source


def _error(source: ConfigSource[int]) -> ConfigurationError:
    try:
        loaded = source.load()
    except ConfigurationError as error:
        return error
    raise AssertionError(f"{loaded} was loaded of what is wrong")


@CONFIG_SOURCE.shows(LOADS, drawn=st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=5))
async def what_is_kept_is_loaded(harness: ConfigSourceHarness, values: list[int]) -> None:
    harness.write(values[0])
    source = harness.source()
    for value in values:
        harness.write(value)
        for _ in range(2):
            loaded = source.load()
            assert loaded == value, f"{loaded} was loaded; {value} is kept"


@CONFIG_SOURCE.shows(WRONG)
async def what_is_wrong_names_the_source(harness: ConfigSourceHarness) -> None:
    source = _loaded(harness, 1)
    for number, break_it in enumerate((harness.spoil, harness.remove)):
        break_it()
        for _ in range(2):
            error = _error(source)
            assert source.name, "the source has no name"
            assert error.source == source.name, f"the error names {error.source!r} instead of {source.name!r}"
            assert error.expected, "the error does not say what was expected"
        harness.write(number)
        assert source.load() == number, "what was mended is not loaded"


@CONFIG_SOURCE.shows(TELLS)
async def changes_are_told_of(harness: ConfigSourceHarness) -> None:
    expect_at_most("notice_s", harness.notice_s, _MOST_NOTICE_S)
    source = _loaded(harness, 1)
    harness.write(2)
    assert await _told(harness, source), "a change before the wait was not told of"
    assert source.load() == 2, "something else was loaded than is kept"
    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(2 * harness.notice_s) as waiting:
            tasks.start_soon(_write_later, harness, 3)
            await source.changed()
    assert not waiting.cancelled_caught, "a change during the wait was not told of"
    assert source.load() == 3, "something else was loaded than is kept"


async def _write_later(harness: ConfigSourceHarness, value: int) -> None:
    await anyio.sleep(harness.notice_s / 2)
    harness.write(value)


@CONFIG_SOURCE.shows(QUIET)
async def each_change_is_told_of_once(harness: ConfigSourceHarness) -> None:
    source = _loaded(harness, 1)
    assert not await _told(harness, source), "told of a change when there was none"
    harness.write(2)
    await _told(harness, source)
    source.load()
    assert not await _told(harness, source), "told of the same change twice"
    harness.write(3)
    source.load()
    assert not await _told(harness, source), "told of a change that was loaded before"


@CONFIG_SOURCE.shows(SPOILED)
async def becoming_unreadable_is_a_change(harness: ConfigSourceHarness) -> None:
    for break_it in (harness.spoil, harness.remove):
        source = _loaded(harness, 1)
        break_it()
        assert await _told(harness, source), "not told that nothing can be read"
        _error(source)
        assert not await _told(harness, source), "told again and again that nothing can be read"
        harness.write(2)
        assert await _told(harness, source), "not told that it can be read again"
        assert source.load() == 2, "something else was loaded than is kept"


@CONFIG_SOURCE.shows(CANCELS)
async def cancelled_waits_lose_nothing(harness: ConfigSourceHarness) -> None:
    source = _loaded(harness, 1)
    value = 1
    # At any moment of a wait, and of the reading that goes on in it.
    for part in (0.0, 0.1, 0.2, 0.3, 0.4):
        value += 1
        harness.write(value)
        with anyio.move_on_after(part * harness.notice_s) as waiting:
            await source.changed()
        if waiting.cancelled_caught:
            assert await _told(harness, source), f"a change was lost by cancelling after {part * harness.notice_s} s"
        assert source.load() == value, "something else was loaded than is kept"


class ConfigSourceContract(ContractTests[ConfigSourceHarness]):
    """What every source must do; a subclass says which harness, and may choose the event loop."""

    contract = CONFIG_SOURCE
