"""What becomes of commands whose terminal is closed, and of those that were started to outlive theirs."""

import hashlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_processes import address_of
from e2e_terminal import OnTerminal
from e2e_topologies import INGRESS_LINE, TOKEN
from e2e_visitor import Address, fetch, run, wait_until_gone
from support.ports import unused_port

APPLICATION = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/prints":
        print("asked for", scope["path"], flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
    while scope["path"] == "/waits" and not os.path.exists("go"):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"and ended"})
"""

ALTERNATE_SCREEN = r"\x1b\[\?1049h"
URL = r"http://[a-z0-9-]+\.localhost:\d+"


def server_settings(transport_port: int, *, ingress_port: int = 0) -> dict[str, object]:
    token = {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "hosts": ["*.localhost"], "groups": ["web"]}
    upstream = {"targets": ["http://127.0.0.1:1"]}
    return {
        "transports": {"websocket": {"listen": f"127.0.0.1:{transport_port}"}},
        "ingress": {"http": {"listen": f"127.0.0.1:{ingress_port}"}},
        "auth": {"tokens": {"e2e": token}},
        "rules": [{"host": "web.test", "group": "web"}],
        "groups": {"web": {"rules": [{"upstream": "app"}], "upstreams": {"app": upstream}}},
        "claims": {"wait_for_client_s": 0},
    }


@pytest.fixture
def edge(tmp_path: Path, spawn, monkeypatch) -> tuple[str, Address]:
    """A server: where clients and where visitors come in. The working directory has an application."""
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(APPLICATION)
    port = unused_port()
    Path("server.json").write_text(json.dumps(server_settings(port)))
    process = spawn("server", "-m", "tunnel", "server", "--config", "server.json")
    return f"ws://127.0.0.1:{port}", address_of(process.wait_for(INGRESS_LINE))


def exposing(edge: tuple[str, Address], *options: str, nohup: bool = False) -> OnTerminal:
    arguments = ("-m", "tunnel", "expose", "shop:app", "--server", edge[0], *options)
    return OnTerminal(*arguments, nohup=nohup, env={"TUNNEL_TOKEN": TOKEN})


def asked(address: Address, host: str, path: str) -> socket.socket:
    """A connection on which a response has begun."""
    connection = socket.create_connection(address, timeout=20)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head = b""
    while b"begun " not in head:
        piece = connection.recv(1 << 16)
        assert piece, head
        head += piece
    return connection


def rest(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize(("how", "hangup"), [("live", "closed"), ("--quiet", "closed"), ("live", "signals")])
def test_what_is_exposed_drains_when_its_terminal_is_closed(edge, how, hangup):
    with exposing(edge, *([how] if how != "live" else [])) as command:
        host = command.wait_for(URL)[0].partition("://")[2]
        if how == "live":
            command.wait_for(ALTERNATE_SCREEN)
        with asked(edge[1], host, "/waits") as connection:
            if hangup == "closed":
                command.close()
            else:
                # A shell sends one beside that of the system, and none of them hurries.
                for _ in range(3):
                    command.signal(signal.SIGHUP)
            wait_until_gone(edge[1], host)
            assert command.running(), "a conversation is under way"
            Path("go").touch()
            assert rest(connection).endswith(b"and ended\r\n0\r\n\r\n")
        assert command.code() == 0


@pytest.mark.parametrize("how", ["live", "--quiet"])
def test_what_is_exposed_outlives_its_terminal_when_it_is_to(edge, how):
    with exposing(edge, *([how] if how != "live" else []), nohup=True) as command:
        host = command.wait_for(URL)[0].partition("://")[2]
        if how == "live":
            command.wait_for(ALTERNATE_SCREEN)
        with asked(edge[1], host, "/waits") as connection:
            command.close()
            command.signal(signal.SIGHUP)
            # Each has the live view drawn again: that meets a terminal that is gone, and keeps from it what is printed.
            path, until = ("/prints", time.monotonic() + 1) if how == "live" else ("/", 0.0)
            while served := run(fetch(edge[1], path, host=host)):
                assert served.body == b"begun and ended"
                if time.monotonic() >= until:
                    break
            Path("go").touch()
            assert rest(connection).endswith(b"and ended\r\n0\r\n\r\n")
        command.signal(signal.SIGTERM)
        assert command.code() == 0


def test_server_whose_terminal_is_closed_reloads_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ports = unused_port(), unused_port()
    before = server_settings(ports[0], ingress_port=ports[1])
    Path("server.json").write_text(json.dumps(before))
    with OnTerminal("-m", "tunnel", "server", "--config", "server.json") as command:
        command.wait_for(INGRESS_LINE)
        address = ("127.0.0.1", ports[1])
        assert run(fetch(address, "/", host="web.test")).status == 503
        Path("server.json").write_text(json.dumps(before | {"rules": []}))
        command.close()
        deadline = time.monotonic() + 20
        while run(fetch(address, "/", host="web.test")).status != 404:
            assert command.running()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        command.signal(signal.SIGTERM)
        assert command.code() == 0


def test_client_whose_terminal_is_closed_goes_on(edge):
    Path("client.json").write_text(json.dumps({"servers": [edge[0]], "group": "web", "token": TOKEN}))
    with OnTerminal("-m", "tunnel", "client", "--config", "client.json") as command:
        command.wait_for("ready client=")
        command.close()
        for _ in range(5):
            # The answer of a client whose upstream is not there.
            assert run(fetch(edge[1], "/", host="web.test")).status == 502
        command.signal(signal.SIGTERM)
        assert command.code() == 0


@pytest.fixture
def demo_directory(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.glob("tunnel-demo-*")) == []


def pids(command: OnTerminal) -> list[int]:
    return [int(pid) for pid in re.findall(r"pid (\d+)", command.seen)]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("moment", ["GET", "end this with Ctrl-C"])
def test_demo_whose_terminal_is_closed_leaves_nothing_behind(demo_directory, moment):
    with OnTerminal("-m", "tunnel", "demo", "--transport", "websocket") as command:
        command.wait_for(moment)
        command.close()
        assert command.code() in (0, 1, 130)
        assert [pid for pid in pids(command) if exists(pid)] == []


def test_demo_outlives_its_terminal_when_it_is_to(demo_directory):
    with OnTerminal("-m", "tunnel", "demo", "--transport", "memory", nohup=True) as command:
        url = command.wait_for(r"curl -i http://([^/]+)/")[1]
        command.close()
        command.signal(signal.SIGHUP)
        address, _, port = url.rpartition(":")
        assert run(fetch((address, int(port)), "/", host=url)).body.startswith(b"Hello")
        command.signal(signal.SIGTERM)
        assert command.code() == 0
