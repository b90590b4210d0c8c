"""Admin listeners under their contract, the one without sockets included."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.certificates import Authority
from support.fake_admin import FakeAdmin

from tunnel.adapters.admin.answer import JSON, Answer
from tunnel.adapters.admin.endpoint import Endpoint
from tunnel.adapters.admin.listener import UvicornAdminListener
from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.domain.configuration import AdminSettings
from tunnel.testing.admin import AdminContract, AdminHarness, LookFailed


async def shown(_: Any) -> Answer:
    return Answer(200, b"{}", JSON)


ENDPOINTS = (Endpoint(path="/shown", name="shown", summary="What is shown.", answer=shown),)


def settings(word: str, address: str) -> AdminSettings:
    return AdminSettings(listen=address, token_sha256=hashlib.sha256(word.encode()).hexdigest())


class UvicornHarness(AdminHarness):
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None

    def __init__(self) -> None:
        self._lingering: list[socket.socket] = []

    def listener(self, word: str, address: str | None = None) -> UvicornAdminListener:
        return UvicornAdminListener(settings(word, address or "127.0.0.1:0"), ENDPOINTS, ssl_context=self.server_tls)

    async def look(self, address: str, word: str) -> bool:
        host, _, port = address.rpartition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port), ssl=self.client_tls)
        except OSError as exc:
            raise LookFailed(str(exc)) from exc
        request = f"GET /shown HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {word}\r\n\r\n"
        try:
            writer.write(request.encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
            await writer.wait_closed()
        if not answer:
            raise LookFailed("no answer")
        return b" 200 " in answer.partition(b"\r\n")[0]

    async def linger(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        # The system accepts at once, whatever the event loop does.
        self._lingering.append(socket.create_connection((host, int(port))))

    def close(self) -> None:
        for each in self._lingering:
            each.close()


@cache
def ends() -> tuple[OpensslListenerTls, OpensslClientTls]:
    with TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        return OpensslListenerTls(authority.listener(), "admin.tls"), OpensslClientTls(authority.client())


class UvicornWithTlsHarness(UvicornHarness):
    def __init__(self) -> None:
        super().__init__()
        server, client = ends()
        self.server_tls, self.client_tls = server.context, client.context


class FakeHarness(AdminHarness):
    binds = False
    made = FakeAdmin

    def __init__(self) -> None:
        self._made: list[FakeAdmin] = []

    def listener(self, word: str, address: str | None = None) -> FakeAdmin:
        self._made.append(self.made(settings(word, address or f"127.0.0.1:{1 + len(self._made)}"), None))
        return self._made[-1]

    async def look(self, address: str, word: str) -> bool:
        for listener in self._made:
            if listener.open and listener.address == address:
                return listener.settings.token_sha256 == settings(word, address).token_sha256
        raise LookFailed("nobody is open there")


class TestUvicornAdminListener(AdminContract):
    harness = UvicornHarness


class TestUvicornAdminListenerWithTlsOnUvloop(AdminContract):
    harness = UvicornWithTlsHarness
    event_loop = ("asyncio", {"use_uvloop": True})


class TestFakeAdmin(AdminContract):
    harness = FakeHarness


class TestFakeAdminOnTrio(AdminContract):
    harness = FakeHarness
    event_loop = "trio"
