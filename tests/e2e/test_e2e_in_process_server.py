"""Applications in the server's process, reached from a client's entry over every kind of link."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from e2e_processes import Process, address_of
from websockets.asyncio.client import connect

pytest.importorskip("fastapi")
pytest.importorskip("django")
pytest.importorskip("flask")

import in_process_site as site  # of frameworks that may not be there

import tunnel
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

TOKEN = "in-process-token"
SITES = {
    "fastapi": "asgi:in_process_site:fastapi_site",
    "starlette": "app:starlette",
    "flask": "wsgi:in_process_site:flask_site",
}
TRANSPORTS = {"memory": "memory://{}", "grpc": "grpc://{}", "websocket": "ws://{}"}
Ask: TypeAlias = Callable[..., Coroutine[Any, Any, httpx.Response]]


def server_table(transport: str, sites: dict[str, str]) -> dict[str, Any]:
    where = {"name": "in-process-forward"} if transport == "memory" else {"listen": "127.0.0.1:0"}
    return {
        "transports": {transport: where},
        "auth": {"tokens": {"t": {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "groups": ["web"]}}},
        "groups": {"web": {}},
        "forward": {
            "rules": [{"host": f"{name}.test", "groups": ["web"], "upstream": name} for name in sites],
            "upstreams": {name: {"targets": [target]} for name, target in sites.items()},
        },
    }


@asynccontextmanager
async def running(transport: str, sites: dict[str, str]) -> AsyncIterator[tuple[tunnel.Server, str]]:
    """A server with ``sites``, and the address of a client's entry."""
    settings = decode_server_settings(server_table(transport, sites))
    async with tunnel.Server(settings, applications={"starlette": site.starlette_site}) as server:
        table = {
            "group": "web",
            "token": TOKEN,
            "servers": [TRANSPORTS[transport].format(server.addresses[f"transport.{transport}"])],
            "entry": {"http": {"listen": "127.0.0.1:0"}},
        }
        async with tunnel.Client(decode_client_settings(table)) as client:
            await client.ready()
            yield server, client.addresses["entry.http"]


@asynccontextmanager
async def visitor(address: str) -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as visitor:

        async def ask(name: str, method: str, path: str, **options: Any) -> httpx.Response:
            return await visitor.request(method, path, headers={"host": f"{name}.test"}, **options)

        yield ask


async def conversations(transport: str) -> None:
    body = bytes(range(256)) * 1024
    async with running(transport, SITES) as (_, entry), visitor(entry) as ask:
        for name in SITES:
            answer = await ask(name, "GET", "/small")
            assert answer.status_code == 200
            assert name in answer.text
            answer = await ask(name, "POST", "/upload", content=body)
            assert answer.json() == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            assert (await ask(name, "GET", "/download")).content == site.PART * site.PARTS
        assert (await ask("fastapi", "GET", "/fail")).status_code == 500
        assert (await ask("fastapi", "GET", "/state")).text == "a pool"
        host, _, port = entry.rpartition(":")
        async with connect("ws://fastapi.test/echo", host=host, port=int(port), compression=None) as socket:
            for text in ("grüß", "x" * 100_000):
                await socket.send(text)
                assert await socket.recv() == text


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_entry_reaches_applications_of_the_server(transport: str) -> None:
    site.lives.clear()
    asyncio.run(conversations(transport))
    assert site.lives == ["fastapi up", "fastapi down"]


async def reloaded() -> None:
    sites = {"site": "asgi:in_process_site:fastapi_site"}
    async with running("websocket", sites) as (server, entry), visitor(entry) as ask:
        assert site.lives == ["fastapi up"]
        await server.reload(decode_server_settings(server_table("websocket", {"site": "app:starlette"})))
        assert "starlette" in (await ask("site", "GET", "/small")).text
        while site.lives != ["fastapi up", "fastapi down"]:
            await ask("site", "GET", "/small")  # each is a round trip
        with pytest.raises(tunnel.ConfigurationError, match=r"forward\.upstreams\.site\.targets\[0\]: there is no mod"):
            await server.reload(decode_server_settings(server_table("websocket", {"site": "asgi:no_such:app"})))
        assert "starlette" in (await ask("site", "GET", "/small")).text


def test_reload_starts_and_ends_applications_of_the_server() -> None:
    site.lives.clear()
    asyncio.run(reloaded())
    assert site.lives == ["fastapi up", "fastapi down"]


# -- the command

SHOP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("{name} is up", flush=True)
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        print("{name} is down", flush=True)
        await send({{"type": "lifespan.shutdown.complete"}})
    else:
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": b"{name}"}})
"""


def server_file(directory: Path, target: str) -> str:
    path = directory / "server.toml"
    path.write_text(
        '[transports.websocket]\nlisten = "127.0.0.1:0"\n'
        f"[auth.tokens.t]\nsha256 = \"{hashlib.sha256(TOKEN.encode()).hexdigest()}\"\ngroups = ['web']\n"
        "[groups.web]\n[[forward.rules]]\ngroups = ['web']\nupstream = 'shop'\n"
        f'[forward.upstreams.shop]\ntargets = ["{target}"]\n'
    )
    return str(path)


def client_file(directory: Path, server: str) -> str:
    path = directory / "client.toml"
    path.write_text(
        f'group = "web"\ntoken = "{TOKEN}"\nservers = ["ws://{server}"]\n[entry.http]\nlisten = "127.0.0.1:0"\n'
    )
    return str(path)


def test_command_serves_and_follows_a_module_of_its_working_directory(tmp_path, monkeypatch) -> None:
    for name in ("shop", "stall"):
        (tmp_path / f"{name}_of_server.py").write_text(SHOP.format(name=name))
    monkeypatch.chdir(tmp_path)
    command = "import sys; sys.path[:] = [p for p in sys.path if p]; from tunnel.app.cli import main; sys.exit(main())"
    server = Process("server", "-c", command, "server", "--config", server_file(tmp_path, "asgi:shop_of_server:app"))
    processes = [server]
    try:
        # Those who come in find it there.
        server.wait_for("shop is up")
        host, port = address_of(server.wait_for(r"listening kind=transport name=websocket address=(\S+)"))
        client = Process("client", "-m", "tunnel", "client", "--config", client_file(tmp_path, f"{host}:{port}"))
        processes.append(client)
        client.wait_for("ready client=")
        host, port = address_of(client.wait_for(r"listening kind=entry name=http address=(\S+)"))
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as visitor:
            assert visitor.get("/").text == "shop"
            server_file(tmp_path, "asgi:stall_of_server:app")
            server.signal(signal.SIGHUP)
            server.wait_for("stall is up")
            server.wait_for("shop is down")
            assert visitor.get("/").text == "stall"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.matches("stall is down")
    finally:
        for process in processes:
            process.kill()


def test_application_that_cannot_be_had_is_exit_2(tmp_path: Path) -> None:
    config = server_file(tmp_path, "asgi:no_such_module:app")
    checked = subprocess.run([sys.executable, "-m", "tunnel", "check", config], capture_output=True, timeout=20)
    assert checked.returncode == 0, checked.stderr
    command = [sys.executable, "-m", "tunnel", "server", "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert 'forward.upstreams.shop.targets[0]: there is no module "no_such_module"' in done.stderr
    assert "listening" not in done.stderr
