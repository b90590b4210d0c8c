"""What a caller sees of a gRPC call, in a form in which two calls can be compared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import grpc
import grpc.aio

Pairs = tuple[tuple[str, str | bytes], ...]

ADDED = ("x-forwarded-for", "x-request-id")
"""What the tunnel adds to a caller's metadata, as its documentation says; the last to those of the answer too."""


@dataclass(frozen=True)
class Observation:
    """A call from its caller's side. The order of metadata counts within a key."""

    initial: Pairs
    messages: tuple[bytes, ...]
    code: grpc.StatusCode
    details: str | None
    trailing: Pairs


def by_key(pairs: Iterable[tuple[str, str | bytes]] | None, *, without: tuple[str, ...] = ()) -> Pairs:
    """Metadata sorted by key, in its own order within each."""
    return tuple(sorted(((k, v) for k, v in pairs or () if k not in without), key=lambda pair: pair[0]))


MADE_UP = (grpc.StatusCode.INTERNAL, "Internal error from Core")
"""What grpc.aio says of a call in which a write failed, until the status comes that made it fail."""


async def observe(
    channel: grpc.aio.Channel,
    method: str,
    *messages: bytes,
    metadata: Pairs = (),
    timeout_s: float | None = 10,
    half_close: bool = True,
    greeted: bool = False,
) -> Observation:
    """Make a call, say all of ``messages`` as far as they are taken, and note what comes back.

    ``greeted`` waits for initial metadata before the half-close. A status right behind them can overtake them within
    grpc.aio, which then has none: on a busy machine one such call in some thousands, also one made directly.
    """
    call = channel.stream_stream(method, None, None)(None, metadata=metadata, timeout=timeout_s)
    try:
        for message in messages:
            await call.write(message)
        if greeted:
            await call.initial_metadata()
        if half_close:
            await call.done_writing()
    except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
        pass  # ended early: what came back tells how
    return await outcome(call)


async def outcome(call) -> Observation:
    """What comes back of ``call`` from now on."""
    received = []
    try:
        async for message in call:
            received.append(message)  # noqa: PERF401 - what came before a failure is kept
    except grpc.aio.AioRpcError:
        pass
    for _ in range(1000):
        if (await call.code(), await call.details()) != MADE_UP:
            break
        await asyncio.sleep(0.002)  # both come from one queue of events
    return Observation(
        by_key(await call.initial_metadata()),
        tuple(received),
        await call.code(),
        await call.details() or "",
        by_key(await call.trailing_metadata()),
    )
