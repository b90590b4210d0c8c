"""The contract of admin listeners.

One is put under it by a harness that makes some and looks at them as operators do, and the thin class::

    class PortholeHarness(AdminHarness):
        def listener(self, word: str, address: str | None = None) -> AdminListener: ...
        async def look(self, address: str, word: str) -> bool: ...

    class TestPorthole(AdminContract):
        harness = PortholeHarness
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import anyio

from tunnel.domain.errors import ListenError
from tunnel.ports.admin import AdminListener
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.harness import Harness
from tunnel.testing.holdings import left_behind
from tunnel.testing.patience import PATIENCE_S, expect_within, until

__all__ = ["ADMIN", "AdminContract", "AdminHarness", "LookFailed"]


class LookFailed(Exception):
    """Nobody answers there."""


class AdminHarness(Harness, ABC):
    """Makes admin listeners of one kind, and looks at what they show."""

    binds: ClassVar[bool] = True
    """Whether an address belongs to one listener at a time, and ``linger`` works; if not, several may have it."""

    @abstractmethod
    def listener(self, word: str, address: str | None = None) -> AdminListener:
        """A new one that is not bound.

        Args:
            word: Whoever knows it may look, and nobody else.
            address: Where it is to listen, as another told its address; None for anywhere.
        """

    @abstractmethod
    async def look(self, address: str, word: str) -> bool:
        """Ask for what is shown, and tell whether it was.

        Raises:
            LookFailed: Nobody answers there.
        """

    async def linger(self, address: str) -> None:
        """Connect, and ask nothing, until the harness is closed."""
        raise NotImplementedError("what binds an address can be connected to, and has this")


ADMIN: Final = Contract[AdminHarness]("admin")

BIND: Final = ADMIN.state(
    "O-BIND", "Once bound, it tells its real address; one that is taken is a `ListenError`, and binding twice is once."
)
STARTED: Final = ADMIN.state("O-STARTED", "It says once that it has started, and from then on answers who may look.")
FOLLOW: Final = ADMIN.state("O-FOLLOW", "Following a successor, it answers as that would, where it is.")
UNUSED: Final = ADMIN.state("O-UNUSED", "Stopped before it serves, it gives its address back and serves nobody.")
STOP: Final = ADMIN.state(
    "O-STOP", "Stopped, it accepts nobody, returns soon, whoever is there, and gives its address back."
)
CANCEL: Final = ADMIN.state("O-CANCEL", "Cancelled, it returns, and gives its address back.")
NOTHING_LEFT: Final = ADMIN.state("O-NOTHING-LEFT", "When it has returned, no task, thread or socket is left behind.")

_RELEASE_S: Final = 1.5


class _Service:
    """A listener that serves in a task of its own."""

    def __init__(self, listener: AdminListener) -> None:
        self.listener = listener
        self.scope = anyio.CancelScope()
        self.starts = 0
        self.over = anyio.Event()

    async def run(self) -> None:
        try:
            with self.scope:
                await self.listener.serve(self._started)
        finally:
            self.over.set()

    def _started(self) -> None:
        self.starts += 1

    async def returned(self) -> None:
        await expect_within("`serve` returning", self.over.wait)


@asynccontextmanager
async def _serving(harness: AdminHarness, word: str = "word") -> AsyncIterator[_Service]:
    """A listener that has started; it is cancelled in the end, if it still serves."""
    service = _Service(harness.listener(word))
    service.listener.bind()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        try:
            await until("having started", lambda: service.starts > 0)
            yield service
        finally:
            with anyio.CancelScope(shield=True):
                service.scope.cancel()
                await service.returned()


async def _look(harness: AdminHarness, address: str, word: str) -> bool:
    return await expect_within("an answer", lambda: harness.look(address, word), 2 * PATIENCE_S)


async def _free(harness: AdminHarness, address: str) -> None:
    """See that nobody answers at an address, and that another may have it."""
    try:
        await _look(harness, address, "word")
    except LookFailed:
        pass
    else:
        raise AssertionError("somebody answers still")
    another = harness.listener("word", address)
    another.bind()
    another.stop()


@ADMIN.shows(BIND)
async def addresses_are_real_and_taken_once(harness: AdminHarness) -> None:
    listener = harness.listener("word")
    listener.bind()
    address = listener.address
    try:
        assert not address.endswith(":0"), f"it says that it listens at {address}"
        listener.bind()
        assert listener.address == address, "binding again moved it"
        another = harness.listener("word", address)
        try:
            another.bind()
            refused = False
        except ListenError:
            refused = True
        another.stop()
        assert refused is harness.binds, "a taken address was taken again" if harness.binds else "it binds after all"
    finally:
        listener.stop()


@ADMIN.shows(STARTED)
async def started_means_that_it_answers(harness: AdminHarness) -> None:
    async with _serving(harness) as service:
        assert await _look(harness, service.listener.address, "word"), "who may look is shown nothing"
        assert not await _look(harness, service.listener.address, "guess"), "who may not look is shown something"
        service.listener.stop()
        await service.returned()
    assert service.starts == 1, f"it started {service.starts} times"


@ADMIN.shows(FOLLOW)
async def successors_are_followed(harness: AdminHarness) -> None:
    async with _serving(harness) as service:
        address = service.listener.address
        for word in ("another", "a third"):
            service.listener.follow(harness.listener(word, address))
            assert service.listener.address == address, "it is elsewhere"
            assert await _look(harness, address, word), "who may look now is shown nothing"
            assert not await _look(harness, address, "word"), "who might look before is shown something"
        service.listener.stop()
        await service.returned()


@ADMIN.shows(UNUSED)
async def stopped_early_it_serves_nobody(harness: AdminHarness) -> None:
    listener = harness.listener("word")
    listener.stop()
    listener = harness.listener("word")
    listener.bind()
    listener.stop()
    service = _Service(listener)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        try:
            await service.returned()
        finally:
            service.scope.cancel()
    assert not service.starts, "it started though it was stopped"
    await _free(harness, listener.address)


@ADMIN.shows(STOP)
async def stopping_ends_it_soon(harness: AdminHarness) -> None:
    async with _serving(harness) as service:
        address = service.listener.address
        if harness.binds:
            await harness.linger(address)
        await _look(harness, address, "word")
        service.listener.stop()
        await service.returned()
        service.listener.stop()
    await _free(harness, address)


@ADMIN.shows(CANCEL)
async def cancelled_it_lets_go_of_everything(harness: AdminHarness) -> None:
    async with _serving(harness) as service:
        if harness.binds:
            await harness.linger(service.listener.address)
        service.scope.cancel()
        await service.returned()
    await _free(harness, service.listener.address)


@ADMIN.shows(NOTHING_LEFT)
async def nothing_is_left(harness: AdminHarness) -> None:
    async def use() -> None:
        async with _serving(harness) as service:
            await _look(harness, service.listener.address, "word")
            service.listener.stop()
            await service.returned()

    left = await left_behind(use, patience_s=_RELEASE_S)
    assert not left, f"left behind: {', '.join(left)}"


class AdminContract(ContractTests[AdminHarness]):
    """What every admin listener must do; a subclass says which harness, and may choose the event loop."""

    contract = ADMIN
