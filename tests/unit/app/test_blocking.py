"""The blocking twins: their thread, their errors, and interrupts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

import tunnel
from tunnel import blocking
from tunnel.domain.configuration import (
    AuthSettings,
    GroupSettings,
    MemoryTransportSettings,
    Secret,
    TokenSettings,
    TransportsSettings,
    WebSocketTransportSettings,
)
from tunnel.domain.errors import LinkError, RegistrationRefused

TOKEN = "a-token-of-tests"


def server_settings(*, name: str = "blocking", listen: str = "127.0.0.1:0") -> tunnel.ServerSettings:
    return tunnel.ServerSettings(
        transports=TransportsSettings(
            memory=MemoryTransportSettings(name=name), websocket=WebSocketTransportSettings(listen=listen)
        ),
        auth=AuthSettings(
            tokens={"laptop": TokenSettings(sha256=hashlib.sha256(TOKEN.encode()).hexdigest(), groups=("web",))}
        ),
        groups={"web": GroupSettings()},
    )


def client_settings(url: str, token: str = TOKEN) -> tunnel.ClientSettings:
    return tunnel.ClientSettings(group="web", client_id="one", token=Secret(token), servers=(url,))


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_server_and_a_client_run_in_threads_of_their_own() -> None:
    with blocking.Server(server_settings()) as server:
        url = f"ws://{server.addresses['transport.websocket']}"
        with blocking.Client(client_settings(url)) as client:
            client.ready(timeout_s=10)
            assert client.client_id == "one"
            assert [each.client_id for each in server.clients().clients] == ["one"]
            assert client.reload(client_settings(url)) == 2
            client.close(drain_s=0)
            client.wait_closed(timeout_s=10)
        server.close(drain_s=0)
        server.wait_closed(timeout_s=10)


def test_they_are_had_from_the_package_alone() -> None:
    code = "import sys, tunnel; assert 'anyio' not in sys.modules; print(tunnel.blocking.Server.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout == "tunnel.app.blocking\n", done.stderr


def test_they_run_inside_a_running_loop() -> None:
    async def notebook() -> dict[str, str]:
        with blocking.Server(server_settings()) as server:
            return server.addresses

    assert "transport.websocket" in asyncio.run(notebook())


def test_errors_are_raised_where_it_was_called() -> None:
    with blocking.Server(server_settings()) as server:
        taken = server.addresses["transport.websocket"]
        with pytest.raises(tunnel.ListenError), blocking.Server(server_settings(name="other", listen=taken)):
            pass
        stranger = blocking.Client(client_settings(f"ws://{taken}", token="wrong"))
        with stranger, pytest.raises(RegistrationRefused):
            stranger.ready(timeout_s=10)


def test_waiting_has_an_end() -> None:
    with blocking.Server(server_settings()) as server, pytest.raises(TimeoutError):
        server.wait_closed(timeout_s=0.01)


@pytest.mark.parametrize("entered_before", [False, True])
def test_outside_its_context_nothing_is_to_be_had(*, entered_before: bool) -> None:
    server = blocking.Server(server_settings())
    if entered_before:
        with server:
            pass

    with pytest.raises(LinkError, match="not entered"):
        server.addresses  # noqa: B018


def test_any_asynchronous_context_manager_can_be_kept() -> None:
    events = []

    @asynccontextmanager
    async def kept() -> AsyncIterator[int]:
        events.append(threading.current_thread())
        yield 7
        events.append(threading.current_thread())

    with blocking.Blocking(kept) as keeper:
        assert keeper.inner == 7
        assert keeper.look(lambda number: number + 1) == 8
        assert keeper.call(_doubled) == 14

    assert events[0] is events[1] is not threading.current_thread()


async def _doubled(number: int) -> int:
    await anyio.lowlevel.checkpoint()
    return number * 2


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_while_waiting_closes_everything() -> None:
    code = """
        import sys, threading
        sys.path.insert(0, "tests")
        sys.path.insert(0, "tests/unit/app")
        from test_blocking import server_settings
        from tunnel import blocking
        try:
            with blocking.Server(server_settings()) as server:
                print("waiting", flush=True)
                server.wait_closed()
        except KeyboardInterrupt:
            print("interrupted", threading.active_count(), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted 1\n", err
