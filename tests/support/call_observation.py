"""What a caller sees of a gRPC call, in a form in which two calls can be compared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import grpc
import grpc.aio

from tunnel.adapters.grpc.first_status import FirstStatus
from tunnel.domain.envelopes import Headers

Pairs = tuple[tuple[str, str | bytes], ...]

ADDED = ("x-forwarded-for", "x-request-id")
"""What the tunnel adds to a caller's metadata, as its documentation says; the last to those of the answer too."""


@dataclass(frozen=True)
class Observation:
    """A call from its caller's side. The order of metadata counts within a key."""

    initial: Pairs
    messages: tuple[bytes, ...]
    code: grpc.StatusCode
    details: str
    trailing: Pairs


def by_key(metadata: Iterable[tuple[str, str | bytes]] | None, *, without: tuple[str, ...] = ()) -> Pairs:
    """Metadata sorted by key, in its own order within each."""
    return tuple(sorted(((k, v) for k, v in metadata or () if k not in without), key=lambda pair: pair[0]))


def pairs(block: Headers) -> Pairs:
    """A block of metadata as gRPC shows it to applications."""
    keys = (key.decode() for key in block[::2])
    return tuple((k, v if k.endswith("-bin") else v.decode()) for k, v in zip(keys, block[1::2], strict=True))


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
    status = FirstStatus(call)
    try:
        for message in messages:
            await call.write(message)
        if greeted:
            await call.initial_metadata()
        if half_close:
            await call.done_writing()
    except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
        pass  # ended early: what came back tells how
    return await outcome(call, status)


async def outcome(call: grpc.aio.StreamStreamCall[bytes, bytes], status: FirstStatus | None = None) -> Observation:
    """What comes back of ``call`` from now on.

    A write that fails has grpc.aio forget a status that came before; ``status``, if one is given, has not.
    """
    status = status or FirstStatus(call)
    received = []
    try:
        async for message in call:
            received.append(message)  # noqa: PERF401 - what came before a failure is kept
    except grpc.aio.AioRpcError:
        pass
    code, details, trailing = await status.wait()
    return Observation(by_key(await call.initial_metadata()), tuple(received), code, details, by_key(pairs(trailing)))
