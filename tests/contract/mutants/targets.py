"""Targets with one mistake each. Their twin is the TCP upstream, which keeps every rule."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import anyio
from contract.test_targets import TcpHarness

from tunnel.adapters.tcp.upstream import TcpUpstream
from tunnel.domain.envelopes import BodyChunk, Opening, SessionPayload, TcpOpen
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream, UpstreamTarget
from tunnel.testing.mutants import Mutant
from tunnel.testing.target import TARGET, rules

Receive = Callable[[], Awaitable[SessionPayload]]
Send = Callable[[SessionPayload], Awaitable[None]]


class Seen(Stream):
    """A conversation as a mutant has its twin see it."""

    def __init__(self, stream: Stream, *, receive: Receive | None = None, send: Send | None = None) -> None:
        self._stream = stream
        self.receive = receive or stream.receive  # type: ignore[method-assign]
        self.send = send or stream.send  # type: ignore[method-assign]

    @property
    def head(self) -> Opening:
        return self._stream.head

    async def receive(self) -> SessionPayload:
        raise AssertionError("replaced")

    async def send(self, payload: SessionPayload) -> None:
        raise AssertionError("replaced")

    def reset(self, error: SessionError) -> None:
        self._stream.reset(error)


@asynccontextmanager
async def _ungrouped() -> AsyncIterator[None]:
    """Raises what a task of a group raised, and takes a visitor that wants no more for no failure."""
    try:
        yield
    except BaseExceptionGroup as group:
        if not isinstance(group.exceptions[0], SendingStopped):
            raise group.exceptions[0] from None


class Around(UpstreamTarget):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: TcpUpstream) -> None:
        self.twin = twin

    async def handle(self, stream: Stream) -> None:
        await self.twin.handle(stream)

    async def aclose(self) -> None:
        await self.twin.aclose()


class Truncating(Around):
    """Loses the rest of a large piece."""

    async def handle(self, stream: Stream) -> None:
        async def send(payload: Any) -> None:
            await stream.send(BodyChunk(payload.data[:60_000], end=payload.end))

        await self.twin.handle(Seen(stream, send=send))


class Gathering(Around):
    """Keeps the fourth piece to itself until something more is said."""

    async def handle(self, stream: Stream) -> None:
        taken: list[SessionPayload] = []
        kept: list[SessionPayload] = []

        async def receive() -> SessionPayload:
            taken.append(kept.pop() if kept else await stream.receive())
            if len(taken) == 4 and not taken[-1].end:
                kept.append(await stream.receive())
            return taken[-1]

        await self.twin.handle(Seen(stream, receive=receive))


class OneByOne(Around):
    """Has conversations wait for each other."""

    async def handle(self, stream: Stream) -> None:
        self._lock = getattr(self, "_lock", None) or anyio.Lock()
        async with self._lock:
            await self.twin.handle(stream)


class Omnivorous(Around):
    """Takes any conversation for one of its own."""

    async def handle(self, stream: Stream) -> None:
        if isinstance(stream.head, TcpOpen):
            await self.twin.handle(stream)
        else:
            await stream.send(BodyChunk(b"", end=True))


class Mislabelling(Around):
    """Says that it was slow when nobody was there."""

    async def handle(self, stream: Stream) -> None:
        try:
            await self.twin.handle(stream)
        except SessionError as exc:
            if exc.code is ErrorCode.UPSTREAM_UNREACHABLE:
                raise SessionError(ErrorCode.UPSTREAM_TIMEOUT, exc.message) from exc
            raise


class Completing(Around):
    """Ends what was cut off as if it were whole."""

    async def handle(self, stream: Stream) -> None:
        said = False

        async def send(payload: SessionPayload) -> None:
            nonlocal said
            said = True
            await stream.send(payload)

        def forgive(error: SessionError) -> None:
            raise error

        seen = Seen(stream, send=send)
        seen.reset = forgive  # type: ignore[method-assign]
        try:
            await self.twin.handle(seen)
        except SessionError:
            if not said or len(stream.taken) != 1 or self.twin._closed or stream.failed:  # type: ignore[attr-defined]
                raise
            await stream.send(BodyChunk(b"", end=True))


class Hoarding(Around):
    """Takes from the upstream whatever it says, and keeps it for the visitor."""

    async def handle(self, stream: Stream) -> None:
        give, take = anyio.create_memory_object_stream[SessionPayload](100_000)

        async def pass_on() -> None:
            end = False
            while not end:
                payload = await take.receive()
                end = payload.end
                await stream.send(payload)

        async with _ungrouped(), give, take, anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on)
            await self.twin.handle(Seen(stream, send=give.send))
            give.close()


class Greedy(Around):
    """Takes from the visitor whatever it says, and keeps it for the upstream."""

    async def handle(self, stream: Stream) -> None:
        give, take = anyio.create_memory_object_stream[SessionPayload](100_000)

        async def fetch() -> None:
            end = False
            while not end:
                payload = await stream.receive()
                end = payload.end
                await give.send(payload)

        async with _ungrouped(), give, take, anyio.create_task_group() as tasks:
            tasks.start_soon(fetch)
            await self.twin.handle(Seen(stream, receive=take.receive))
            tasks.cancel_scope.cancel()


class Offended(Around):
    """Takes a visitor that wants no more for a failure."""

    async def handle(self, stream: Stream) -> None:
        async def send(payload: SessionPayload) -> None:
            try:
                await stream.send(payload)
            except SendingStopped as exc:
                raise SessionError(ErrorCode.INTERNAL, "nobody listens") from exc

        await self.twin.handle(Seen(stream, send=send))


class Polite(Around):
    """Tells the upstream that a visitor which broke off has said all it had to."""

    async def handle(self, stream: Stream) -> None:
        async def receive() -> SessionPayload:
            try:
                return await stream.receive()
            except SessionError:
                return BodyChunk(b"", end=True)

        async def send(payload: SessionPayload) -> None:
            with suppress(SessionError):
                await stream.send(payload)

        await self.twin.handle(Seen(stream, receive=receive, send=send))


class Unstoppable(Around):
    """Goes on for a while when it is cancelled."""

    async def handle(self, stream: Stream) -> None:
        with anyio.move_on_after(4, shield=True):
            await self.twin.handle(stream)


class Patient(Around):
    """Closes when what is under way is over, and not before."""

    _running = 0

    async def handle(self, stream: Stream) -> None:
        self._running += 1
        try:
            await self.twin.handle(stream)
        finally:
            self._running -= 1

    async def aclose(self) -> None:
        if not self._running:
            await self.twin.aclose()


class Reopening(Around):
    """Answers again when it was closed."""

    async def handle(self, stream: Stream) -> None:
        self.twin._closed = False
        await self.twin.handle(stream)


class Littering(Around):
    """Leaves a socket of each that it closes."""

    litter: Final[list[Any]] = []

    async def aclose(self) -> None:
        await self.twin.aclose()
        self.litter.append(socket.socket())


class _Harness(TcpHarness):
    def __init__(self, made: Callable[[TcpUpstream], UpstreamTarget]) -> None:
        self._made = made

    def target(self, address: str) -> UpstreamTarget:  # type: ignore[override]
        return self._made(super().target(address))


MUTANTS: Final = tuple(
    Mutant(name, TARGET, rule, partial(_Harness, made), others=frozenset(others))
    for name, rule, made, others in (
        ("loses the rest of a large piece", rules.WHOLE, Truncating, ()),
        ("waits for more before it passes anything on", rules.STREAMS, Gathering, ()),
        ("has conversations wait for each other", rules.TOGETHER, OneByOne, ()),
        ("answers in protocols it does not know", rules.PROTOCOL, Omnivorous, ()),
        ("takes nobody for somebody slow", rules.UNREACHABLE, Mislabelling, ()),
        ("ends what was cut off as if whole", rules.CUT, Completing, ()),
        ("hoards what the upstream says", rules.SLOW, Hoarding, ()),
        ("hoards what the visitor says", rules.DEAF, Greedy, ()),
        ("takes a visitor that wants no more for a failure", rules.STOPPED, Offended, ()),
        ("ends in order what a visitor broke off", rules.RESET, Polite, ()),
        ("does not hear of being cancelled", rules.CANCEL, Unstoppable, ()),
        ("waits with closing", rules.CLOSE, Patient, ()),
        ("answers though it is closed", rules.CLOSED, Reopening, ()),
        ("leaves a socket behind", rules.NOTHING_LEFT, Littering, ()),
    )
)
