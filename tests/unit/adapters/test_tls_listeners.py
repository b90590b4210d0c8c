"""Connections that shake hands when a listener ends, whichever technology it is of."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from support.certificates import Authority

from tunnel.adapters.admin.listener import UvicornAdminListener
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.domain.configuration import AdminSettings
from tunnel.ports.target import ProxyTarget, Stream

Listening = tuple[str, Callable[[Callable[[], None]], Awaitable[None]], Callable[[], None]]
"""Its address, its serving, and its end."""


class Nobody(ProxyTarget):
    """Is never reached."""

    async def handle(self, stream: Stream) -> None:
        raise AssertionError(stream.head)


def http(context: ssl.SSLContext) -> Listening:
    ingress = UvicornIngress("127.0.0.1:0", ssl_context=context)
    ingress.bind()
    return ingress.address, lambda started: ingress.serve(Nobody(), started), lambda: ingress.drain(0)


def admin(context: ssl.SSLContext) -> Listening:
    listener = UvicornAdminListener(AdminSettings(listen="127.0.0.1:0"), (), ssl_context=context)
    listener.bind()
    return listener.address, listener.serve, listener.stop


def hello(context: ssl.SSLContext) -> bytes:
    """The first that a client says."""
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("use_uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("speaks", [False, True], ids=["silent", "half-way"])
@pytest.mark.parametrize("make", [http, admin])
def test_connection_that_shakes_hands_ends_with_the_listener(
    make: Callable[[ssl.SSLContext], Listening], tmp_path: Path, *, use_uvloop: bool, speaks: bool
) -> None:
    authority = Authority(tmp_path)
    server, client = OpensslListenerTls(authority.listener(), "tls"), OpensslClientTls(authority.client())

    async def visited() -> None:
        address, serve, end = make(server.context)
        started = anyio.Event()
        host, _, port = address.rpartition(":")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, started.set)
            await started.wait()
            async with await anyio.connect_tcp(host, int(port)) as connection:
                if speaks:
                    await connection.send(hello(client.context))
                    await connection.receive()
                end()
                with anyio.fail_after(5), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        await connection.receive()
        with pytest.raises(ConnectionRefusedError), socket.create_connection((host, int(port))):
            pass

    anyio.run(visited, backend_options={"use_uvloop": use_uvloop})
