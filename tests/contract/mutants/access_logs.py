"""Access logs with one mistake each. Their twin writes on a thread and keeps every rule."""

from __future__ import annotations

import socket
from typing import Any, Final

import anyio
import anyio.lowlevel
from contract.test_access_logs import ROOM, FakeHarness, ThreadedHarness

from tunnel.domain.errors import ConfigurationError
from tunnel.ports.access_log import AccessLog
from tunnel.ports.telemetry import SessionEnded
from tunnel.testing.access_log import ACCESS_LOG, AccessLogHarness, rules
from tunnel.testing.mutants import Mutant


class Around(AccessLog):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: Any, harness: Any) -> None:
        self.twin = twin
        self.harness = harness

    async def start(self) -> None:
        await self.twin.start()

    def wants(self) -> bool:
        return self.twin.wants()

    def record(self, record: SessionEnded) -> None:
        self.twin.record(record)

    def lost(self) -> tuple[int, str] | None:
        return self.twin.lost()

    def reopen(self) -> None:
        self.twin.reopen()

    async def aclose(self) -> None:
        await self.twin.aclose()


class Vague(Around):
    def wants(self) -> Any:
        return 1


class Nameless(Around):
    async def start(self) -> None:
        try:
            await super().start()
        except ConfigurationError as error:
            raise ConfigurationError(error.expected) from error


class Stuttering(Around):
    def record(self, record: SessionEnded) -> None:
        if not self.harness.blocked and record.request_id == "kit-30.":
            super().record(record)
        super().record(record)


class Plain(Around):
    """Writes some texts as they are."""

    def record(self, record: SessionEnded) -> None:
        super().record(record)
        if "\x9b" in record.path:
            with self.harness._path.open("a") as file:
                file.write(record.path)


class Proud(Around):
    def lost(self) -> tuple[int, str] | None:
        return None


class Clinging(Around):
    """Goes on writing to the file that was taken away."""

    def record(self, record: SessionEnded) -> None:
        aside = self.harness._folder / "access.log.1"
        if aside.exists():
            aside.write_text(f"{record.request_id}\n")
        else:
            super().record(record)


class Needy(Around):
    """Can be closed only if it was started."""

    started = False

    async def start(self) -> None:
        self.started = True
        await super().start()

    async def aclose(self) -> None:
        if not self.started:
            raise RuntimeError("not started")
        await super().aclose()


class Cancellable(Around):
    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        await super().aclose()


class Littering(Around):
    litter: Final[list[Any]] = []

    async def aclose(self) -> None:
        await super().aclose()
        self.litter.append(socket.socket())


def _harness(made: Any, room: int = ROOM) -> type[AccessLogHarness]:
    class Harness(ThreadedHarness):
        blocked = False
        max_records = room

        def _log(self, path: Any) -> Any:
            return made(super()._log(path), self)

        def block(self) -> None:
            self.blocked = True
            super().block()

    return Harness


class _Unready(ThreadedHarness):
    def faulty(self) -> None:
        pass


class _Lossless(ThreadedHarness):
    loses = False


class _Lossy(FakeHarness):
    loses = True
    waiting_records = 10

    def block(self) -> None:
        pass

    unblock = block


class _Narrow(ThreadedHarness):
    waiting_records = 10


class _Wide(ThreadedHarness):
    waiting_records = 9000


class _Boundless(ThreadedHarness):
    waiting_records = 20_000


class _Unspoilt(ThreadedHarness):
    def spoil(self) -> None:
        pass


class _Fixed(ThreadedHarness):
    rotates = False


class _Movable(FakeHarness):
    rotates = True

    def take_away(self) -> list[str]:
        return []


TWINS: Final = (_harness(Around),)

MUTANTS: Final = (
    Mutant("has room for everything", ACCESS_LOG, rules.WAITS_NOT, _harness(Around, 100_000)),
    *(
        Mutant(name, ACCESS_LOG, rule, _harness(made))
        for name, rule, made in (
            ("wants one", rules.WANTS, Vague),
            ("does not say which key is wrong", rules.START, Nameless),
            ("writes a record twice", rules.WRITES, Stuttering),
            ("writes what terminals obey", rules.LINE, Plain),
            ("loses and says nothing", rules.TOLD, Proud),
            ("writes to what was taken away", rules.REOPEN, Clinging),
            ("cannot be closed before it is started", rules.CLOSE, Needy),
            ("does not close when it is cancelled", rules.CANCELS, Cancellable),
            ("leaves a socket behind", rules.NOTHING_LEFT, Littering),
        )
    ),
    # What harnesses declare, claimed without cause, and denied; figures too low and too high.
    Mutant("loses nothing, and claims to", ACCESS_LOG, rules.WAITS_NOT, _Lossy, others=frozenset({rules.TOLD})),
    *(
        Mutant(name, ACCESS_LOG, rule, harness)
        for name, rule, harness in (
            ("cannot be made ready always, and denies it", rules.START, _Unready),
            ("loses what it has no room for, and denies it", rules.TOLD, _Lossless),
            ("has more wait than it is said to", rules.WAITS_NOT, _Narrow),
            ("has far less wait than it is said to", rules.WAITS_NOT, _Wide),
            ("is said to have more wait than anybody needs", rules.WAITS_NOT, _Boundless),
            ("writes on, and is said to be kept from it", rules.TOLD, _Unspoilt),
            ("writes to a file, and denies that it can be taken away", rules.REOPEN, _Fixed),
            ("writes to no file, and claims that it can be taken away", rules.REOPEN, _Movable),
        )
    ),
)
