from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tunnel.adapters.websocket.connection import quiet_logger
from tunnel.adapters.websocket.link import WebSocketLink
from tunnel.adapters.websocket.listener import WebSocketListener
from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.domain.errors import LinkEnd, LinkError, ListenError
from tunnel.testing.transport import HeldLinks
from tunnel.testing.transport.frames import chunk_frame

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def listening(listen: str = "127.0.0.1:0") -> AsyncIterator[tuple[WebSocketListener, HeldLinks]]:
    held = HeldLinks()
    listener = WebSocketListener(listen)
    listener.bind()
    started = anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, held, started.set)
            await started.wait()
            yield listener, held
            listener.stop()


async def exchange(listener: WebSocketListener, data: bytes, *, leave: bool = False) -> bytes:
    host, _, port = listener.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    if leave:
        writer.write_eof()
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def unreachable(url: str, *, timeout_s: float = 5) -> str:
    with pytest.raises(LinkError) as caught:
        await WebSocketTransport().connect(url, timeout_s=timeout_s)
    assert caught.value.end is LinkEnd.UNREACHABLE
    return caught.value.reason


@pytest.mark.rule("W5")
@pytest.mark.parametrize("subprotocols", [None, [Subprotocol("chat")]])
async def test_client_without_the_subprotocol_is_refused(subprotocols: list[Subprotocol] | None) -> None:
    async with listening() as (listener, _):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{listener.address}", subprotocols=subprotocols, proxy=None)
        assert refused.value.response.status_code == 400


@pytest.mark.rule("W5", "L3")
async def test_server_without_the_subprotocol_is_unreachable() -> None:
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "tunnel.v1" in await unreachable(f"ws://127.0.0.1:{port}")


@pytest.mark.rule("W5")
async def test_any_path_is_served() -> None:
    async with listening() as (listener, held):
        link = await WebSocketTransport().connect(f"ws://{listener.address}/any/path?x=1", timeout_s=5)
        await link.send(chunk_frame(1))
        assert await (await held.link()).receive() == chunk_frame(1)
        await link.aclose()


async def test_ipv6_is_served() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    async with listening("[::1]:0") as (listener, held):
        assert listener.address.startswith("[::1]:")
        link = await WebSocketTransport().connect(f"ws://{listener.address}", timeout_s=5)
        assert link.peer.address == listener.address
        assert (await held.link()).peer.address.startswith("[::1]:")
        await link.aclose()


async def test_peers_are_addresses() -> None:
    async with listening() as (listener, held):
        link = await WebSocketTransport().connect(f"ws://{listener.address}", timeout_s=5)
        assert link.peer.address == listener.address
        assert (await held.link()).peer.address.startswith("127.0.0.1:")
        await link.aclose()


async def test_nagle_is_off_on_both_sides() -> None:
    async with listening() as (listener, held):
        link = await WebSocketTransport().connect(f"ws://{listener.address}", timeout_s=5)
        for side in (link, await held.link()):
            assert isinstance(side, WebSocketLink)
            sock = side._connection.wire.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await link.aclose()


async def test_plain_http_is_answered_without_naming_the_software() -> None:
    async with listening() as (listener, _):
        response = await exchange(listener, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 426 ")
    assert b"server:" not in response.lower()


@pytest.mark.parametrize("garbage", [b"", b"\x16\x03\x01\x02\x00\x01\x00", b"GET", b"\r\n" * 100, b"A" * 100_000])
async def test_scanners_leave_no_trace_and_harm_nobody(
    garbage: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async with listening() as (listener, held):
        await exchange(listener, garbage, leave=True)
        link = await WebSocketTransport().connect(f"ws://{listener.address}", timeout_s=5)
        await held.link()
        await link.aclose()
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_silent_connection_does_not_delay_stopping() -> None:
    async with listening() as (listener, _):
        host, _, port = listener.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        while not listener._connections:
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(2):
            listener.stop()
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_server_that_never_answers_is_unreachable_in_time() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        assert "timed out" in await unreachable(f"ws://127.0.0.1:{port}", timeout_s=0.1)


async def test_redirects_are_not_followed() -> None:
    async with listening() as (listener, held):

        def redirect(connection: object, request: Request) -> Response:
            response = connection.respond(302, "")  # type: ignore[attr-defined]
            response.headers["Location"] = f"ws://{listener.address}"
            return response

        async with serve(
            lambda connection: connection.wait_closed(), "127.0.0.1", 0, process_request=redirect
        ) as server:
            assert "302" in await unreachable(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert not held._links


@pytest.mark.parametrize("url", ["http://a.test", "ws://", "nonsense", "ws://secret@:x/", "ws://" + "a" * 70 + ".test"])
async def test_bad_url_is_unreachable_and_not_repeated(url: str) -> None:
    assert "secret" not in await unreachable(url)


@pytest.mark.parametrize("listen", ["", "nonsense", "127.0.0.1", "::1:7000", "256.1.1.1.invalid:0"])
async def test_bad_address_is_a_listen_error(listen: str) -> None:
    with pytest.raises(ListenError) as caught:
        WebSocketListener(listen).bind()
    assert caught.value.address == listen


def test_level_that_was_set_by_the_user_stays() -> None:
    logger = logging.getLogger("tunnel.websocket.tested")
    logger.setLevel(logging.DEBUG)
    assert quiet_logger("tested").level == logging.DEBUG
    assert quiet_logger("other").level == logging.WARNING


def test_failed_handshake_is_logged_for_those_who_debug(caplog: pytest.LogCaptureFixture) -> None:
    logger = quiet_logger("debugged")
    logger.setLevel(logging.DEBUG)
    logger.error("opening handshake failed", exc_info=True)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
