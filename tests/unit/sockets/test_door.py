from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.descriptors import no_descriptors_left

from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.sockets import tls_door
from tunnel.sockets.door import Door, open_door
from tunnel.sockets.listening import listening_socket

DEADLINE_S = 10.0
LOGGER = logging.getLogger("test.door")


class Saying(asyncio.Protocol):
    """Says one word and closes."""

    made = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        Saying.made += 1
        transport.write(b"word")
        transport.close()


@pytest.fixture(params=["plain", "tls"])
def contexts(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    if request.param == "plain":
        return None, None
    authority = Authority(tmp_path)
    return (
        OpensslListenerTls(authority.listener(), "tls").context,
        OpensslClientTls(authority.client()).context,
    )


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    Saying.made = 0
    loop = request.param

    def running(scenario: Any) -> Any:
        if loop == "uvloop":
            uvloop = pytest.importorskip("uvloop")
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(scenario)
        return asyncio.run(scenario)

    return running


async def opened(listening: socket.socket, context: ssl.SSLContext | None) -> Door:
    return await open_door(listening, Saying, backlog_connections=8, logger=LOGGER, ssl_context=context)


async def word(address: tuple[str, int], context: ssl.SSLContext | None) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        name = "localhost" if context is not None else None
        reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname=name)
        try:
            return await reader.read()
        finally:
            writer.close()


def test_each_connection_gets_a_protocol(contexts: Any, run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        listening = listening_socket("127.0.0.1:0", backlog_connections=8)
        address = listening.getsockname()[:2]
        door = await opened(listening, contexts[0])
        assert [await word(address, contexts[1]) for _ in range(3)] == [b"word"] * 3
        await door.cut()
        assert Saying.made == 3

    run(scenario())


def test_a_closed_door_accepts_nobody(contexts: Any, run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        listening = listening_socket("127.0.0.1:0", backlog_connections=8)
        address = listening.getsockname()[:2]
        door = await opened(listening, contexts[0])
        door.close()
        door.close()
        await asyncio.sleep(0)
        with pytest.raises(OSError):  # noqa: PT011 - refused, or reset where it was in the backlog
            await word(address, contexts[1])
        await door.cut()
        assert listening.fileno() == -1

    run(scenario())


def test_a_door_cancelled_while_it_opens_accepts_nobody() -> None:
    async def scenario() -> None:
        listening = listening_socket("127.0.0.1:0", backlog_connections=8)
        address = listening.getsockname()[:2]
        opening = asyncio.create_task(opened(listening, None))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await word(address, None)

    asyncio.run(scenario())


@pytest.mark.skipif(os.name != "posix", reason="descriptors cannot be limited")
def test_a_tls_door_without_descriptors_says_so_once_and_accepts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls_door, "_RETRY_S", 0.05)
    authority = Authority(tmp_path)
    context = OpensslListenerTls(authority.listener(), "tls").context

    async def scenario() -> None:
        listening = listening_socket("127.0.0.1:0", backlog_connections=8)
        door = await opened(listening, context)
        with socket.socket() as visitor:
            visitor.setblocking(False)
            with no_descriptors_left():
                await asyncio.get_running_loop().sock_connect(visitor, listening.getsockname())
                async with asyncio.timeout(DEADLINE_S):
                    while not caplog.records:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            visitor.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(DEADLINE_S):  # it is taken in, and its handshake ends
                assert await asyncio.get_running_loop().sock_recv(visitor, 1) == b""
        await door.cut()

    with caplog.at_level(logging.WARNING, LOGGER.name):
        asyncio.run(scenario())
    assert {record.name for record in caplog.records} == {LOGGER.name}
