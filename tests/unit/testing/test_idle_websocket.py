"""A WebSocket on which nothing is said for hours."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tunnel.testing.fixtures import TunnelPairs

pytest_plugins = ["tunnel.testing.fixtures"]
pytestmark = pytest.mark.anyio

HOURS_S = 3 * 3600.0
FIELDS = (
    (b"host", b"app.test"),
    (b"connection", b"upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
)
SCOPE = {
    "type": "websocket",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "scheme": "ws",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": list(FIELDS),
    "client": ("127.0.0.1", 1),
    "server": ("app.test", 80),
    "subprotocols": [],
    "extensions": {"websocket.http.response": {}},
    "state": {},
}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


async def test_socket_that_was_idle_for_hours_goes_on(tunnel_pair: TunnelPairs) -> None:
    say, said = anyio.create_memory_object_stream[Any](1)
    answer, answers = anyio.create_memory_object_stream[Any](1)
    async with tunnel_pair(echo) as pair, say, said, answer, answers, anyio.create_task_group() as tasks:
        tasks.start_soon(pair.server.ingress, SCOPE, said.receive, answer.send)
        await say.send({"type": "websocket.connect"})
        assert (await answers.receive())["type"] == "websocket.accept"

        since = anyio.current_time()
        await pair.clock.sleep(HOURS_S)
        await say.send({"type": "websocket.receive", "text": "still there"})
        assert (await answers.receive())["text"] == "still there"
        assert anyio.current_time() >= since + HOURS_S

        await say.send({"type": "websocket.disconnect", "code": 1000})
