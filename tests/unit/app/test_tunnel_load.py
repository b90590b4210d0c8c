"""Adding up what tunnels hold leaves everybody else their turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tunnel.app.tunnel_load import TunnelLoad
from tunnel.domain.mux.budget import Budget
from tunnel.ports.inspection import ProcessLoad, Stats

pytestmark = pytest.mark.anyio

TUNNELS, SESSIONS = 1000, 10


def tunnel(round_trip_s: float | None = 0.01) -> Any:
    session = SimpleNamespace(unframed_bytes=3, unread_bytes=5)
    mux = SimpleNamespace(
        session_count=SESSIONS,
        queued=1,
        retained_frames=2,
        retained_bytes=700,
        measured_round_trip_s=round_trip_s,
        sessions=lambda: (session,) * SESSIONS,
    )
    return SimpleNamespace(mux=mux, handlers=4)


async def test_everything_is_added_up() -> None:
    load = TunnelLoad()
    await load.add([tunnel(), tunnel(None)])
    assert vars(load) | {"_looked_at": 0} == {
        "tunnels": 2,
        "sessions": 20,
        "handlers": 8,
        "waiting": 2,
        "unframed_bytes": 60,
        "retained_frames": 4,
        "retained_bytes": 1400,
        "unread_bytes": 100,
        "round_trips_s": [0.01],
        "_looked_at": 0,
    }


async def test_stats_tell_what_was_added_up_and_what_others_know() -> None:
    load, budget = TunnelLoad(), Budget(1000)
    assert budget.reserve(30)
    await load.add([tunnel(), tunnel()])
    stats = load.stats(links=1, waiting_requests=6, budget=budget, process=ProcessLoad(tasks=8, open_files=9))
    assert stats == Stats(
        links=1,
        tunnels=2,
        sessions=20,
        handlers=8,
        waiting_requests=6,
        waiting_sends=2,
        unframed_bytes=60,
        retained_frames=4,
        retained_bytes=1400,
        unread_bytes=100,
        promised_bytes=30,
        tasks=8,
        open_files=9,
    )


async def test_others_have_a_turn_after_every_few_hundred_looks() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        await anyio.lowlevel.checkpoint()
        before = turns
        await TunnelLoad().add([tunnel()] * TUNNELS)
        had = turns - before
        tasks.cancel_scope.cancel()
    assert had >= TUNNELS * (SESSIONS + 1) // 300
