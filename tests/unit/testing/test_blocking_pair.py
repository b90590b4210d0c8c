"""The same from ordinary functions: nothing of an event loop is to be seen."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from tunnel.domain.errors import ConfigurationError
from tunnel.testing.faults import Cut
from tunnel.testing.fixtures import TunnelPairs

pytest_plugins = ["tunnel.testing.fixtures"]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode() + message["body"]})


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_visitor_without_an_event_loop_reaches_the_application(tunnel_pair: TunnelPairs, backend: str):
    threads = set(threading.enumerate())
    with tunnel_pair.blocking(app, backend=backend) as pair:
        assert pair.get("/a").text == "/a"
        assert pair.post("/a", b"b").text == "/ab"

    assert set(threading.enumerate()) == threads


def test_faults_strike_from_outside_the_event_loop(tunnel_pair: TunnelPairs):
    with tunnel_pair.blocking(app) as pair:
        pair.strike(Cut())
        pair.ready()

        assert pair.get("/").status == 200


def test_coroutine_functions_are_called_where_the_pair_is(tunnel_pair: TunnelPairs):
    with tunnel_pair.blocking(app) as pair:
        assert pair.call(pair.pair.get, "/x").text == "/x"


def test_error_of_the_application_is_raised_as_it_is(tunnel_pair: TunnelPairs):
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(ConfigurationError, match="no database"), tunnel_pair.blocking(failing):
        pass


def test_pair_that_is_never_left_does_not_keep_the_interpreter_from_ending():
    code = """
        from tunnel.testing.fixtures import open_blocking_tunnel_pair

        async def app(scope, receive, send):
            raise NotImplementedError

        left_open = open_blocking_tunnel_pair(app)
        left_open.__enter__().ready()
        print("ready", flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_interrupted_call_is_cancelled_where_the_pair_is(
    tunnel_pair: TunnelPairs, backend: str, monkeypatch: pytest.MonkeyPatch
):
    begun, over = threading.Event(), threading.Event()

    async def wait() -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            over.set()

    def interrupted() -> None:
        assert begun.wait(10)
        raise KeyboardInterrupt

    start = BlockingPortal.start_task_soon

    def start_interrupted(*arguments: Any) -> Future[Any]:
        future = start(*arguments)
        monkeypatch.setattr(future, "result", interrupted)
        return future

    with tunnel_pair.blocking(app, backend=backend) as pair:
        monkeypatch.setattr(BlockingPortal, "start_task_soon", start_interrupted)
        with pytest.raises(KeyboardInterrupt):
            pair.call(wait)
        monkeypatch.undo()
        assert over.wait(10)
