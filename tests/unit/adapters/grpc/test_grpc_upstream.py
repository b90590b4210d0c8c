from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
from call_kit import CLOSE, Call, data
from grpc_kit import eventually, run
from support.call_app import CallApp, script

from tunnel.adapters.grpc.upstream import GrpcUpstream
from tunnel.domain.call_head import CallHead
from tunnel.domain.configuration import UpstreamTlsSettings
from tunnel.domain.envelopes import BodyChunk, GrpcFrame, GrpcFrameType, HttpRequest
from tunnel.domain.errors import ConfigurationError, ErrorCode, SendingStopped, SessionError


def asked(*steps: list[object], timeout_s: float | None = None) -> CallHead:
    key, value = script(*steps)
    return CallHead("s.S", "M", (key.encode(), value), timeout_s=timeout_s)


@asynccontextmanager
async def upstream_of(app: CallApp, **options: object) -> AsyncIterator[GrpcUpstream]:
    await app.start()
    upstream = GrpcUpstream(target=f"grpc://127.0.0.1:{app.port}", permits=lambda *_: True, **options)  # type: ignore[arg-type]
    try:
        yield upstream
    finally:
        await upstream.aclose()
        assert upstream.open_connections == 0
        await app.stop()


async def code_of(upstream: GrpcUpstream, call: Call) -> ErrorCode:
    with pytest.raises(SessionError) as caught:
        await upstream.handle(call)
    return caught.value.code


def test_calls_share_a_connection_and_answers_come_in_order() -> None:
    async def scenario() -> None:
        async with upstream_of(CallApp()) as upstream:
            calls = [Call(data(b"%d" % number), CLOSE) for number in range(20)]
            async with asyncio.TaskGroup() as tasks:
                for call in calls:
                    tasks.create_task(upstream.handle(call))
            assert [call.messages() for call in calls] == [[b"%d" % number] for number in range(20)]
            assert all(call.sent[-1] == GrpcFrame(GrpcFrameType.TRAILER) for call in calls)
            assert upstream.open_connections == 1

    run(scenario)


