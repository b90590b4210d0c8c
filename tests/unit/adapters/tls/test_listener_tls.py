"""Files of listeners and clients: what is wrong with them is said before anything listens."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from support.certificates import Authority

from tunnel.adapters.tls import context as context_module
from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.adapters.tls.system import system_authorities
from tunnel.domain.configuration import ClientTlsSettings, ListenerTlsSettings
from tunnel.domain.errors import ConfigurationError

WHERE = "transports.grpc.tls"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def mistake(settings: ListenerTlsSettings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        OpensslListenerTls(settings, WHERE)
    assert "PRIVATE" not in str(caught.value)
    return str(caught.value)


def test_pair_that_is_right_is_valid_now(authority: Authority) -> None:
    assert OpensslListenerTls(authority.listener(), WHERE).out_of_date == ""


@pytest.mark.parametrize(("from_day", "to_day", "said"), [(-3, -2, "expired on 2"), (2, 3, "is not valid before 2")])
def test_pair_out_of_date_is_used_and_says_so(authority: Authority, from_day: int, to_day: int, said: str) -> None:
    tls = OpensslListenerTls(authority.listener(from_day=from_day, to_day=to_day), WHERE)

    assert tls.out_of_date.startswith(said)


def test_key_of_another_certificate_is_a_mistake(authority: Authority) -> None:
    right = authority.listener()
    _, other = authority.issue("other", "localhost")

    assert mistake(msgspec.structs.replace(right, key=other)) == (
        f"{WHERE}.key: expected the key of the certificate in {right.certificate}; that in {other} is another's"
    )


@pytest.mark.parametrize("key", ["certificate", "key", "client_ca"])
def test_file_that_cannot_be_read_is_named(authority: Authority, tmp_path: Path, key: str) -> None:
    missing = str(tmp_path / "missing.pem")

    said = mistake(msgspec.structs.replace(authority.listener(client_ca=authority.file), **{key: missing}))

    assert said == f"{WHERE}.{key}: {missing} cannot be read: No such file or directory"


@pytest.mark.parametrize("key", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_file_that_is_no_pem_is_named(authority: Authority, tmp_path: Path, key: str, text: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text(text)

    said = mistake(msgspec.structs.replace(authority.listener(client_ca=authority.file), **{key: str(wrong)}))

    assert said.startswith(f"{WHERE}.{key}: expected {wrong} to hold ")


def test_encrypted_key_is_a_mistake_and_asks_nobody(authority: Authority) -> None:
    settings = authority.listener()
    key = serialization.load_pem_private_key(Path(settings.key).read_bytes(), None)
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        encrypted = key.private_bytes(
            serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")
        )
        Path(settings.key).write_bytes(encrypted)

        assert mistake(settings) == f"{WHERE}.key: expected the key in {settings.key} not to be encrypted"


def test_what_is_read_shows_no_key(authority: Authority) -> None:
    assert "PRIVATE" not in repr(OpensslListenerTls(authority.listener(), WHERE).material)


def test_clients_files_are_checked_likewise(authority: Authority, tmp_path: Path) -> None:
    for settings, where in (
        (ClientTlsSettings(ca=str(tmp_path / "missing.pem")), "tls.ca"),
        (msgspec.structs.replace(authority.client("laptop"), key=authority.issue("b", "b.test")[1]), "tls.key"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            OpensslClientTls(settings)
        assert caught.value.key_path == where


def test_client_verifies_always_and_trusts_no_more_than_told(authority: Authority) -> None:
    context = OpensslClientTls(authority.client()).context

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_system_authorities_are_those_of_openssl(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    assert system_authorities().split() == Path(authority.file).read_bytes().split()

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    os.symlink(authority.file, tmp_path / "0123abcd.0")
    assert system_authorities().split() == Path(authority.file).read_bytes().split()


# -- handshakes

LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]


async def served(tls: OpensslListenerTls, **options: float) -> tuple[asyncio.Server, int]:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls.context, **options)
    return server, server.sockets[0].getsockname()[1]


async def greeted(port: int, tls: OpensslClientTls) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls.context)
    try:
        assert await reader.readexactly(5) == b"hello"
    except BaseException:
        writer.close()
        raise
    return writer


def presented(writer: asyncio.StreamWriter) -> bytes:
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return der


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_next_handshake_uses_the_successors_pair_and_open_connections_go_on(authority: Authority) -> None:
    tls, client = OpensslListenerTls(authority.listener(), WHERE), OpensslClientTls(authority.client())
    server, port = await served(tls)
    before = await greeted(port, client)

    tls.follow(OpensslListenerTls(authority.listener(), WHERE))
    after = await greeted(port, client)

    assert presented(before) != presented(after)
    before.write(b"still there")
    await before.drain()
    before.close()
    after.close()
    server.close()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_successor_may_ask_for_certificates(authority: Authority) -> None:
    tls, client = OpensslListenerTls(authority.listener(), WHERE), OpensslClientTls(authority.client())
    server, port = await served(tls)

    tls.follow(OpensslListenerTls(authority.listener(client_ca=authority.file), WHERE))

    with pytest.raises((ssl.SSLError, OSError, asyncio.IncompleteReadError)):
        await greeted(port, client)
    (await greeted(port, OpensslClientTls(authority.client("laptop")))).close()
    server.close()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_half_open_handshakes_are_bounded_and_expire(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "MAX_HANDSHAKES", 2)
    tls, client = OpensslListenerTls(authority.listener(), WHERE), OpensslClientTls(authority.client())
    server, port = await served(tls)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]

    async with asyncio.timeout(5):
        assert await silent[2][0].read() == b""  # turned away
    with pytest.raises((ssl.SSLError, OSError)):
        await greeted(port, client)

    monkeypatch.setattr(context_module, "HANDSHAKE_S", -1.0)
    (await greeted(port, client)).close()
    for _, writer in silent:
        writer.close()
    server.close()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_finished_and_failed_handshakes_make_room(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "MAX_HANDSHAKES", 1)
    tls, client = OpensslListenerTls(authority.listener(), WHERE), OpensslClientTls(authority.client())
    server, port = await served(tls)

    for _ in range(3):
        (await greeted(port, client)).close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()
    server.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(authority: Authority, version: ssl.TLSVersion) -> None:
    server, client = OpensslListenerTls(authority.listener(), WHERE), OpensslClientTls(authority.client())
    assert server.context.minimum_version is not version
    assert version < server._context._current.minimum_version == ssl.TLSVersion.TLSv1_2
    assert version < client.context.minimum_version


def test_listener_chooses_http_1_1(authority: Authority) -> None:
    tls, client = OpensslListenerTls(authority.listener(), WHERE), OpensslClientTls(authority.client())
    offered = client.context
    offered.set_alpn_protocols(["h2", "http/1.1"])
    ours, theirs = _shaken(tls.context.wrap_bio, offered)

    assert (ours.selected_alpn_protocol(), theirs.selected_alpn_protocol()) == ("http/1.1", "http/1.1")


def _shaken(wrap: Callable[..., ssl.SSLObject], client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = wrap(up, down, server_side=True)
    theirs = client.wrap_bio(down, up, server_hostname="localhost")
    for _ in range(3):
        for end in (theirs, ours):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ours, theirs


def test_name_of_a_socket_is_no_file(authority: Authority, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        assert "cannot be read" in mistake(msgspec.structs.replace(authority.listener(), key=str(tmp_path / "s")))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("key", ["certificate", "key", "client_ca"])
def test_pipe_is_refused_and_not_waited_for(authority: Authority, tmp_path: Path, key: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    said = mistake(msgspec.structs.replace(authority.listener(), **{key: str(pipe)}))
    assert said == f"{WHERE}.{key}: expected {pipe} to be a regular file"
