"""Listeners for clients that are told to leave, and told to stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import anyio
import pytest

from tunnel.app.transport_entrance import TransportEntrance
from tunnel.domain.tls_material import TlsMaterial
from tunnel.ports.transport import LinkService

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """In real time, of which none passes here."""
    return "asyncio"


class Proof:
    """The part of a listener's TLS that tells what kind it is."""

    def __init__(self, authorities: bytes = b"") -> None:
        self.material = TlsMaterial(certificate=b"c", key=b"k", authorities=authorities)


class Listening:
    """Stops when the test lets it."""

    def __init__(self) -> None:
        self.service: LinkService | None = None
        self.stopped = anyio.Event()
        self.given_back = anyio.Event()

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        self.service = service
        started()
        await self.stopped.wait()
        await self.given_back.wait()

    def stop(self) -> None:
        self.stopped.set()


class Staying:
    async def proxy(self, link: Any) -> None:
        await link.wait()


def entrance(tls: Proof | None = None) -> tuple[TransportEntrance, Listening]:
    listener = Listening()
    parts: dict[str, Any] = {"listener": listener, "service": Staying(), "tls": tls}
    return TransportEntrance("grpc", "here", settings=None, **parts), listener


KINDS: dict[str, Callable[[], Proof | None]] = {
    "plain": lambda: None,
    "tls": Proof,
    "asking": lambda: Proof(b"clients"),
}


@pytest.mark.parametrize("before", KINDS)
@pytest.mark.parametrize("after", KINDS)
async def test_listener_stays_only_as_what_it_can_be_while_it_listens(before: str, after: str) -> None:
    leaving, listener = entrance(KINDS[before]())
    made, _ = entrance(KINDS[after]())
    async with anyio.create_task_group() as tasks:
        await start(leaving, tasks)
        link = cast(Any, anyio.Event())
        assert listener.service is not None
        tasks.start_soon(listener.service.proxy, link)
        tasks.start_soon(leaving.leave, 60)
        await anyio.wait_all_tasks_blocked()
        assert await leaving.stay(made) is (before == after)
        assert not listener.stopped.is_set()
        tasks.cancel_scope.cancel()


async def test_who_asks_too_late_is_told_when_the_address_is_free() -> None:
    leaving, listener = entrance()
    async with anyio.create_task_group() as tasks:
        await start(leaving, tasks)
        tasks.start_soon(leaving.leave, 60)
        await anyio.wait_all_tasks_blocked()
        assert listener.stopped.is_set(), "nobody is there"
        answers: list[bool] = []

        async def ask() -> None:
            answers.append(await leaving.stay(entrance()[0]))

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert not answers
        listener.given_back.set()
    assert answers == [False]


async def test_departure_that_was_called_off_does_not_end_the_next_one() -> None:
    leaving, listener = entrance()
    ends: list[bool] = []

    async def leave() -> None:
        ends.append(await leaving.leave(60))

    async with anyio.create_task_group() as tasks:
        await start(leaving, tasks)
        assert listener.service is not None
        link = cast(Any, anyio.Event())
        tasks.start_soon(listener.service.proxy, link)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(leave)
        await anyio.wait_all_tasks_blocked()
        assert await leaving.stay(entrance()[0])
        # Before the first has heard of it.
        tasks.start_soon(leave)
        await anyio.wait_all_tasks_blocked()
        assert (ends, listener.stopped.is_set()) == ([False], False)
        link.set()
        listener.given_back.set()
    assert ends == [False, True]


async def start(leaving: TransportEntrance, tasks: anyio.abc.TaskGroup) -> None:
    started = anyio.Event()
    tasks.start_soon(leaving.serve, started.set)
    await started.wait()
