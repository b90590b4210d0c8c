"""Places for calls, and who gets them."""

from __future__ import annotations

import asyncio

from tunnel.adapters.asgi.places import Places


def test_place_that_is_given_to_somebody_who_is_cancelled_in_that_moment_is_passed_on():
    async def check() -> None:
        places = Places(1, max_waiting=10, wait_s=10)
        await places.take()
        first, second = asyncio.create_task(places.take()), asyncio.create_task(places.take())
        await asyncio.sleep(0)
        places.give_back()
        first.cancel()
        async with asyncio.timeout(5):
            await second
        assert first.cancelled()

    asyncio.run(check())


def test_those_who_came_first_are_first():
    async def check() -> None:
        places, order = Places(1, max_waiting=10, wait_s=10), []

        async def enter(number: int) -> None:
            await places.take()
            order.append(number)
            places.give_back()

        await places.take()
        tasks = [asyncio.create_task(enter(number)) for number in range(4)]
        await asyncio.sleep(0)
        places.give_back()
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2, 3]

    asyncio.run(check())
