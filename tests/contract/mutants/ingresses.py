"""Ingresses with one mistake each. Their twin is that of TCP, which keeps every rule."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
from contract.mutants.targets import Passing, Seen
from contract.test_ingresses import TcpHarness

from tunnel.adapters.tcp.ingress import TcpIngress
from tunnel.domain.envelopes import BodyChunk
from tunnel.domain.errors import ListenError, SessionError
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.testing.ingress import INGRESS, rules
from tunnel.testing.mutants import Mutant


class Changed(ProxyTarget):
    """A target as a mutant has its twin see it."""

    def __init__(self, handle: Callable[[Stream], Awaitable[None]]) -> None:
        self._handle = handle

    async def handle(self, stream: Stream) -> None:
        await self._handle(stream)


class Around(Passing, Ingress):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: TcpIngress) -> None:
        self.twin = twin

    @property
    def name(self) -> str:
        return self.twin.name

    @property
    def address(self) -> str:
        return self.twin.address

    def bind(self) -> None:
        self.twin.bind()

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        await self.twin.serve(Changed(partial(self.handle, target)), started)

    async def handle(self, target: ProxyTarget, stream: Stream) -> None:
        await target.handle(Seen(self, stream))

    def follow(self, successor: Self) -> None:
        self.twin.follow(successor.twin)

    def drain(self, grace_s: float) -> None:
        self.twin.drain(grace_s)


class Hopeful(Around):
    """Listens somewhere else when an address is taken."""

    def bind(self) -> None:
        try:
            self.twin.bind()
        except ListenError:
            self.twin._listen = "127.0.0.1:0"
            self.twin.bind()


class Stuttering(Around):
    """Says twice that it has started."""

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        await super().serve(target, lambda: (started(), started())[0])


class Eager(Around):
    """Starts though it was drained."""

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        if self.twin._drained:
            started()
        await super().serve(target, started)


class Anonymous(Around):
    """Does not say where conversations come from."""

    async def handle(self, target: ProxyTarget, stream: Stream) -> None:
        seen = Seen(self, stream)
        seen.peer = ""
        await target.handle(seen)


class Doubling(Around):
    """Says small pieces of an answer twice when they follow a large one."""

    async def send(self, seen: Seen, payload: Any) -> None:
        await super().send(seen, payload)
        if seen.kept and not payload.end:
            await super().send(seen, payload)
        seen.kept = [payload] if len(payload.data) > 1000 else []


class Gathering(Around):
    """Keeps the fourth piece to itself until something more is said."""

    async def receive(self, seen: Seen) -> Any:
        payload = seen.kept.pop() if seen.kept else await super().receive(seen)
        if seen.taken == 4 and not payload.end:
            seen.kept.append(await super().receive(seen))
        return payload


class Consoling(Around):
    """Tells the visitors of targets that fail that there was nothing to be had."""

    async def handle(self, target: ProxyTarget, stream: Stream) -> None:
        try:
            await super().handle(target, stream)
        except SessionError:
            await stream.send(BodyChunk(b"", end=True))


class Completing(Around):
    """Ends what its target did not end."""

    async def handle(self, target: ProxyTarget, stream: Stream) -> None:
        await super().handle(target, stream)
        if not stream._connection.said_end:  # type: ignore[attr-defined]
            await stream.send(BodyChunk(b"", end=True))


class Oblivious(Around):
    """Does not tell targets that their visitor has left."""

    async def handle(self, target: ProxyTarget, stream: Stream) -> None:
        stream._connection.on_lost = None  # type: ignore[attr-defined]
        await super().handle(target, stream)


class Hoarding(Around):
    """Takes from its target whatever it says, and keeps it for the visitor."""

    async def send(self, seen: Seen, payload: Any) -> None:
        seen.stream._connection.transport.set_write_buffer_limits(1 << 40)  # type: ignore[attr-defined]
        await anyio.lowlevel.checkpoint()
        await super().send(seen, payload)


class Greedy(Around):
    """Takes from the visitor whatever it says, and keeps it for its target."""

    async def handle(self, target: ProxyTarget, stream: Stream) -> None:
        stream._connection._reading_paused = True  # type: ignore[attr-defined]
        await super().handle(target, stream)


class Restarting(Around):
    """Cuts conversations off to follow a successor."""

    def follow(self, successor: Self) -> None:
        super().follow(successor)
        for visit in self.twin._visits.values():
            visit._connection.reset()


class Abrupt(Around):
    """Gives nobody time when it is drained."""

    def drain(self, grace_s: float) -> None:
        super().drain(0)


class Endless(Around):
    """Gives everybody all the time there is."""

    def drain(self, grace_s: float) -> None:
        super().drain(grace_s * 1000)


class Keeping(Around):
    """Keeps its address when it is cancelled."""

    kept: Final[list[socket.socket]] = []

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        try:
            await super().serve(target, started)
        except asyncio.CancelledError:
            host, _, port = self.address.rpartition(":")
            self.kept.append(socket.create_server((host, int(port))))
            raise


class Littering(Around):
    """Leaves a task of each conversation."""

    litter: Final[list[asyncio.Task[None]]] = []

    async def handle(self, target: ProxyTarget, stream: Stream) -> None:
        self.litter.append(asyncio.create_task(anyio.sleep_forever()))
        await super().handle(target, stream)


class _Harness(TcpHarness):
    def __init__(self, made: Callable[[TcpIngress], Ingress]) -> None:
        self._made = made

    def ingress(self, address: str | None = None) -> Ingress:  # type: ignore[override]
        return self._made(super().ingress(address))


class _Unsuspecting(_Harness):
    peer = ""


class _Narrow(_Harness):
    buffered_bytes = 64 * 1024


class _Boundless(_Harness):
    buffered_bytes = 1 << 40


class _Hasty(_Harness):
    quiet_s = 0.001


class Slow(Around):
    """Says each piece after a while."""

    async def send(self, seen: Seen, payload: Any) -> None:
        await anyio.sleep(0.02)
        await super().send(seen, payload)


TWINS: Final = (partial(_Harness, Around),)

MUTANTS: Final = (
    *(
        Mutant(name, INGRESS, rule, partial(_Harness, made), others=frozenset(others))
        for name, rule, made, others in (
            ("listens elsewhere when an address is taken", rules.BIND, Hopeful, ()),
            ("says twice that it has started", rules.STARTED, Stuttering, ()),
            ("starts though it was drained", rules.UNUSED, Eager, ()),
            ("does not say where visitors come from", rules.HEAD, Anonymous, ()),
            ("repeats pieces of answers", rules.WHOLE, Doubling, ()),
            ("waits for more before it passes anything on", rules.STREAMS, Gathering, ()),
            ("ends answers of targets that fail", rules.FAILS, Consoling, ()),
            ("ends answers that its target did not end", rules.CUT, Completing, ()),
            ("does not tell of visitors that left", rules.LEAVE, Oblivious, ()),
            ("hoards what the target says", rules.SLOW, Hoarding, ()),
            ("hoards what the visitor says", rules.DEAF, Greedy, ()),
            ("cuts conversations off to follow", rules.FOLLOW, Restarting, ()),
            ("cuts conversations off when it is drained", rules.DRAIN, Abrupt, ()),
            ("waits for ever when it is drained", rules.GRACE, Endless, ()),
            ("keeps its address when it is cancelled", rules.CANCEL, Keeping, ()),
            ("leaves a task behind", rules.NOTHING_LEFT, Littering, ()),
        )
    ),
    # What harnesses declare, claimed without cause, and denied; figures too low and too high.
    Mutant("knows where visitors come from, and denies it", INGRESS, rules.HEAD, partial(_Unsuspecting, Around)),
    Mutant(
        "buffers more than it is said to",
        INGRESS,
        rules.SLOW,
        partial(_Narrow, Around),
        others=frozenset({rules.DEAF}),
    ),
    Mutant("is said to buffer more than anybody needs", INGRESS, rules.SLOW, partial(_Boundless, Around)),
    Mutant("goes on when it is said to wait", INGRESS, rules.SLOW, partial(_Hasty, Slow)),
)
