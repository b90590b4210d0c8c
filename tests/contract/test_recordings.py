"""Older peers, from recordings, against the client and the server of today.

What is played are frames, whatever bytes they were read from. So a peer is played once for each way of saying something
else, in one encoding or the other, and that the other says the same is compared. ``TUNNEL_FULL=1`` plays all of them in
both, on both event loops.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import pytest
from support.golden_vectors import CODECS, decoded
from support.other_versions import later, shorter
from support.recordings import load, names, plain_frame
from support.replay import replay_client, replay_server
from support.scenes import SCENES
from support.virtual_loop import VirtualLoop
from trio.testing import MockClock

FULL = os.environ.get("TUNNEL_FULL") == "1"
LOOPS = ("asyncio", "trio")

Replay = Callable[..., Awaitable[None]]

ENDS: dict[str, tuple[str, Replay]] = {
    "older-server": ("client", replay_client),
    "older-client": ("server", replay_server),
}
"""Today's end, and what plays the other."""
EITHER_END = pytest.mark.parametrize("replay", [pytest.param(replay, id=name) for name, (_, replay) in ENDS.items()])


def each(*chosen: tuple[str, str], codecs: Any = tuple(CODECS)) -> pytest.MarkDecorator:
    """Encodings and event loops to play in: those chosen, or with ``TUNNEL_FULL=1`` all that there are."""
    return pytest.mark.parametrize(
        ("codec", "anyio_backend"), list(product(codecs, LOOPS)) if FULL else chosen, indirect=["anyio_backend"]
    )


def with_something_to_batch() -> list[Any]:
    """Recordings in which today's end says more than one thing, and so might say them at once; or all of them."""

    def counted(name: str, today: str) -> int:
        return sum(step.sender == today and "seq" in step.text for step in load(name).steps)

    return [
        pytest.param(name, replay, id=f"{name}-{end}")
        for name, (end, (today, replay)) in product(names(), ENDS.items())
        if FULL or counted(name, today) > 1
    ]


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.mark.anyio
@EITHER_END
@each(("messagepack", "asyncio"), ("protobuf", "trio"))
@pytest.mark.parametrize("name", names())
async def test_older_peer_is_understood(name: str, codec: str, replay: Replay) -> None:
    await replay(load(name), codec=codec)


@pytest.mark.anyio
@each(("messagepack", "asyncio"), codecs=["messagepack"])
@pytest.mark.parametrize(("name", "replay"), with_something_to_batch())
async def test_older_peer_that_reads_slowly_is_understood(name: str, codec: str, replay: Replay) -> None:
    """So that today's end says more in each frame than was recorded."""
    await replay(load(name), codec=codec, pace_s=0.2)


@pytest.mark.anyio
@EITHER_END
@each(("messagepack", "asyncio"))
@pytest.mark.parametrize("name", names())
async def test_peer_that_knows_more_is_understood(name: str, codec: str, replay: Replay) -> None:
    """More fields, more kinds of messages of the tunnel, more capabilities."""
    await replay(load(name), codec=codec, rewrite=later(codec))


@pytest.mark.parametrize("name", names())
def test_peer_that_knows_more_says_the_same_in_both_encodings(name: str) -> None:
    for step in load(name).steps:
        frames = [decoded(decode(later(codec)(step.encodings[codec]))) for codec, (_, decode) in CODECS.items()]

        assert frames[0] == frames[1]


@pytest.mark.parametrize("name", names())
def test_peer_that_knows_fewer_fields_says_the_same(name: str) -> None:
    _, decode = CODECS["messagepack"]

    for step in load(name).steps:
        assert decode(shorter(step)) == decode(step.encodings["messagepack"])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", names())
def test_recorded_bytes_say_what_is_written_beside_them(name: str, codec: str) -> None:
    _, decode = CODECS[codec]

    for step in load(name).steps:
        assert plain_frame(decode(step.encodings[codec])) == step.text


def test_every_scene_has_a_recording() -> None:
    assert names() == sorted(SCENES)
