"""Older peers, from recordings, against the client and the server of today."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.golden_vectors import CODECS
from support.recordings import load, names, plain_frame
from support.replay import later, replay_client, replay_server, terser
from support.scenes import SCENES
from support.virtual_loop import VirtualLoop
from trio.testing import MockClock

Replay = Callable[..., Awaitable[None]]

EITHER_END = pytest.mark.parametrize(
    "replay", [pytest.param(replay_client, id="older-server"), pytest.param(replay_server, id="older-client")]
)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.mark.anyio
@EITHER_END
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", names())
async def test_older_peer_is_understood(name: str, codec: str, replay: Replay) -> None:
    await replay(load(name), codec=codec)


@pytest.mark.anyio
@EITHER_END
@pytest.mark.parametrize("name", names())
async def test_older_peer_that_reads_slowly_is_understood(name: str, replay: Replay) -> None:
    """So that today's end says more in each frame than was recorded."""
    await replay(load(name), codec="messagepack", pace_s=0.2)


@pytest.mark.anyio
@EITHER_END
@pytest.mark.parametrize("name", names())
async def test_peer_that_knows_fewer_fields_is_understood(name: str, replay: Replay) -> None:
    await replay(load(name), codec="messagepack", rewrite=terser)


@pytest.mark.anyio
@EITHER_END
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", names())
async def test_peer_that_knows_more_is_understood(name: str, codec: str, replay: Replay) -> None:
    """More fields, more kinds of messages of the tunnel, more capabilities."""
    await replay(load(name), codec=codec, rewrite=later(codec))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", names())
def test_recorded_bytes_say_what_is_written_beside_them(name: str, codec: str) -> None:
    _, decode = CODECS[codec]

    for step in load(name).steps:
        assert plain_frame(decode(step.encodings[codec])) == step.text


def test_every_scene_has_a_recording() -> None:
    assert names() == sorted(SCENES)
