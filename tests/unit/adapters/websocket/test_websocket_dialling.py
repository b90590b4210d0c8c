"""Connections to servers and proxies by name: one address after the other, and none that stays behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from tunnel.adapters.websocket import dialling
from tunnel.adapters.websocket.dialling import dialled
from tunnel.sockets.resolver import Resolved

pytestmark = pytest.mark.anyio

Resolves = Callable[..., None]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolves:
    """Have every name stand for the addresses given."""

    def to(*addresses: tuple[str, int]) -> None:
        async def resolve(host: str, port: int) -> tuple[Resolved, ...]:
            return tuple(Resolved(socket.AF_INET, at) for at in addresses)

        monkeypatch.setattr(dialling, "resolve", resolve)

    return to


def bound() -> socket.socket:
    """A socket with an address at which nobody listens."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


async def test_address_that_refuses_gives_way_to_the_next(resolves: Resolves) -> None:
    with bound() as nobody, socket.create_server(("127.0.0.1", 0)) as server:
        resolves(nobody.getsockname(), server.getsockname())
        with await dialled("two.test", 1) as connection:
            assert connection.getpeername() == server.getsockname()
            assert not connection.getblocking()


async def test_last_reason_is_told_when_no_address_takes_it(resolves: Resolves) -> None:
    with bound() as nobody:
        resolves(nobody.getsockname())
        with pytest.raises(ConnectionRefusedError):
            await dialled("one.test", 1)


async def test_name_without_an_address_is_unreachable(resolves: Resolves) -> None:
    resolves()
    with pytest.raises(OSError, match=r"[Nn]o route|unreachable"):
        await dialled("none.test", 1)


@pytest.mark.parametrize("steps", range(4))
async def test_nothing_stays_of_a_dial_that_is_cancelled(steps: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        task = asyncio.ensure_future(dialled(*server.getsockname()))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        [result] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, socket.socket):
            result.close()
