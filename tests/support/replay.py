"""Recordings replayed: today's server or client, with the other end played as it was recorded."""

from __future__ import annotations

from functools import cache
from typing import Any

import anyio
from support.app_kit import World, until
from support.golden_vectors import CODECS
from support.recorded_peer import Incompatible, RecordedPeer, Rewrite
from support.recorder import outcome
from support.recordings import Recording, load, said
from support.scene import ActingUpstream, Scene, Stage
from support.scenes import SCENES

from tunnel.adapters.memory.listener import MemoryListener
from tunnel.ports.transport import Link, LinkService

__all__ = ["replay_client", "replay_server"]

_DEADLINE_S = 120.0
_FINISHED_S = 30.0
"""How long upstreams may go on after the last frame, of virtual time."""

_TURNED_AWAY_S = 5.0
"""How long a client may take to find that it was turned away, of virtual time."""

_MESSAGEPACK = CODECS["messagepack"]
"""As it is without any change made for a test."""


class _OlderServer(LinkService):
    """Plays the links of a recorded server, and keeps what went wrong."""

    def __init__(self, peer: RecordedPeer, failures: list[Incompatible]) -> None:
        self._peer = peer
        self._failures = failures
        self._links = 0

    async def proxy(self, link: Link) -> None:
        self._links += 1
        if self._links > self._peer.links:
            # The recorded server was gone by then.
            return
        try:
            await self._peer.play(link, self._links)
        except* Incompatible as group:
            self._failures.extend(_leaves(group))
            self._peer.over.set()

    async def register(self, request: Any, peer: Any) -> Any:
        raise NotImplementedError

    async def config_sync(self, request: Any, peer: Any) -> Any:
        raise NotImplementedError


async def replay_client(
    recording: Recording, *, codec: str, pace_s: float = 0.0, rewrite: Rewrite | None = None
) -> None:
    """Today's client, and the recorded server.

    Raises:
        Incompatible: They do not get on.
    """
    scene = SCENES[recording.name]
    world, upstream = World(), ActingUpstream(scene.handler)
    peer = RecordedPeer(recording, side="server", codec=codec, pace_s=pace_s, rewrite=rewrite)
    failures: list[Incompatible] = []
    listener = MemoryListener("edge", world.network)
    with anyio.move_on_after(_DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            started = anyio.Event()
            tasks.start_soon(listener.serve, _OlderServer(peer, failures), started.set)
            await started.wait()
            async with scene.client(world, upstream) as client:
                stage = Stage(world, None, client, upstream, [])
                if scene.act is not None:
                    tasks.start_soon(scene.act, stage)
                await _visited(scene, stage, peer, failures, here=scene.forward is not None)
                if not failures:
                    await _finished(recording, upstream, failures)
                    with anyio.move_on_after(_TURNED_AWAY_S if recording.client else 0):
                        await until(lambda: stage.refusal)
                refusal = stage.refusal
            tasks.cancel_scope.cancel()
    _compare(recording, scene, "client", stage, failures, peer)
    if refusal != recording.client:
        raise Incompatible(
            f"{recording.name}: today's client was turned away with {refusal!r}, not {recording.client!r}"
        )


async def replay_server(
    recording: Recording, *, codec: str, pace_s: float = 0.0, rewrite: Rewrite | None = None
) -> None:
    """Today's server, and the recorded client.

    Raises:
        Incompatible: They do not get on.
    """
    scene = SCENES[recording.name]
    world, upstream = World(), ActingUpstream(scene.handler)
    peer = RecordedPeer(recording, side="client", codec=codec, pace_s=pace_s, rewrite=rewrite)
    failures: list[Incompatible] = []

    async def dial() -> None:
        try:
            for number in range(1, peer.links + 1):
                await peer.play(world.network.dial("edge"), number)
        except* Incompatible as group:
            failures.extend(_leaves(group))
            peer.over.set()

    stage = Stage(world, None, None, upstream, [])
    with anyio.move_on_after(_DEADLINE_S):
        async with scene.server(world, upstream) as server, anyio.create_task_group() as tasks:
            stage.server = server
            tasks.start_soon(dial)
            if scene.act is not None:
                tasks.start_soon(scene.act, stage)
            await _visited(scene, stage, peer, failures, here=scene.forward is None)
            if not failures:
                await _finished(recording, upstream, failures)
            tasks.cancel_scope.cancel()
    _compare(recording, scene, "server", stage, failures, peer)


async def _visited(scene: Scene, stage: Stage, peer: RecordedPeer, failures: list[Incompatible], *, here: bool) -> None:
    """Let the visitors come, if today's end is where they do, and wait until all was said and heard."""
    async with anyio.create_task_group() as visits:
        if here and scene.visits:
            await until(lambda: failures or stage.ready, within_s=_DEADLINE_S)
            visits.start_soon(scene.visit, stage)
        await peer.over.wait()
        if failures:
            visits.cancel_scope.cancel()


async def _finished(recording: Recording, upstream: ActingUpstream, failures: list[Incompatible]) -> None:
    with anyio.move_on_after(_FINISHED_S) as scope:
        await until(lambda: not upstream.running)
    if scope.cancelled_caught:
        failures.append(Incompatible(f"{recording.name}: all was said, and the upstream waits for more"))


def _leaves(group: BaseExceptionGroup[Incompatible]) -> list[Incompatible]:
    leaves: list[Incompatible] = []
    for each in group.exceptions:
        leaves += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return leaves


def _compare(
    recording: Recording, scene: Scene, today: str, stage: Stage, failures: list[Incompatible], peer: RecordedPeer
) -> None:
    if failures:
        raise failures[0]
    if not peer.played:
        raise Incompatible(f"{recording.name}: today's {today} and the recorded peer wait for each other")
    visitors, upstream = outcome(stage)
    received_here = (today == "server") == (scene.forward is None)
    got, expected = (visitors, recording.visitor) if received_here else (upstream, recording.upstream)
    if got != expected:
        raise Incompatible(f"{recording.name}: the application behind today's {today} got {got}, not {expected}")
    if (heard := peer.heard()) != (recorded := _said(recording.name, today)):
        raise Incompatible(f"{recording.name}: today's {today} said {heard}, the one recorded {recorded}")


@cache
def _said(name: str, side: str) -> dict[str, object]:
    _, decode = _MESSAGEPACK
    return said(decode(step.encodings["messagepack"]) for step in load(name).steps if step.sender == side)
