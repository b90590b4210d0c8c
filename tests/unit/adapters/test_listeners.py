"""What all listeners on asyncio have in common, whichever technology they are of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.descriptors import no_descriptors_left

from tunnel.adapters.admin.listener import UvicornAdminListener
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.adapters.tcp.ingress import TcpIngress
from tunnel.adapters.websocket.listener import WebSocketListener
from tunnel.domain.configuration import AdminSettings

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name != "posix", reason="descriptors cannot be limited")]

DEADLINE_S = 10.0
MOST_AT_ONCE = 16
LISTEN = "127.0.0.1:0"


@pytest.fixture
def anyio_backend() -> str:
    """Not uvloop, which turns away whom it has no descriptor for."""
    return "asyncio"


def serving_http(started: Callable[[], None]) -> tuple[Any, Any]:
    ingress = UvicornIngress(LISTEN)
    ingress.bind()
    return ingress, ingress.serve(None, started)  # type: ignore[arg-type]


def serving_tcp(started: Callable[[], None]) -> tuple[Any, Any]:
    ingress = TcpIngress(LISTEN, name="test", upstream="test", max_connections=0)
    ingress.bind()
    return ingress, ingress.serve(None, started)  # type: ignore[arg-type]


def serving_admin(started: Callable[[], None]) -> tuple[Any, Any]:
    listener = UvicornAdminListener(AdminSettings(listen=LISTEN), ())
    listener.bind()
    return listener, listener.serve(started)


def serving_links(started: Callable[[], None]) -> tuple[Any, Any]:
    listener = WebSocketListener(LISTEN)
    listener.bind()
    return listener, listener.serve(None, started)  # type: ignore[arg-type]


@asynccontextmanager
async def listening(make: Callable[[Callable[[], None]], tuple[Any, Any]]) -> AsyncIterator[tuple[str, int]]:
    started = asyncio.Event()
    listener, serving = make(started.set)
    task = asyncio.create_task(serving)
    await started.wait()
    host, _, port = listener.address.rpartition(":")
    yield host, int(port)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("make", [serving_http, serving_tcp, serving_admin, serving_links])
async def test_listener_without_descriptors_complains_a_few_times_and_accepts_again(
    make: Callable[[Callable[[], None]], tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.05)
    complaints: list[object] = []
    complained = asyncio.Event()

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(context["message"])
        complained.set()

    asyncio.get_running_loop().set_exception_handler(complain)
    async with listening(make) as address:
        visitor = socket.socket()
        visitor.setblocking(False)
        with contextlib.closing(visitor):
            with no_descriptors_left():
                connecting = asyncio.get_running_loop().sock_connect(visitor, address)
                async with asyncio.timeout(DEADLINE_S):
                    await connecting
                    await complained.wait()
                assert len(complaints) <= MOST_AT_ONCE
            visitor.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                async with asyncio.timeout(DEADLINE_S):
                    await asyncio.get_running_loop().sock_recv(visitor, 1)
