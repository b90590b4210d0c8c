"""Middleware with one mistake each. Its twin edits header fields, which keeps every rule; here it does so for HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
from contract.relayed import Relayed
from contract.test_middlewares import HeadersHarness, IpFilterHarness, RedirectHarness
from msgspec.structs import replace

from tunnel.adapters.middleware.headers import HeadersMiddleware, HeadersOptions
from tunnel.adapters.middleware.ip_filter import IpFilterMiddleware
from tunnel.domain.envelopes import BodyChunk, HttpResponse, Opening, SessionPayload, Trailers
from tunnel.domain.errors import ConfigurationError, ErrorCode, SendingStopped, SessionError
from tunnel.domain.refusal import Refusal
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import StreamAround
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.ingress.scripts import FLOOD_BYTES
from tunnel.testing.middleware import MIDDLEWARE, MiddlewareHarness, rules
from tunnel.testing.mutants import Mutant
from tunnel.testing.target import Dialect


class Noting(StreamAround):
    """Knows whether a direction has ended."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.heard_end = stream.head.end
        self.said_end = False

    async def receive(self) -> SessionPayload:
        payload = await super().receive()
        self.heard_end = payload.end
        return payload

    async def send(self, payload: SessionPayload) -> None:
        self.said_end = payload.end
        await super().send(payload)


class Twin(HeadersMiddleware):
    """Keeps every rule; the mistakes are in what is changed of this."""

    protocols = frozenset({"http"})

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        noting = Noting(stream)
        await super().handle(noting, target)
        await self.afterwards(noting)

    async def afterwards(self, noting: Noting) -> None:
        """Do what is left to do with a conversation whose target is done with it."""


