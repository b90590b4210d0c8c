"""Admin listeners with one mistake each. Their twin is that on uvicorn, which keeps every rule."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

import anyio
from contract.test_admin_listeners import FakeHarness, UvicornHarness
from support.fake_admin import FakeAdmin

from tunnel.domain.errors import ListenError
from tunnel.ports.admin import AdminListener
from tunnel.testing import admin as rules
from tunnel.testing.admin import ADMIN, AdminHarness
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import Mutant


class Around(AdminListener):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: Any) -> None:
        self.twin = twin

    @property
    def address(self) -> str:
        return self.twin.address

    def bind(self) -> None:
        self.twin.bind()

    async def serve(self, started: Callable[[], None]) -> None:
        await self.twin.serve(started)

    def follow(self, successor: Any) -> None:
        self.twin.follow(successor.twin)

    def stop(self) -> None:
        self.twin.stop()


class Foreign(Around):
    def bind(self) -> None:
        try:
            super().bind()
        except ListenError as exc:
            raise OSError("address in use") from exc


class Announcing(Around):
    async def serve(self, started: Callable[[], None]) -> None:
        def twice() -> None:
            started()
            started()

        await super().serve(twice)


class Stubborn(Around):
    def follow(self, successor: Any) -> None:
        del successor


class Late(Around):
    """Says that it started though it was stopped before."""

    async def serve(self, started: Callable[[], None]) -> None:
        if self.twin._stopped:
            started()
        await super().serve(started)


class Strict(Around):
    stopped = False

    def stop(self) -> None:
        if self.stopped:
            raise RuntimeError("stopped already")
        self.stopped = True
        super().stop()


class Undead(FakeAdmin):
    async def serve(self, started: Callable[[], None]) -> None:
        try:
            await super().serve(started)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(6)
            raise


class Littering(Around):
    litter: Final[list[Any]] = []

    async def serve(self, started: Callable[[], None]) -> None:
        await super().serve(started)
        self.litter.append(socket.socket())


def _harness(made: Any) -> type[AdminHarness]:
    class Harness(UvicornHarness):
        def listener(self, word: str, address: str | None = None) -> Any:
            return made(super().listener(word, address))

    return Harness


class _InMemory(FakeHarness):
    """Of mutants whose rule waits in vain: nobody connects, and time is virtual."""


class _Deaf(_InMemory):
    made = Undead


class _Exclusive(FakeHarness):
    binds = True

    async def linger(self, address: str) -> None:
        del address


class _Shared(UvicornHarness):
    binds = False


TWINS: Final = (_harness(Around),)
VIRTUAL_TWINS: Final = (_InMemory,)

MUTANTS: Final = (
    *(
        Mutant(name, ADMIN, rule, _harness(made))
        for name, rule, made in (
            ("lets the error of the system out", rules.BIND, Foreign),
            ("says twice that it has started", rules.STARTED, Announcing),
            ("does not follow", rules.FOLLOW, Stubborn),
            ("starts though it was stopped", rules.UNUSED, Late),
            ("cannot be stopped again", rules.STOP, Strict),
            ("leaves a socket behind", rules.NOTHING_LEFT, Littering),
        )
    ),
    Mutant("does not hear of being cancelled", ADMIN, rules.CANCEL, _Deaf, VIRTUAL),
    # What harnesses declare, claimed without cause, and denied.
    Mutant("shares its address, and claims to bind it", ADMIN, rules.BIND, _Exclusive, VIRTUAL),
    Mutant("binds its address, and denies it", ADMIN, rules.BIND, _Shared),
)