@pytest.mark.parametrize("limited", [True, False])
def test_more_calls_than_a_connection_takes_have_another(monkeypatch: pytest.MonkeyPatch, *, limited: bool) -> None:
    monkeypatch.setattr("tunnel.adapters.grpc.upstream_connection._CALLS_EACH", 2)

    async def scenario() -> None:
        app = CallApp(options=(("grpc.max_concurrent_streams", 2),) if limited else ())
        async with upstream_of(app) as upstream:
            calls = [Call(data(b"m")) for _ in range(5)]
            async with asyncio.TaskGroup() as tasks:
                for call in calls:
                    tasks.create_task(upstream.handle(call))
                await eventually(lambda: all(call.messages() == [b"m"] for call in calls))
                assert upstream.open_connections == 3
                for call in calls:
                    call.feed(CLOSE)
            await upstream.handle(Call(data(b"m"), CLOSE))
            assert upstream.open_connections == 3

    run(scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere gRPC asks by pings only")
def test_target_that_acknowledges_nothing_is_given_up_soon() -> None:
    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app) as upstream:
            await upstream.handle(Call(data(b"m"), CLOSE))
            # Which of this process's sockets it is, nothing but its peer tells.
            found = []
            for name in os.listdir("/proc/self/fd"):
                with suppress(OSError), socket.fromfd(int(name), socket.AF_INET, socket.SOCK_STREAM) as each:
                    if app.port in tuple(each.getpeername()):  # a name, where it is a socket of a file
                        found.append(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
            assert found == [20_000]

    run(scenario)


def test_call_waits_on_a_full_connection_when_another_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.adapters.grpc.upstream_connection._CALLS_EACH", 1)

    async def scenario() -> None:
        app = CallApp()
        permitted = [True, False]
        await app.start()
        upstream = GrpcUpstream(target=f"grpc://127.0.0.1:{app.port}", permits=lambda *_: permitted.pop(0))
        calls = [Call(data(b"m")), Call(data(b"m"))]
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                tasks.create_task(upstream.handle(call))
                await eventually(lambda call=call: call.messages() == [b"m"])  # type: ignore[misc]
            assert upstream.open_connections == 1
            for call in calls:
                call.feed(CLOSE)
        await upstream.aclose()
        await app.stop()

    run(scenario)


def test_address_is_permitted_before_it_is_dialled() -> None:
    async def scenario() -> None:
        asked_for: list[tuple[str, int, str]] = []

        def permits(host: str, port: int, address: str) -> bool:
            asked_for.append((host, port, address))
            return False

        upstream = GrpcUpstream(target="grpc://localhost:9", permits=permits)
        assert await code_of(upstream, Call(CLOSE)) is ErrorCode.FORBIDDEN
        assert {each[:2] for each in asked_for} == {("localhost", 9)}
        await upstream.aclose()

    run(scenario)


def test_next_address_is_tried_when_one_refuses() -> None:
    async def scenario() -> None:
        app = CallApp()
        await app.start()
        # Where localhost is ::1 too, nobody listens there.
        upstream = GrpcUpstream(target=f"grpc://localhost:{app.port}", permits=lambda *_: True)
        call = Call(data(b"m"), CLOSE)
        await upstream.handle(call)
        assert call.messages() == [b"m"]
        assert dict(app.calls[0].metadata)
        await upstream.aclose()
        await app.stop()

    run(scenario)


def test_those_who_wait_for_a_connection_share_its_failure_and_cancelling_one_spoils_nothing() -> None:
    async def scenario() -> None:
        silent = socket.create_server(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        upstream = GrpcUpstream(target=f"grpc://127.0.0.1:{port}", permits=lambda *_: True, connect_timeout_s=0.3)
        leaving = asyncio.create_task(upstream.handle(Call(CLOSE)))
        staying = [asyncio.create_task(code_of(upstream, Call(CLOSE))) for _ in range(3)]
        await asyncio.sleep(0)
        leaving.cancel()
        assert await asyncio.gather(*staying) == [ErrorCode.UPSTREAM_TIMEOUT] * 3
        assert leaving.cancelled()
        assert upstream.open_connections == 0
        await upstream.aclose()
        silent.close()

    run(scenario)


def test_connection_that_was_lost_is_dialled_anew() -> None:
    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app) as upstream:
            await upstream.handle(Call(CLOSE))
            await app.stop()
            again = CallApp(port=app.port)
            await again.start()
            call = Call(data(b"m"), CLOSE)
            await upstream.handle(call)
            assert call.messages() == [b"m"]
            await again.stop()

    run(scenario)


def test_deadline_that_has_passed_is_not_given_to_the_target() -> None:
    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app) as upstream:
            call = Call(CLOSE, call=asked(timeout_s=1e-6))
            await upstream.handle(call)
            (ending,) = call.sent
            assert isinstance(ending, GrpcFrame)
            assert ending.status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
            assert app.calls == []

    run(scenario)


def test_cancelling_cancels_the_call_at_the_target() -> None:
    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app) as upstream:
            handling = asyncio.create_task(upstream.handle(Call(data(b"m"), call=asked(["read", 1], ["hang"]))))
            seen = await app.call()
            # A server of grpc.aio that is still reading is shown an end first, and told of the cancellation behind it.
            await eventually(lambda: seen.messages == [b"m"])
            handling.cancel()
            await asyncio.wait([handling])
            await asyncio.wait_for(seen.ended.wait(), 1)
            assert seen.cancelled
            assert not seen.half_closed

    run(scenario)


def test_answer_that_nobody_wants_any_more_cancels_the_call() -> None:
    class Enough(Call):
        async def send(self, payload: object) -> None:
            raise SendingStopped("enough")

    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app) as upstream:
            await upstream.handle(Enough(call=asked(["send", 5, 1], ["hang"])))
            seen = await app.call()
            await asyncio.wait_for(seen.ended.wait(), 1)
            assert seen.cancelled

    run(scenario)


def test_answer_that_is_not_taken_stops_the_target() -> None:
    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app) as upstream:
            call = Call(CLOSE, call=asked(["send", 60_000, 1000]), room=2)
            handling = asyncio.create_task(upstream.handle(call))
            await call.sending.wait()
            await upstream.handle(Call(CLOSE))
            assert not app.calls[0].ended.is_set()
            handling.cancel()
            await asyncio.wait([handling])
            await asyncio.wait_for(app.calls[0].ended.wait(), 1)

    run(scenario)


