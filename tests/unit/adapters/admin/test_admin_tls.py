"""Connections of the admin port that shake hands when it stops."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from support.certificates import Authority

from tunnel.adapters.admin.listener import UvicornAdminListener
from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.domain.configuration import AdminSettings


def hello(context: ssl.SSLContext) -> bytes:
    """The first that a client says."""
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("use_uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("speaks", [False, True], ids=["silent", "half-way"])
def test_connection_that_shakes_hands_ends_with_the_listener(tmp_path: Path, *, use_uvloop: bool, speaks: bool) -> None:
    authority = Authority(tmp_path)
    server, client = OpensslListenerTls(authority.listener(), "tls"), OpensslClientTls(authority.client())

    async def visited() -> None:
        listener = UvicornAdminListener(AdminSettings(listen="127.0.0.1:0"), (), ssl_context=server.context)
        listener.bind()
        started = anyio.Event()
        host, _, port = listener.address.rpartition(":")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, started.set)
            await started.wait()
            async with await anyio.connect_tcp(host, int(port)) as connection:
                if speaks:
                    await connection.send(hello(client.context))
                    await connection.receive()
                listener.stop()
                with anyio.fail_after(5), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        await connection.receive()
        with pytest.raises(ConnectionRefusedError), socket.create_connection((host, int(port))):
            pass

    anyio.run(visited, backend_options={"use_uvloop": use_uvloop})
