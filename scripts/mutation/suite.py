"""The unit tests of the domain, collected once in this process and run one by one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, is_hypothesis_test, settings

from mutation.tree import ROOT

__all__ = ["Suite", "collected"]

_PYTEST = (
    "-q",
    "--capture=no",
    "--assert=plain",
    "--tb=no",
    *("-p", "no:cacheprovider", "-p", "no:xdist"),
    "--rootdir",
    str(ROOT),
)

#: A failure is all that is asked for: it is not made smaller, and what is not found soon is not looked for.
EXAMPLES = 30


class Suite:
    """Tests of this process, by their ids."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._items = {item.nodeid: item for item in items}
        self._failed = False
        for item in items:
            _limit_examples(item)

    @property
    def ids(self) -> list[str]:
        return list(self._items)

    def present(self, wanted: Sequence[str]) -> list[str]:
        """The wanted tests that are here, and where one is not, the others of the same function.

        Values of parameters, which ids show, may come from what a mutant has changed.
        """
        missing = {_function(test) for test in wanted if test not in self._items}
        found = [test for test in wanted if test in self._items]
        return found + [test for test in self._items if _function(test) in missing and test not in wanted]

    def passes(self, item_id: str, following_id: str | None) -> bool:
        """Run one test; what it shares with the one that follows is kept for that."""
        self._failed = False
        item = self._items[item_id]
        following = None if following_id is None else self._items[following_id]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return not self._failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed


def _function(test: str) -> str:
    return test.partition("[")[0]


def _limit_examples(item: pytest.Item) -> None:
    machine = getattr(item, "cls", None)
    test = getattr(item, "obj", None)
    if machine is not None and isinstance(getattr(machine, "settings", None), settings):
        machine.settings = _few(machine.settings)
    elif test is not None and is_hypothesis_test(test):
        function = getattr(test, "__func__", test)
        function._hypothesis_internal_use_settings = _few(function._hypothesis_internal_use_settings)


def _few(asked: settings) -> settings:
    return settings(
        asked,
        max_examples=min(asked.max_examples, EXAMPLES),
        phases=(Phase.explicit, Phase.generate),
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
    )


class _Work:
    """Has pytest collect, and does something else than running it all."""

    def __init__(self, work: Callable[[Suite], None]) -> None:
        self._work = work
        self.exit: SystemExit | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            # Some file could not be imported.
            return True
        # What is run here is told by other means.
        session.config.pluginmanager.unregister(name="terminalreporter")
        suite = Suite(session.items)
        session.config.pluginmanager.register(suite)
        try:
            self._work(suite)
        except SystemExit as exit:
            # pytest would take it for a fault of its own.
            self.exit = exit
        return True


def collected(files: Sequence[Path], work: Callable[[Suite], None]) -> None:
    """Do ``work`` with the tests of the files; nothing when they cannot be collected.

    Raises:
        SystemExit: ``work`` did.
    """
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    sys.dont_write_bytecode = True
    # The long variants are no unit tests.
    os.environ.pop("TUNNEL_FULL", None)
    plugin = _Work(work)
    pytest.main([*_PYTEST, *map(str, files)], plugins=[plugin])
    if plugin.exit is not None:
        raise plugin.exit
