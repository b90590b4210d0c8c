"""TLS towards upstreams: who is verified against what, on both event loops."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess

import pytest
from upstream_kit import LOOPS, OK, FakeStream, ask, first_exchange, handling, raw_server, request, said, upstream_of

from tunnel.adapters.http.upstream import HttpUpstream
from tunnel.adapters.http.upstream_tls import tls_context
from tunnel.domain.configuration import UpstreamTlsSettings
from tunnel.domain.envelopes import BodyChunk
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    directory = tmp_path_factory.mktemp("tls")
    key, pem = directory / "key.pem", directory / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-days", "2", *subject, "-keyout", key, "-out", pem], check=True, capture_output=True)
    return pem, key


def speaking_tls(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    names = []
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda sock, name, context: names.append(name)
    return context, names


def test_upstreams_share_the_systems_certificates(monkeypatch):
    made = []
    create = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda cadata: made.append(create()) or made[-1])
    tls_context.cache_clear()
    for number in range(3):
        HttpUpstream(target=f"https://{number}.test", permits=lambda *asked: True)
    assert len(made) == 1


async def test_https_with_a_trusted_certificate_names_the_host_and_keeps_the_connection(certificate):
    context, names = speaking_tls(certificate)
    async with raw_server(ssl=context) as server:
        port = int(server.target.rpartition(":")[2])
        trusting = UpstreamTlsSettings(ca=certificate[0].read_text())
        async with upstream_of(f"https://localhost:{port}", tls=trusting) as upstream:
            visit = await first_exchange(upstream, server)
            large = FakeStream(request("PUT", end=False), [BodyChunk(b"x" * 300_000), BodyChunk(b"", True)])
            async with handling(upstream, large):
                await visit.request()
                framed = b"493e0\r\n" + b"x" * 300_000 + b"\r\n0\r\n\r\n"
                assert await visit.reader.readexactly(len(framed)) == framed
                await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000)
            assert large.body == b"y" * 300_000
            assert server.count == 1
            assert visit.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    assert names == ["localhost"]


async def test_https_with_an_unknown_certificate_is_upstream_unreachable(certificate):
    asyncio.get_running_loop().set_debug(False)  # in debug mode the web server's side reports the failure, too
    context, _ = speaking_tls(certificate)
    async with raw_server(ssl=context) as server:
        port = int(server.target.rpartition(":")[2])
        async with upstream_of(f"https://localhost:{port}") as upstream:
            with pytest.raises(SessionError) as raised:
                await upstream.handle(FakeStream(request()))
            assert upstream.open_connections == 0
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert isinstance(raised.value.__cause__, ssl.SSLError)


async def test_certificate_for_another_name_is_upstream_unreachable_and_the_detail_says_so(certificate):
    error, names = await refused(certificate, "127.0.0.1", UpstreamTlsSettings(ca=certificate[0].read_text()))
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert "certificate" in error.detail
    assert "mismatch" in error.detail
    assert "127.0.0.1" not in error.message
    assert names == [None]  # addresses are no names to ask for


async def test_server_name_is_asked_for_and_verified_in_the_place_of_the_host(certificate):
    ca = certificate[0].read_text()
    context, names = speaking_tls(certificate)
    async with raw_server(ssl=context) as server:
        port = int(server.target.rpartition(":")[2])
        named = UpstreamTlsSettings(ca=ca, server_name="localhost")
        async with upstream_of(f"https://127.0.0.1:{port}", tls=named) as upstream:
            stream = await ask(upstream, lambda: said(server, OK))
    assert stream.body == b"ok"
    assert names == ["localhost"]
    error, names = await refused(certificate, "localhost", UpstreamTlsSettings(ca=ca, server_name="b.test"))
    assert "mismatch" in error.detail
    assert names == ["b.test"]


async def test_without_verification_any_certificate_will_do(certificate):
    context, _ = speaking_tls(certificate)
    async with raw_server(ssl=context) as server:
        port = int(server.target.rpartition(":")[2])
        async with upstream_of(f"https://127.0.0.1:{port}", tls=UpstreamTlsSettings(verify=False)) as upstream:
            stream = await ask(upstream, lambda: said(server, OK))
    assert stream.body == b"ok"


async def test_web_server_that_speaks_no_tls_is_upstream_unreachable():
    async with raw_server() as server:
        port = int(server.target.rpartition(":")[2])
        async with upstream_of(f"https://127.0.0.1:{port}") as upstream:
            task = asyncio.create_task(upstream.handle(FakeStream(request())))
            visit = await server.visit()
            await visit.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(SessionError) as raised:
                await task
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE


def test_text_that_holds_no_certificate_is_a_configuration_error():
    ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(ConfigurationError) as raised:
        tls_context(UpstreamTlsSettings(ca=ca))
    assert raised.value.key_path == "tls.ca"


async def refused(certificate, host, tls):
    """The error of asking ``host`` for something, and the names that were asked for."""
    asyncio.get_running_loop().set_debug(False)  # in debug mode the web server's side reports the failure, too
    context, names = speaking_tls(certificate)
    async with raw_server(ssl=context) as server:
        port = int(server.target.rpartition(":")[2])
        async with upstream_of(f"https://{host}:{port}", tls=tls) as upstream:
            with pytest.raises(SessionError) as raised:
                await upstream.handle(FakeStream(request()))
            assert upstream.open_connections == 0
    return raised.value, names
