"""Records scenes: every frame that passes between a server and a client of today."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from support.app_kit import World, until
from support.golden_vectors import CODECS
from support.recordings import FOLDER, Recording, Step, plain_frame, save
from support.scene import ActingUpstream, Scene, Stage
from support.scenes import SCENES
from support.transcripts import transcript
from support.virtual_loop import VirtualLoop

from tunnel.adapters.memory.link import MemoryLink
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.domain.envelopes import Frame
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link

__all__ = ["outcome", "record", "record_missing"]


class _TappedLink(Link):
    """A link that tells of its frames, and has them say something else if it is given a ``disguise``."""

    def __init__(
        self,
        link: MemoryLink,
        sent: Callable[[Frame], None],
        received: Callable[[Frame], None],
        disguise: Callable[[Frame], Frame] | None = None,
    ) -> None:
        self._link = link
        self._sent = sent
        self._received = received
        self._disguise = disguise or (lambda frame: frame)

    @property
    def peer(self) -> PeerInfo:
        return self._link.peer

    @property
    def ready(self) -> bool:
        return self._link.ready

    async def send(self, frame: Frame) -> None:
        frame = self._disguise(frame)
        await self._link.send(frame)
        self._sent(frame)

    def push(self, frame: Frame) -> None:
        frame = self._disguise(frame)
        self._link.push(frame)
        self._sent(frame)

    async def receive(self) -> Frame:
        frame = await self._link.receive()
        self._received(frame)
        return frame

    async def aclose(self) -> None:
        await self._link.aclose()

    def abort(self) -> None:
        self._link.abort()


class _TappedNetwork(MemoryNetwork):
    def __init__(self, disguise: Callable[[Frame], Frame] | None) -> None:
        super().__init__()
        self._disguise = disguise
        self.steps: list[Step] = []
        self.recording = True
        self._links = 0
        self._under_way: dict[int, tuple[Frame, Step, float]] = {}

    def dial(self, name: str) -> Any:
        link = super().dial(name)
        pair = self.pairs()[-1]
        self._links += 1
        number = self._links

        def sent(sender: str) -> Callable[[Frame], None]:
            return lambda frame: self._sent(number, sender, frame)

        pair.server = _TappedLink(pair.server, sent("server"), self._received)  # type: ignore[assignment]
        return _TappedLink(link, sent("client"), self._received, self._disguise)

    def _sent(self, link: int, sender: str, frame: Frame) -> None:
        if self.recording:
            encodings = {codec: encode(frame) for codec, (encode, _) in CODECS.items()}
            step = Step(link, sender, True, encodings, plain_frame(frame))
            self.steps.append(step)
            # The frame is kept, so that no other gets its id.
            self._under_way[id(frame)] = frame, step, anyio.current_time()

    def _received(self, frame: Frame) -> None:
        if id(frame) in self._under_way:
            _, step, sent_at = self._under_way.pop(id(frame))
            step.lost = False
            since = self.steps[self.steps.index(step) + 1 :]
            if anyio.current_time() > sent_at:
                step.after = max((each.text.get("seq", 0) for each in since if each.sender != step.sender), default=0)


@contextmanager
def _foreseeable_secrets() -> Iterator[None]:
    """Ids and tokens that are the same each time: a recording is not to differ in them."""
    chosen = random.Random(20)
    kept = secrets.token_hex, secrets.token_bytes
    secrets.token_bytes = lambda nbytes=None: chosen.randbytes(nbytes or 32)  # type: ignore[assignment]
    secrets.token_hex = lambda nbytes=None: chosen.randbytes(nbytes or 32).hex()  # type: ignore[assignment]
    try:
        yield
    finally:
        secrets.token_hex, secrets.token_bytes = kept


def outcome(stage: Stage) -> tuple[list[Any], list[Any]]:
    """What visitors and upstream were given."""
    visitors = [
        [*transcript(visitor.sent), *([] if visitor.error is None else [f"error {visitor.error.code.value}"])]
        for visitor in stage.visitors
    ]
    upstream = [
        [*transcript(heard), *([] if error is None else [f"error {error}"])]
        for heard, error in zip(stage.upstream.heard, stage.upstream.errors, strict=True)
    ]
    return visitors, upstream


async def record(name: str, scene: Scene) -> Recording:
    """Play both ends of a scene."""
    network = _TappedNetwork(scene.disguise)
    world = World()
    world.network = network
    upstream = ActingUpstream(scene.handler)
    with _foreseeable_secrets(), anyio.fail_after(60):
        async with scene.server(world, upstream) as server, scene.client(world, upstream) as client:
            if scene.visits:
                await client.ready()
            stage = Stage(world, server, client, upstream, [])
            async with anyio.create_task_group() as tasks:
                for part in (scene.act, scene.disturb):
                    if part is not None:
                        tasks.start_soon(part, stage)
                await scene.visit(stage)
            await until(lambda: not upstream.running)
            # The last acknowledgements.
            await anyio.sleep(1)
            network.recording = False
            steps = [step for step in network.steps if scene.visits or step.link == 1]
            refusal = stage.refusal
    visitor, heard = outcome(stage)
    return Recording(name, scene.about, visitor, heard, steps, refusal)


def record_missing() -> None:
    """Write a file for each scene that has none."""
    for name, scene in SCENES.items():
        if not (FOLDER / f"{name}.json").exists():
            save(anyio.run(record, name, scene, backend_options={"loop_factory": VirtualLoop}))
