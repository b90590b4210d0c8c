"""The entrances that a server or a client has now, and those that are leaving."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio

from tunnel.app.background import Background
from tunnel.app.entrance import Entrance
from tunnel.ports.inspection import ListenerView, Readiness
from tunnel.ports.telemetry import Listening, Telemetry

__all__ = ["Entrances"]

_VISITED: Final = frozenset({"ingress", "entry"})
"""Kinds of those through which conversations come in."""


class Entrances:
    """Opens entrances, and replaces them by others of the same names.

    An entrance is the same as another when it has the same name and the same place; of a group's own listeners the
    place alone tells. Those that stay are not disturbed: what is set otherwise by now, they follow where they are. One
    that is leaving stays if it is wanted again and still has its address, which nobody else could have.

    Args:
        background: Where they run, once entered.
        telemetry: Told where they listen.
    """

    def __init__(self, background: Background, telemetry: Telemetry) -> None:
        self._background = background
        self._telemetry = telemetry
        self._current: dict[str, Entrance] = {}
        self._leaving: dict[Entrance, _Departure] = {}
        self._staying: set[Entrance] = set()
        """Those of them that were told to stay; ``replace`` has them among the others again."""
        self._accepting: set[Entrance] = set()

    @property
    def addresses(self) -> dict[str, str]:
        """Where they listen, by name."""
        return {name: each.address for name, each in self._current.items()}

    def address(self, name: str) -> str:
        """Where the one of this name listens; empty when there is none."""
        found = self._current.get(name)
        return "" if found is None else found.address

    def views(self) -> tuple[ListenerView, ...]:
        """Each of them, for those who look at it."""
        return tuple(
            ListenerView(each.kind, each.name, each.address, accepting=each in self._accepting)
            for each in self._current.values()
        )

    def readiness(self, phase: str) -> Readiness:
        """Whether visitors should be sent here.

        Args:
            phase: Why not, whatever the listeners say; empty for no such reason.
        """
        deaf = [f"{name} does not accept" for name, each in self._current.items() if each not in self._accepting]
        reasons = ([phase] if phase else []) + deaf
        return Readiness(not reasons, tuple(reasons))

    # -- coming

    def bind(self, made: Mapping[str, Entrance]) -> None:
        """Have these as the first, and take their addresses.

        Raises:
            ListenError: One cannot be had.
        """
        self._current = dict(made)
        for entrance in made.values():
            entrance.bind()

    async def open(self) -> None:
        """Return once all that were bound let in whoever comes.

        Raises:
            ListenError: One cannot.
        """
        for entrance in self._current.values():
            await self._open(entrance)

    @asynccontextmanager
    async def letting_in(self, made: Mapping[str, Entrance]) -> AsyncIterator[None]:
        """Open those of ``made`` that are not there; all of them, or none and raise. ``replace`` comes next.

        When the body raises they are closed again too, and those that were told to stay go on leaving.

        Raises:
            ListenError: An address cannot be had.
        """
        arriving: list[Entrance] = []
        opened: list[Entrance] = []
        try:
            arriving += [each for each in made.values() if self._kept(each) is None and not await self._stays(each)]
            for entrance in arriving:
                entrance.bind()
            for entrance in arriving:
                await self._open(entrance)
                opened.append(entrance)
            for entrance in self._staying:
                self._telemetry.record(Listening(entrance.kind, entrance.name, entrance.address))
            yield
        except BaseException:
            _stop(arriving)
            for entrance in self._staying:
                self._send_off(entrance, self._leaving[entrance].until)
            self._staying.clear()
            with anyio.CancelScope(shield=True):
                await _leave(opened, 0)
            raise

    def replace(self, made: Mapping[str, Entrance], *, grace_s: float) -> None:
        """Have these from now on, which were let in or are there already.

        Args:
            made: By name.
            grace_s: What those inside the others get, in seconds.
        """
        until = anyio.current_time() + grace_s
        before, self._current = self._current, {name: self._kept(each) or each for name, each in made.items()}
        for entrance in self._staying:
            del self._leaving[entrance]
        self._staying.clear()
        for name, entrance in self._current.items():
            if entrance is not made[name] and entrance.settings != made[name].settings:
                entrance.follow(made[name])
        for entrance in before.values():
            if entrance not in self._current.values():
                self._send_off(entrance, until)

    def _kept(self, made: Entrance) -> Entrance | None:
        there = (*self._current.values(), *self._staying)
        return next((each for each in there if made.continues(each)), None)

    async def _stays(self, made: Entrance) -> bool:
        """Whether one that was leaving stays in the place of ``made``."""
        for entrance, departure in tuple(self._leaving.items()):
            if made.continues(entrance) and await entrance.stay(made):
                departure.called_off = True
                self._staying.add(entrance)
                return True
        return False

    async def _open(self, entrance: Entrance) -> None:
        await self._background.start(partial(self._serve, entrance))
        self._telemetry.record(Listening(entrance.kind, entrance.name, entrance.address))

    async def _serve(self, entrance: Entrance, started: Callable[[], None]) -> None:
        def accepts() -> None:
            self._accepting.add(entrance)
            started()

        try:
            await entrance.serve(accepts)
        finally:
            self._accepting.discard(entrance)

    # -- going

    async def drain(self, grace_s: float) -> None:
        """Let no visitor in any more, and return when those inside have left, or been sent away after ``grace_s``."""
        await _leave((each for each in self._all() if each.kind in _VISITED), grace_s)

    def close(self) -> None:
        """Let no client in any more, and drop their links; operators look on to the end."""
        _stop(each for each in self._all() if each.kind not in _VISITED)

    def stop(self) -> None:
        """End all at once, whatever they were doing."""
        _stop(self._all())

    def _all(self) -> tuple[Entrance, ...]:
        return (*self._current.values(), *self._leaving)

    def _send_off(self, entrance: Entrance, until: float) -> None:
        departure = self._leaving[entrance] = _Departure(until)
        self._background.tasks.start_soon(self._see_off, entrance, departure)

    async def _see_off(self, entrance: Entrance, departure: _Departure) -> None:
        if not departure.called_off and await entrance.leave(max(0.0, departure.until - anyio.current_time())):
            del self._leaving[entrance]


class _Departure:
    """What one that is leaving was told.

    Args:
        until: When it is to send away those inside.
    """

    __slots__ = ("called_off", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.called_off = False
        """It is to stay after all."""


def _stop(entrances: Iterable[Entrance]) -> None:
    for entrance in entrances:
        entrance.stop()


async def _leave(entrances: Iterable[Entrance], grace_s: float) -> None:
    async with anyio.create_task_group() as tasks:
        for entrance in entrances:
            tasks.start_soon(entrance.leave, grace_s)