@pytest.mark.parametrize("timeout_s", [292 * 365 * 86400.0, 99_999_999 * 3600.0])
def test_deadline_in_centuries_is_none_that_has_passed(timeout_s: float) -> None:
    async def scenario() -> None:
        async with upstream_of(CallApp()) as upstream:
            call = Call(data(b"m"), CLOSE, call=CallHead("s.S", "M", timeout_s=timeout_s))
            await upstream.handle(call)
            assert call.messages() == [b"m"]

    run(scenario)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (Call(BodyChunk(b"x")), ErrorCode.PROTOCOL_ERROR),
        (Call(GrpcFrame(GrpcFrameType.TRAILER)), ErrorCode.PROTOCOL_ERROR),
        (Call(data(b"half", more=True), CLOSE), ErrorCode.PROTOCOL_ERROR),
        (Call(data(b"x" * 1001)), ErrorCode.TOO_LARGE),
        (Call(call=CallHead("s", "m", (b"BAD", b"1"))), ErrorCode.BAD_REQUEST),
        (Call(call=CallHead("s", "m", (b"key", b"\x01"))), ErrorCode.BAD_REQUEST),
        (Call(call=CallHead("s/../t", "m \n")), ErrorCode.BAD_REQUEST),
    ],
)
def test_request_that_is_none_of_a_call_is_refused_and_the_call_cancelled(call: Call, code: ErrorCode) -> None:
    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app, max_message_bytes=1000) as upstream:
            assert await code_of(upstream, call) is code
            await eventually(lambda: all(each.ended.is_set() for each in app.calls))

    run(scenario)


def test_request_of_http_is_refused() -> None:
    class Request(Call):
        @property
        def head(self) -> HttpRequest:  # type: ignore[override]
            return HttpRequest("GET")

    async def scenario() -> None:
        upstream = GrpcUpstream(target="grpc://127.0.0.1:1", permits=lambda *_: True)
        assert await code_of(upstream, Request()) is ErrorCode.PROTOCOL_ERROR

    run(scenario)


def test_closing_fails_calls_under_way_and_refuses_others() -> None:
    async def scenario() -> None:
        app = CallApp()
        async with upstream_of(app) as upstream:
            call = Call(data(b"m"), call=asked(["read", 1], ["hang"]))
            handling = asyncio.create_task(code_of(upstream, call))
            await (await app.call()).begun.wait()
            await upstream.aclose()
            assert await handling is ErrorCode.UPSTREAM_UNREACHABLE
            assert await code_of(upstream, Call(CLOSE)) is ErrorCode.REFUSED

    run(scenario)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    directory = tmp_path_factory.mktemp("tls")
    key, pem = directory / "key.pem", directory / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-days", "2", *subject, "-keyout", key, "-out", pem], check=True, capture_output=True)
    return pem, key


@pytest.mark.parametrize(
    ("host", "trusted", "name", "well"),
    [
        ("localhost", True, None, True),
        ("127.0.0.1", True, "localhost", True),
        ("localhost", True, "other.test", False),
        ("localhost", False, None, False),
    ],
)
def test_over_tls_the_name_is_verified_though_an_address_is_dialled(
    certificate: tuple[Path, Path], host: str, trusted: bool, name: str | None, well: bool
) -> None:
    pem, key = certificate

    async def scenario() -> None:
        app = CallApp()
        await app.start(grpc.ssl_server_credentials([(key.read_bytes(), pem.read_bytes())]))
        upstream = GrpcUpstream(
            target=f"grpcs://{host}:{app.port}",
            permits=lambda _host, _port, address: address == "127.0.0.1",
            tls=UpstreamTlsSettings(ca=pem.read_text() if trusted else None, server_name=name),
        )
        call = Call(data(b"m"), CLOSE)
        if well:
            await upstream.handle(call)
            assert call.messages() == [b"m"]
        else:
            assert await code_of(upstream, call) is ErrorCode.UPSTREAM_UNREACHABLE
        await upstream.aclose()
        await app.stop()

    run(scenario)


def test_tls_that_verifies_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="always verifies"):
        GrpcUpstream(target="grpcs://a.test:1", permits=lambda *_: True, tls=UpstreamTlsSettings(verify=False))
