"""The signals that tell a command to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

__all__ = ["HANGUP", "StopSignals", "stop_numbers"]

HANGUP: Final[int | None] = getattr(signal, "SIGHUP", None)
"""Windows has none."""


def stop_numbers(*, hangup: bool) -> tuple[int, ...]:
    """Which signals end a command in order.

    Args:
        hangup: Whether SIGHUP is one: its terminal was closed. Where it is ignored already it stays so, as with ssh:
            who started the command by nohup wants it to go on.
    """
    numbers: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)
    if hangup and HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN:
        numbers = (*numbers, HANGUP)
    return numbers


class StopSignals:
    """Listens to SIGTERM and SIGINT while entered.

    ``told`` is set by the first one, which also calls ``on_told``; ``hurried`` by the second, which calls ``on_hurry``.

    Args:
        hangup: Whether SIGHUP tells to stop, too. It never hurries: of a terminal that is closed one comes from the
            system and another from the shell.
    """

    def __init__(self, *, hangup: bool = False) -> None:
        self.told: Final = asyncio.Event()
        self.hurried = False
        self.on_told: Callable[[], None] | None = None
        self.on_hurry: Callable[[], None] | None = None
        self._numbers: Final = stop_numbers(hangup=hangup)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in self._numbers:
            arrived = self._hung_up if number == HANGUP else self._arrived
            try:
                self._loop.add_signal_handler(number, arrived)
            except NotImplementedError:
                # Windows: the handler runs between bytecodes, and must wake the loop itself.
                signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self._arrived))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore(self._numbers)

    def _arrived(self) -> None:
        if not self.told.is_set():
            self._tell()
            return
        self.hurried = True
        self._restore(tuple(number for number in self._numbers if number != HANGUP))
        if self.on_hurry is not None:
            self.on_hurry()

    def _hung_up(self) -> None:
        if not self.told.is_set():
            self._tell()

    def _tell(self) -> None:
        self.told.set()
        if self.on_told is not None:
            self.on_told()

    def _restore(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            try:
                self._loop.remove_signal_handler(number)
            except NotImplementedError:
                signal.signal(number, default)
