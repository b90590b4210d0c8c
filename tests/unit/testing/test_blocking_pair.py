"""The same from ordinary functions: nothing of an event loop is to be seen."""

from __future__ import annotations

import threading
from typing import Any

import pytest

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
