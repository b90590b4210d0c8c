from __future__ import annotations

import asyncio
from math import inf

from grpc_kit import run

from tunnel.adapters.grpc.gathering import Gathering


class Tunnel:
    """Has so many conversations that wait, from the look of that number on."""

    def __init__(self) -> None:
        self.looks = 0
        self.counts: dict[int, float] = {}

    def waiting(self) -> float:
        self.looks += 1
        return max((count for look, count in self.counts.items() if look <= self.looks), default=0)


async def looks(gathering: Gathering, counts: dict[int, float]) -> int:
    tunnel = Tunnel()
    tunnel.counts = counts
    await gathering.wait(tunnel.waiting)
    return tunnel.looks


def test_frame_waits_until_four_conversations_have_something_to_say() -> None:
    async def scenario() -> None:
        gathering = Gathering()
        assert await looks(gathering, {1: 4}) == 1
        for counts in ({1: 1, 2: 2, 3: 3, 4: 4}, {2: inf}):
            assert await looks(gathering, counts) == max(counts) + 1  # and once more, before it goes on

    run(scenario)


def test_wait_for_less_ends_by_itself() -> None:
    async def scenario() -> None:
        gathering = Gathering()
        for count in (2, 3):
            assert await looks(gathering, {3: count}) == 17

    run(scenario)


def test_crowd_that_has_left_meanwhile_is_not_taken_for_company() -> None:
    async def scenario() -> None:
        counts = iter([1, 4, 1, 1, 4, 4])
        asked = []

        def waiting() -> float:
            asked.append(next(counts))
            return asked[-1]

        await Gathering().wait(waiting)
        assert asked == [1, 4, 1, 1, 4, 4]

    run(scenario)


def test_who_waits_in_vain_waits_ever_more_seldom_until_there_is_company_again() -> None:
    async def scenario() -> None:
        gathering = Gathering()
        waited = [bool(await looks(gathering, {1: 1})) for _ in range(60)]
        assert [index for index, each in enumerate(waited) if each] == [0, 2, 6, 14, 30, 46]
        for _ in range(2):
            assert not await looks(gathering, {1: 4})
        assert await looks(gathering, {1: 4})
        assert await looks(gathering, {1: 4})

    run(scenario)


def test_cancelled_wait_leaves_nothing() -> None:
    async def scenario() -> None:
        gathering = Gathering()
        waiting = asyncio.create_task(gathering.wait(lambda: 0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert await looks(gathering, {1: 4}) == 1

    run(scenario)
