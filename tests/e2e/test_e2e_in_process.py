"""Applications in the client's process, of frameworks as people have them, reached over every kind of link."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e_processes import Process
from support.frameworks import without_frameworks
from support.ports import unused_port
from websockets.sync.client import connect

pytest.importorskip("fastapi")
pytest.importorskip("django")
pytest.importorskip("flask")

import in_process_site as site  # of frameworks that may not be there

import tunnel
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

# Django leaves the temporary file of a request's body to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

TOKEN = "in-process-token"
SITES = {
    "fastapi": "asgi:in_process_site:fastapi_site",
    "starlette": "app:starlette",
    "django-asgi": "asgi:in_process_site:django_asgi()",
    "django-wsgi": "wsgi:in_process_site:django_wsgi()",
    "flask": "wsgi:in_process_site:flask_site",
}
TRANSPORTS = {"memory": "memory://in-process-e2e", "grpc": "grpc://{}", "websocket": "ws://{}"}


def server_table(transport: str) -> dict[str, Any]:
    where = {"name": "in-process-e2e"} if transport == "memory" else {"listen": "127.0.0.1:0"}
    upstreams = {name: {"targets": ["http://127.0.0.1:1"]} for name in SITES}
    return {
        "transports": {transport: where},
        "ingress": {"http": {"listen": "127.0.0.1:0"}},
        "auth": {"tokens": {"t": {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "groups": ["web"]}}},
        "rules": [{"path_prefix": "/", "group": "web"}],
        "groups": {
            "web": {
                "rules": [{"host": f"{name}.test", "upstream": name} for name in SITES],
                "upstreams": upstreams,
            }
        },
    }


class Running:
    """A server and a client in a thread of their own.

    Attributes:
        base: URL of the ingress.
    """

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self.base = ""
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Running:
        self.thread.start()
        assert self._ready.wait(20)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(20)
        assert not self.thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        except BaseException as exc:
            self._failure = exc
            raise
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        async with tunnel.Server(decode_server_settings(server_table(self._transport))) as server:
            address = server.addresses[f"transport.{self._transport}"]
            table = {
                "group": "web",
                "token": TOKEN,
                "servers": [TRANSPORTS[self._transport].format(address)],
                "upstreams": {name: {"targets": [target]} for name, target in SITES.items()},
            }
            applications = {"starlette": site.starlette_site}
            async with tunnel.Client(decode_client_settings(table), applications=applications) as client:
                await client.ready()
                self.base = f"http://{server.addresses['ingress.http']}"
                self._ready.set()
                await self._stop.wait()
                await client.aclose(drain_s=5)


@pytest.fixture(scope="module", params=TRANSPORTS)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    site.lives.clear()
    site.flask_go.clear()
    with Running(request.param) as running:
        yield running
    gc.collect()
    # Once, however many conversations there were; and the end is reached.
    assert site.lives == ["fastapi up", "fastapi down"]


@pytest.fixture
def visit(running: Running) -> Iterator[Any]:
    """Asks a site by its name."""
    with httpx.Client(base_url=running.base, timeout=20) as client:

        def ask(name: str, method: str, path: str, **options: Any) -> httpx.Response:
            return client.request(method, path, headers={"host": f"{name}.test"}, **options)

        ask.client = client  # type: ignore[attr-defined]
        yield ask


@pytest.mark.parametrize("name", SITES)
def test_small_answer(visit: Any, name: str) -> None:
    answer = visit(name, "GET", "/small")
    assert answer.status_code == 200
    assert name.partition("-")[0] in answer.text
    assert name == "fastapi" or answer.text.endswith("for 127.0.0.1")
    assert "date" in answer.headers


@pytest.mark.parametrize("name", SITES)
def test_answer_to_head_has_no_body(visit: Any, name: str) -> None:
    answer = visit(name, "HEAD", "/small")
    assert answer.status_code in (200, 405)
    assert answer.content == b""


@pytest.mark.parametrize("name", SITES)
def test_upload_arrives_whole(visit: Any, name: str) -> None:
    body = bytes(range(256)) * 4096
    answer = visit(name, "POST", "/upload", content=body)
    assert answer.json() == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("name", ["fastapi", "starlette", "flask"])
def test_upload_in_chunks_arrives_whole(visit: Any, name: str) -> None:
    answer = visit(name, "POST", "/upload", content=(b"x" * 1000 for _ in range(100)))
    assert answer.json()["size"] == 100_000


@pytest.mark.parametrize("name", SITES)
def test_download_streams_whole(visit: Any, name: str) -> None:
    answer = visit(name, "GET", "/download")
    assert answer.content == site.PART * site.PARTS


@pytest.mark.parametrize("name", ["fastapi", "flask"])
def test_events_come_as_they_happen(visit: Any, name: str) -> None:
    with visit.client.stream("GET", "/events", headers={"host": f"{name}.test"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: first"
        visit(name, "GET", "/go")
        assert "data: second" in list(lines)


@pytest.mark.parametrize("name", ["fastapi", "flask"])
def test_exception_is_500_and_tells_nothing(visit: Any, name: str) -> None:
    answer = visit(name, "GET", "/fail")
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_middleware_wraps_answers(visit: Any) -> None:
    assert visit("starlette", "GET", "/small").headers["x-stamp"] == "starlette"


def test_what_the_lifespan_made_is_there(visit: Any) -> None:
    assert visit("fastapi", "GET", "/state").text == "a pool"


def test_background_task_runs_after_its_response(visit: Any) -> None:
    assert visit("fastapi", "GET", "/after").text == "accepted"
    while not visit("fastapi", "GET", "/done").json():
        pass  # each is a round trip


@pytest.mark.parametrize("name", ["fastapi", "starlette"])
def test_websocket_echoes(running: Running, name: str) -> None:
    messages: list[str | bytes] = ["grüß", "x" * 200_000] if name == "fastapi" else [b"\0\1", b"y" * 200_000]
    address = running.base.removeprefix("http://")
    host, _, port = address.rpartition(":")
    with connect(
        f"ws://{name}.test/echo",
        sock=socket.create_connection((host, int(port))),
        subprotocols=["chat"] if name == "fastapi" else None,  # type: ignore[list-item]
    ) as peer:
        assert peer.subprotocol == ("chat" if name == "fastapi" else None)
        for message in messages:
            peer.send(message)
            assert peer.recv() == message


def test_websocket_of_a_wsgi_site_is_refused(visit: Any) -> None:
    headers = {"host": "flask.test", "connection": "upgrade", "upgrade": "websocket"}
    headers |= {"sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert visit.client.get("/echo", headers=headers).status_code == 403


def client_file(directory: Path, target: str, server: str = "ws://127.0.0.1:1") -> str:
    path = directory / "client.toml"
    path.write_text(
        f'group = "web"\ntoken = "{TOKEN}"\nservers = ["{server}"]\n[upstreams.app]\ntargets = ["{target}"]\n'
    )
    return str(path)


def test_command_finds_modules_in_its_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_here.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        await receive()\n"
        "        print('it is up', flush=True)\n"
        "        await send({'type': 'lifespan.startup.complete'})\n"
        "        await receive()\n"
        "        print('it is down', flush=True)\n"
        "        await send({'type': 'lifespan.shutdown.complete'})\n"
    )
    monkeypatch.chdir(tmp_path)
    server = f"ws://127.0.0.1:{unused_port()}"
    command = "import sys; sys.path[:] = [p for p in sys.path if p]; from tunnel.app.cli import main; sys.exit(main())"
    config = client_file(tmp_path, "asgi:shop_here:app", server)
    process = Process("client", "-c", command, "client", "--config", config)
    try:
        process.wait_for("it is up")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.matches("it is down")
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("asgi:no_such_module:app", 'upstreams.app.targets[0]: there is no module "no_such_module"'),
        ("app:shop", 'upstreams.app.targets[0]: unknown application "shop"; none was given in code'),
    ],
)
def test_application_that_cannot_be_had_is_exit_2(tmp_path: Path, target: str, reason: str) -> None:
    command = [sys.executable, "-m", "tunnel", "client", "--config", client_file(tmp_path, target)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=20, cwd=tmp_path, env=without_frameworks(os.environ)
    )
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr


def test_check_does_not_import_what_it_checks(tmp_path: Path) -> None:
    config = client_file(tmp_path, "asgi:no_such_module:app")
    done = subprocess.run([sys.executable, "-m", "tunnel", "check", config], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