class Relaying(Twin):
    """Has what is said passed on by tasks of their own."""

    heard_room = said_room = 0
    """Envelopes that are kept for whom does not listen."""

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        relayed = Relayed(stream, heard_room=self.heard_room, said_room=self.said_room)
        async with _ungrouped(), anyio.create_task_group() as tasks:
            tasks.start_soon(relayed.hear)
            tasks.start_soon(relayed.say)
            await super().handle(relayed, target)
            await relayed.all_said()
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _ungrouped() -> AsyncIterator[None]:
    """Raises what a task of a group raised."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


class Lenient(Twin):
    def __init__(self, options: HeadersOptions) -> None:
        try:
            super().__init__(options)
        except ConfigurationError:
            super().__init__(HeadersOptions())


class Boastful(Twin):
    protocols = frozenset({"http", "https"})


class Deduplicating(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        fields = stream.head.headers  # type: ignore[union-attr]
        once = dict(zip(fields[::2], fields[1::2], strict=True))
        head = replace(stream.head, headers=tuple(part for pair in once.items() for part in pair))
        await super().handle(StreamAround(stream, head=head), target)


class Anonymising(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        stream = StreamAround(stream)
        stream.peer = ""
        await super().handle(stream, target)


class Truncating(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        class Truncated(StreamAround):
            async def send(self, payload: SessionPayload) -> None:
                if isinstance(payload, BodyChunk):
                    payload = BodyChunk(payload.data[:60_000], end=payload.end)
                await super().send(payload)

        await super().handle(Truncated(stream), target)


class Trimming(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        class Trimmed(StreamAround):
            async def send(self, payload: SessionPayload) -> None:
                await super().send(BodyChunk(end=True) if isinstance(payload, Trailers) else payload)

        await super().handle(Trimmed(stream), target)


class Silencing(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        class Finals(StreamAround):
            async def send(self, payload: SessionPayload) -> None:
                if not (isinstance(payload, HttpResponse) and payload.status < 200):
                    await super().send(payload)

        await super().handle(Finals(stream), target)


class Gathering(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        class Gathered(StreamAround):
            taken = 0
            kept: SessionPayload | None = None

            async def receive(self) -> SessionPayload:
                payload, self.kept = self.kept or await super().receive(), None
                self.taken += 1
                if self.taken == 4 and not payload.end:
                    self.kept = await super().receive()
                return payload

        await super().handle(Gathered(stream), target)


class OneByOne(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        self._lock = getattr(self, "_lock", None) or anyio.Lock()
        async with self._lock:
            await super().handle(stream, target)


class Choosy(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        if stream.head.method not in ("GET", "POST"):  # type: ignore[union-attr]
            raise Refusal(ErrorCode.FORBIDDEN, "who asks like that")
        await super().handle(stream, target)


class Insistent(IpFilterMiddleware):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        try:
            await super().handle(stream, target)
        except Refusal:
            await stream.send(BodyChunk(b"no"))
            raise


class Retrying(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        try:
            await super().handle(stream, target)
        except SessionError as error:
            if error.code is not ErrorCode.UPSTREAM_UNREACHABLE:
                raise
            await super().handle(stream, target)


class Soothing(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        try:
            await super().handle(stream, target)
        except SessionError as error:
            if error.code is not ErrorCode.OVERLOADED:
                raise
            await stream.send(HttpResponse(503, end=True))


class Completing(Twin):
    async def afterwards(self, noting: Noting) -> None:
        if not noting.said_end:
            with suppress(SendingStopped):
                await noting.send(BodyChunk(end=True))


class Polite(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        class Ended(StreamAround):
            async def receive(self) -> SessionPayload:
                try:
                    return await super().receive()
                except SessionError:
                    return BodyChunk(end=True)

        await super().handle(Ended(stream), target)


class Tireless(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        class Unstopped(StreamAround):
            async def send(self, payload: SessionPayload) -> None:
                with suppress(SendingStopped):
                    await super().send(payload)

        await super().handle(Unstopped(stream), target)


class Attentive(Twin):
    async def afterwards(self, noting: Noting) -> None:
        while not noting.heard_end:
            await noting.receive()


class Hoarding(Relaying):
    said_room = 20


class Greedy(Relaying):
    heard_room = 20


class Indignant(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        try:
            await super().handle(stream, target)
        except anyio.get_cancelled_exc_class():
            raise RuntimeError("cancelled") from None


class Resentful(Twin):
    failures = 0

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        if self.failures > 9:
            raise Refusal(ErrorCode.OVERLOADED, "enough")
        try:
            await super().handle(stream, target)
        except SessionError:
            self.failures += 1
            raise


class Remembering(Twin):
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        self.visitors = getattr(self, "visitors", set()) | {(stream.peer, 1)}
        await super().handle(stream, target)


class Littering(Twin):
    litter: Final[list[Any]] = []

    async def aclose(self) -> None:
        self.litter.append(socket.socket())


def _harness(made: Any, of: type[MiddlewareHarness] = HeadersHarness) -> type[MiddlewareHarness]:
    return type("Harness", (of,), {"kind": made})


def _declaring(of: type[MiddlewareHarness] = HeadersHarness, **declared: object) -> type[MiddlewareHarness]:
    return type("Harness", (of,), {"kind": Twin if of is HeadersHarness else of.kind, **declared})


async def _nobody(harness: MiddlewareHarness, dialect: Dialect) -> None:
    """Is turned away."""


class _Strict(IpFilterHarness):
    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening]:
        return self.make(), dialect.head()


TWINS: Final = (
    _harness(Twin),
    _harness(Relaying),
    type("Holding", (HeadersHarness,), {"kind": Hoarding, "buffered_bytes": 20 * FLOOD_BYTES}),
)

MUTANTS: Final = (
    Mutant("answers and fails", MIDDLEWARE, rules.TURNS_AWAY, _harness(Insistent, IpFilterHarness), VIRTUAL),
    *(
        Mutant(name, MIDDLEWARE, rule, _harness(made), VIRTUAL)
        for name, rule, made in (
            ("takes options that are wrong", rules.SETTINGS, Lenient),
            ("knows a protocol that nobody else does", rules.PROTOCOLS, Boastful),
            ("keeps one field of each name", rules.HEAD, Deduplicating),
            ("does not tell where visitors come from", rules.PEER, Anonymising),
            ("loses the rest of a large piece", rules.WHOLE, Truncating),
            ("loses trailers", rules.END, Trimming),
            ("loses informational responses", rules.ANSWER, Silencing),
            ("waits for more before it passes anything on", rules.STREAMS, Gathering),
            ("has conversations wait for each other", rules.TOGETHER, OneByOne),
            ("turns away what it does not know", rules.TURNS_AWAY, Choosy),
            ("asks a second time", rules.ONCE, Retrying),
            ("answers in place of a target that failed", rules.FAILS, Soothing),
            ("ends what was cut off as if whole", rules.CUT, Completing),
            ("ends in order what a visitor broke off", rules.RESET, Polite),
            ("speaks on to who wants no more", rules.STOPPED, Tireless),
            ("hears out who was answered", rules.EARLY, Attentive),
            ("hoards what the target says", rules.SLOW, Hoarding),
            ("hoards what the visitor says", rules.DEAF, Greedy),
            ("makes a failure of being cancelled", rules.CANCEL, Indignant),
            ("bears a grudge", rules.FORGETS, Resentful),
            ("remembers everybody", rules.BOUNDED, Remembering),
            ("leaves a socket behind", rules.NOTHING_LEFT, Littering),
        )
    ),
    # What harnesses declare, claimed without cause, and denied; figures too high.
    *(
        Mutant(name, MIDDLEWARE, rule, harness, VIRTUAL)
        for name, rule, harness in (
            ("refuses options, and denies it", rules.SETTINGS, _declaring(wrong=())),
            ("says the same each time, and claims that it is another", rules.HEAD, _declaring(own_fields={b"x-added"})),
            ("says nothing of its own, and claims to", rules.HEAD, _declaring(own_fields={b"x-nothing"})),
            ("lets all pass, and claims to turn some away", rules.TURNS_AWAY, _Strict),
            ("turns some away, and denies it", rules.TURNS_AWAY, _declaring(RedirectHarness, turning_away=_nobody)),
            ("holds nothing, and claims to", rules.SLOW, _declaring(buffered_bytes=1 << 20)),
            ("remembers nobody, and claims to", rules.FORGETS, _declaring(remembers={})),
            ("is said to keep more than anybody needs", rules.BOUNDED, _declaring(kept_conversations=10**6)),
        )
    ),
)
