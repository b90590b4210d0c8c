"""Exposing an application from blocking code: what visitors reach, its errors, its end, and interrupts."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import pytest

import tunnel
from tunnel import blocking
from tunnel.domain.configuration import decode_server_settings
from tunnel.domain.errors import LinkEnd

TOKEN = "a-token-of-tests"
HOST = "demo.laptop.test"


async def greet(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-thread", _thread())]})
    await send({"type": "http.response.body", "body": b"hello " + scope["raw_path"]})


def site(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"from a thread"]


def _thread() -> bytes:
    return str(threading.get_ident()).encode()


def server_settings(*hosts: str) -> tunnel.ServerSettings:
    credential = {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "hosts": [*hosts] or ["*.laptop.test"]}
    return decode_server_settings(
        {
            "transports": {"websocket": {"listen": "127.0.0.1:0"}},
            "ingress": {"http": {"listen": "127.0.0.1:0"}},
            "auth": {"tokens": {"laptop": credential}},
        }
    )


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # Threads of WSGI are the event loop's, which ends with its thread.
    assert set(threading.enumerate()) <= before


@pytest.fixture
def server() -> Iterator[blocking.Server]:
    with blocking.Server(server_settings()) as server:
        yield server


def url_of(server: blocking.Server) -> str:
    return f"ws://{server.addresses['transport.websocket']}"


def visit(server: blocking.Server, path: str = "/", *, host: str = HOST) -> Any:
    return urlopen(Request(f"http://{server.addresses['ingress.http']}{path}", headers={"Host": host}), timeout=20)


def test_arguments_are_those_of_the_asynchronous_twin() -> None:
    own, twin = inspect.signature(blocking.expose), inspect.signature(tunnel.expose)
    assert list(own.parameters.values()) == list(twin.parameters.values())


def test_application_is_reached_by_the_host_that_is_granted(server: blocking.Server) -> None:
    with blocking.expose(greet, to=url_of(server), token=TOKEN, host=HOST) as exposed:
        port = server.addresses["ingress.http"].rpartition(":")[2]
        assert (exposed.url, exposed.host, exposed.path_prefix) == (f"http://{HOST}:{port}", HOST, "/")
        answer = visit(server, "/a")
        assert answer.read() == b"hello /a"
        assert answer.headers["x-thread"] != _thread().decode()
        assert exposed.inner.client.claim is not None


def test_application_of_wsgi_is_reached(server: blocking.Server) -> None:
    with blocking.expose(site, to=url_of(server), token=TOKEN, path_prefix="/api") as exposed:
        assert exposed.host.endswith(".laptop.test")
        assert exposed.path_prefix == "/api"
        assert visit(server, "/api", host=exposed.host).read() == b"from a thread"


def test_it_works_inside_a_running_loop(server: blocking.Server) -> None:
    async def notebook() -> bytes:
        with blocking.expose(greet, to=url_of(server), token=TOKEN, host=HOST) as exposed:
            assert exposed.host == HOST
            # Nobody runs this loop meanwhile, and it is not needed.
            body: bytes = visit(server, "/cell").read()
            return body

    assert asyncio.run(notebook()) == b"hello /cell"


def test_closing_ends_waiting_in_another_thread(server: blocking.Server) -> None:
    with blocking.expose(greet, to=url_of(server), token=TOKEN, host=HOST) as exposed:
        with pytest.raises(TimeoutError):
            exposed.wait_closed(timeout_s=0.01)
        waiting = threading.Thread(target=exposed.wait_closed)
        waiting.start()
        exposed.close(drain_s=0)
        waiting.join(20)
        assert not waiting.is_alive()


def test_claim_that_is_taken_back_is_raised_to_whoever_waits(server: blocking.Server) -> None:
    with blocking.expose(greet, to=url_of(server), token=TOKEN, host=HOST) as exposed:
        settings = server.look(lambda inner: inner.settings)
        server.reload(_without_hosts(settings))
        with pytest.raises(tunnel.RegistrationRefused):
            exposed.wait_closed(timeout_s=20)


def _without_hosts(settings: tunnel.ServerSettings) -> tunnel.ServerSettings:
    return msgspec.structs.replace(settings, auth=server_settings("other.test").auth)


def test_what_is_wrong_is_raised_on_entering(server: blocking.Server) -> None:
    def enter(app: object, **arguments: Any) -> None:
        with blocking.expose(app, **{"to": url_of(server), "token": TOKEN, **arguments}):
            pytest.fail("entered")

    with pytest.raises(tunnel.RegistrationRefused, match="may not claim the host"):
        enter(greet, host="other.test")
    with pytest.raises(tunnel.ConfigurationError) as caught:
        enter("nonsense")
    assert caught.value.key_path == "app"
    with pytest.raises(tunnel.LinkError) as lost:
        enter(greet, to="memory://nobody", timeout_s=0.01)
    assert lost.value.end is LinkEnd.UNREACHABLE


def test_outside_its_context_nothing_is_to_be_had() -> None:
    with pytest.raises(tunnel.LinkError, match="not entered"):
        blocking.expose(greet, to="memory://nobody", token=TOKEN).url  # noqa: B018


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("when", ["entering", "waiting"])
def test_interrupt_ends_everything(server: blocking.Server, when: str) -> None:
    code = f"""
        import sys, threading
        sys.path.insert(0, "tests/unit/app")
        from test_blocking_exposure import TOKEN, greet
        from tunnel import blocking

        async def application(scope, receive, send):
            if scope["type"] != "lifespan":
                return
            await receive()
            print("starting", flush=True)
            if {when!r} == "waiting":
                await send({{"type": "lifespan.startup.complete"}})
            await receive()

        try:
            with blocking.expose(application, to={url_of(server)!r}, token=TOKEN) as exposed:
                print("entered", flush=True)
                exposed.wait_closed()
        except KeyboardInterrupt:
            print("interrupted", threading.active_count(), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in ("starting", "entered")[: 1 if when == "entering" else 2]:
        assert process.stdout.readline() == f"{line}\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted 1\n", err
