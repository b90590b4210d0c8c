"""Targets with one mistake each. Their twin is the TCP upstream, which keeps every rule."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import anyio
from contract.peers import tcp_server
from contract.test_applications import AsgiHarness
from contract.test_targets import TcpHarness

from tunnel.adapters.tcp.upstream import TcpUpstream
from tunnel.domain.envelopes import BodyChunk, Opening, SessionPayload, TcpOpen
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream, UpstreamTarget
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import Mutant
from tunnel.testing.target import TARGET, Behaviour, Peer, rules


class Seen(Stream):
    """A conversation as a mutant has its twin see it: the mutant passes on what is said."""

    def __init__(self, mutant: Passing, stream: Stream) -> None:
        self._mutant = mutant
        self.stream = stream
        self.peer = stream.peer
        self.taken = 0
        """How often more was asked for."""
        self.kept: list[Any] = []
        """Whatever the mutant keeps of it."""

    @property
    def head(self) -> Opening:
        return self.stream.head

    async def receive(self) -> SessionPayload:
        self.taken += 1
        return await self._mutant.receive(self)

    async def send(self, payload: SessionPayload) -> None:
        await self._mutant.send(self, payload)

    def reset(self, error: SessionError) -> None:
        self._mutant.reset(self, error)


class Passing:
    """Passes on what is said in a conversation; the mistakes are in what is changed of this."""

    async def receive(self, seen: Seen) -> Any:
        return await seen.stream.receive()

    async def send(self, seen: Seen, payload: Any) -> None:
        await seen.stream.send(payload)

    def reset(self, seen: Seen, error: SessionError) -> None:
        seen.stream.reset(error)


class Around(Passing, UpstreamTarget):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: Any) -> None:
        self.twin = twin

    async def handle(self, stream: Stream) -> None:
        await self.twin.handle(Seen(self, stream))

    async def aclose(self) -> None:
        await self.twin.aclose()


class Truncating(Around):
    """Loses the rest of a large piece."""

    async def send(self, seen: Seen, payload: Any) -> None:
        await super().send(seen, BodyChunk(payload.data[:60_000], end=payload.end))


class Gathering(Around):
    """Keeps the fourth piece to itself until something more is said."""

    async def receive(self, seen: Seen) -> Any:
        payload = seen.kept.pop() if seen.kept else await super().receive(seen)
        if seen.taken == 4 and not payload.end:
            seen.kept.append(await super().receive(seen))
        return payload


class OneByOne(Around):
    """Has conversations wait for each other."""

    async def handle(self, stream: Stream) -> None:
        self._lock = getattr(self, "_lock", None) or anyio.Lock()
        async with self._lock:
            await super().handle(stream)


class Omnivorous(Around):
    """Takes any conversation for one of its own."""

    async def handle(self, stream: Stream) -> None:
        if isinstance(stream.head, TcpOpen):
            await super().handle(stream)
        else:
            await stream.send(BodyChunk(b"", end=True))


class Mislabelling(Around):
    """Says that it was slow when nobody was there."""

    async def handle(self, stream: Stream) -> None:
        try:
            await super().handle(stream)
        except SessionError as exc:
            if exc.code is ErrorCode.UPSTREAM_UNREACHABLE:
                raise SessionError(ErrorCode.UPSTREAM_TIMEOUT, exc.message) from exc
            raise


class Completing(Around):
    """Ends what was cut off as if it were whole."""

    async def handle(self, stream: Stream) -> None:
        seen = Seen(self, stream)
        await self.twin.handle(seen)
        if seen.kept:
            await stream.send(BodyChunk(b"", end=True))

    def reset(self, seen: Seen, error: SessionError) -> None:
        seen.kept.append(error)


class Hoarding(Around):
    """Takes from the upstream whatever it says, and keeps it for the visitor."""

    async def send(self, seen: Seen, payload: Any) -> None:
        for connection in self.twin._shared.open:
            connection._reading_paused = True  # type: ignore[attr-defined]
        await super().send(seen, payload)


class Greedy(Around):
    """Takes from the visitor whatever it says, and keeps it for the upstream."""

    async def receive(self, seen: Seen) -> Any:
        for connection in self.twin._shared.open:
            connection.transport.set_write_buffer_limits(1 << 40)  # type: ignore[attr-defined]
        return await super().receive(seen)


class Offended(Around):
    """Takes a visitor that wants no more for a failure."""

    async def send(self, seen: Seen, payload: Any) -> None:
        try:
            await super().send(seen, payload)
        except SendingStopped as exc:
            raise SessionError(ErrorCode.INTERNAL, "nobody listens") from exc


class Polite(Around):
    """Tells the upstream that a visitor which broke off has said all it had to."""

    async def receive(self, seen: Seen) -> Any:
        try:
            return await super().receive(seen)
        except SessionError:
            return BodyChunk(b"", end=True)

    async def send(self, seen: Seen, payload: Any) -> None:
        with suppress(SessionError):
            await super().send(seen, payload)


class Reusing(Around):
    """Gives the next conversation what the one before had not taken."""

    _left = b""

    async def send(self, seen: Seen, payload: Any) -> None:
        left, self._left = self._left, b""
        try:
            await super().send(seen, BodyChunk(left + payload.data, end=payload.end))
        except BaseException:
            self._left = payload.data
            raise


class Unstoppable(Around):
    """Takes its time when it is cancelled."""

    async def handle(self, stream: Stream) -> None:
        try:
            await super().handle(stream)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3.5)
            raise


class Patient(Around):
    """Closes when what is under way is over, and not before."""

    _running = 0

    async def handle(self, stream: Stream) -> None:
        self._running += 1
        try:
            await super().handle(stream)
        finally:
            self._running -= 1

    async def aclose(self) -> None:
        if not self._running:
            await self.twin.aclose()


class Reopening(Around):
    """Answers again when it was closed."""

    async def handle(self, stream: Stream) -> None:
        self.twin._closed = False
        await super().handle(stream)


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


class _InProcess(AsgiHarness):
    """Of mutants whose rule waits in vain: an application in virtual time."""

    def __init__(self, made: Callable[[UpstreamTarget], UpstreamTarget]) -> None:
        self._made = made

    @asynccontextmanager
    async def peer(self, behaviour: Behaviour) -> AsyncIterator[Peer]:
        async with super().peer(behaviour) as peer:
            peer.target = self._made(peer.target)
            yield peer


class _Boastful(TcpHarness):
    protocols = frozenset({"tcp", "http"})


class _Modest(AsgiHarness):
    protocols = frozenset({"http"})


class _Rooted(TcpHarness):
    def nowhere(self) -> None:  # type: ignore[override]
        pass


class Somewhere(UpstreamTarget):
    """Answers, wherever it leads to."""

    async def handle(self, stream: Stream) -> None:
        await stream.send(BodyChunk(b"", end=True))

    async def aclose(self) -> None:
        pass


class _Lost(AsgiHarness):
    def nowhere(self) -> Somewhere:
        return Somewhere()


class _Narrow(TcpHarness):
    buffered_bytes = 64 * 1024


class _Wide(AsgiHarness):
    buffered_bytes = 16 * 1024 * 1024


class _Boundless(TcpHarness):
    buffered_bytes = 1 << 40


class _Hasty(TcpHarness):
    """Takes a peer that speaks slowly for one that waits."""

    quiet_s = 0.001

    @staticmethod
    def server(peer: Peer) -> AbstractAsyncContextManager[str]:
        converse = peer.converse

        async def slowly(read: Any, write: Any) -> bool:
            async def write_late(piece: bytes) -> None:
                await anyio.sleep(0.02)
                await write(piece)

            return await converse(read, write_late)

        peer.converse = slowly  # type: ignore[method-assign]
        return tcp_server(peer)


TWINS: Final = (partial(_Harness, Around),)
VIRTUAL_TWINS: Final = (partial(_InProcess, Around),)

MUTANTS: Final = (
    *(
        Mutant(name, TARGET, rule, partial(_Harness, made), others=frozenset(others))
        for name, rule, made, others in (
            ("loses the rest of a large piece", rules.WHOLE, Truncating, ()),
            ("answers in protocols it does not know", rules.PROTOCOL, Omnivorous, ()),
            ("takes nobody for somebody slow", rules.UNREACHABLE, Mislabelling, ()),
            ("ends what was cut off as if whole", rules.CUT, Completing, ()),
            ("hoards what the upstream says", rules.SLOW, Hoarding, ()),
            ("hoards what the visitor says", rules.DEAF, Greedy, ()),
            ("takes a visitor that wants no more for a failure", rules.STOPPED, Offended, ()),
            ("ends in order what a visitor broke off", rules.RESET, Polite, ()),
            ("gives one conversation what another had not taken", rules.APART, Reusing, ()),
            ("answers though it is closed", rules.CLOSED, Reopening, ()),
            ("leaves a socket behind", rules.NOTHING_LEFT, Littering, ()),
        )
    ),
    *(
        Mutant(name, TARGET, rule, partial(_InProcess, made), VIRTUAL)
        for name, rule, made in (
            ("waits for more before it passes anything on", rules.STREAMS, Gathering),
            ("has conversations wait for each other", rules.TOGETHER, OneByOne),
            ("does not hear of being cancelled", rules.CANCEL, Unstoppable),
            ("waits with closing", rules.CLOSE, Patient),
        )
    ),
    # What harnesses declare, claimed without cause, and denied; figures too low and too high.
    Mutant("refuses a protocol, and claims to answer it", TARGET, rules.PROTOCOL, _Boastful),
    Mutant("answers a protocol, and denies it", TARGET, rules.PROTOCOL, _Modest, VIRTUAL),
    Mutant("is reached by a socket, and is said to be there always", TARGET, rules.UNREACHABLE, _Rooted),
    Mutant("is there always, and is said to be nowhere", TARGET, rules.UNREACHABLE, _Lost, VIRTUAL),
    Mutant("buffers more than it is said to", TARGET, rules.SLOW, _Narrow, others=frozenset({rules.DEAF})),
    Mutant("buffers far less than it is said to", TARGET, rules.SLOW, _Wide, VIRTUAL),
    Mutant("is said to buffer more than anybody needs", TARGET, rules.SLOW, _Boundless),
    Mutant("goes on when it is said to wait", TARGET, rules.SLOW, _Hasty),
)
