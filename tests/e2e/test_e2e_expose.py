"""`tunnel.expose` and `tunnel expose` over every transport: what visitors reach, and what scripts are told."""

import contextlib
import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio
import pytest
from e2e_processes import Process, address_of
from e2e_topologies import INGRESS_LINE, SCHEMES, TOKEN
from e2e_visitor import Address, fetch, run, wait_until_gone
from support.frameworks import without_frameworks
from support.ports import unused_port

import tunnel
from tunnel.domain.configuration import decode_server_settings

OTHER_TOKEN = "e2e-token-of-somebody-else"
END_S = 10.0
REQUESTS = 250
"""Whose lines, of some 600 bytes, are more than a pipe takes."""
_numbers = itertools.count()

APPLICATION = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    print("asked for", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    while scope["path"] == "/waits" and not os.path.exists("go"):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"asgi " + scope["raw_path"]})


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi " + environ["PATH_INFO"].encode()]
"""


def settings(transport: str, *, where: object, ingress_port: int = 0) -> Mapping[str, object]:
    def token(text: str, *hosts: str) -> Mapping[str, object]:
        return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "hosts": [*hosts]}

    place = {"name": where} if transport == "memory" else {"listen": f"127.0.0.1:{where}"}
    return {
        "transports": {transport: place},
        "ingress": {"http": {"listen": f"127.0.0.1:{ingress_port}"}},
        "auth": {"tokens": {"e2e": token(TOKEN, "*.localhost"), "other": token(OTHER_TOKEN, "*.localhost")}},
        "limits": {"drain_s": 1},
    }


def host_of(url: str) -> tuple[Address, str]:
    """Where to connect, and what to ask for there: names below localhost are this machine."""
    authority = url.partition("://")[2].partition("/")[0]
    return ("127.0.0.1", int(authority.rpartition(":")[2])), authority


async def get(url: str, path: str = "/") -> bytes:
    address, authority = host_of(url)
    response = await fetch(address, path, host=authority)
    assert response.status == 200, response
    return response.body


@pytest.mark.parametrize("transport", ["grpc", "websocket", "memory"])
def test_application_object_is_reached_by_its_url(transport):
    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from this process"})

    async def scenario():
        where = f"expose-{os.getpid()}" if transport == "memory" else 0
        server = tunnel.Server(decode_server_settings(settings(transport, where=where)))
        async with server:
            scheme = SCHEMES.get(transport, "memory")
            to = f"{scheme}://{where if transport == 'memory' else server.addresses[f'transport.{transport}']}"
            async with tunnel.expose(app, to=to, token=TOKEN, host="demo.localhost") as exposed:
                assert exposed.url == f"http://demo.localhost:{server.addresses['ingress.http'].rpartition(':')[2]}"
                assert await get(exposed.url) == b"from this process"
                with pytest.raises(tunnel.RegistrationRefused, match="claimed by somebody else"):
                    async with tunnel.expose(3000, to=to, token=OTHER_TOKEN, host="demo.localhost"):
                        pytest.fail("entered")

    run(scenario())


# -- the command


class Edge:
    """A server as a process that can be killed and started again where it was."""

    def __init__(self, directory: Path, transport: str) -> None:
        port = unused_port()
        path = directory / "server.json"
        path.write_text(json.dumps(settings(transport, where=port, ingress_port=unused_port())))
        self.url = f"{SCHEMES[transport]}://127.0.0.1:{port}"
        self._path = path
        self.start()

    def start(self) -> None:
        self._process = Process("server", "-m", "tunnel", "server", "--config", str(self._path))
        self.ingress = address_of(self._process.wait_for(INGRESS_LINE))

    def kill(self) -> None:
        self._process.kill()


@pytest.fixture(scope="module")
def edge(tmp_path_factory) -> Iterator[Edge]:
    """One that no test kills."""
    edge = Edge(tmp_path_factory.mktemp("edge"), "websocket")
    yield edge
    edge.kill()


@pytest.fixture
def directory(tmp_path, monkeypatch) -> Path:
    """The working directory, with an application."""
    (tmp_path / "shop.py").write_text(APPLICATION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Exposing:
    """The command with its two outputs apart."""

    def __init__(self, *arguments: str, token: str = TOKEN) -> None:
        self.errors = Path(f"errors-{next(_numbers)}.txt")
        with self.errors.open("w") as errors:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tunnel", "expose", *arguments],
                env=without_frameworks(os.environ) | {"TUNNEL_TOKEN": token},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def line(self) -> str:
        """The next line of standard output; empty when it has ended."""
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().rstrip("\n")

    def event(self, kind: str) -> dict:
        while line := self.line():
            event = json.loads(line)
            if event["event"] == kind:
                return event
        raise AssertionError(f"it ended without {kind}:\n{self.errors.read_text()}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Its exit code, and the rest of its standard output."""
        self._popen.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str]:
        rest, _ = self._popen.communicate(timeout=END_S)
        return self._popen.returncode, rest

    def stop_reading(self) -> None:
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def code(self) -> int:
        return self._popen.wait(timeout=END_S)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()
        self.stop_reading()


@contextlib.contextmanager
def exposing(*arguments: str, token: str = TOKEN) -> Iterator[Exposing]:
    command = Exposing(*arguments, token=token)
    try:
        yield command
    finally:
        command.kill()


def test_standard_output_has_the_urls_and_nothing_else(edge, directory, upstream):
    port = str(upstream[1])
    with exposing(port, "shop:app", "twice.localhost/shop=shop:site", "--server", edge.url) as command:
        urls = [command.line() for _ in range(3)]
        assert run(get(urls[0], "/small")) == b"small"
        assert run(get(urls[1], "/a%20b")) == b"asgi /a%20b"
        assert urls[2] == f"http://twice.localhost:{edge.ingress[1]}/shop"
        assert run(get(urls[2], "/shop/x")) == b"wsgi /shop/x"
        assert command.stop() == (0, "")
    # What the application prints does not get among the results.
    assert "asked for /a b" in command.errors.read_text()


def test_quiet_writes_urls_and_nothing_else(edge, directory):
    with exposing("shop:site", "--server", edge.url, "--quiet") as command:
        assert run(get(command.line())) == b"wsgi /"
        assert command.stop(signal.SIGTERM) == (0, "")
    assert command.errors.read_text() == ""


def test_json_tells_what_happens_and_the_url_outlives_the_server(directory, tmp_path):
    edge = Edge(tmp_path, "grpc")
    try:
        with exposing("shop:app", "--server", edge.url, "--json") as command:
            url = command.event("ready")["url"]
            assert run(get(url, "/before?secret=1")) == b"asgi /before"
            request = command.event("request")
            assert (request["method"], request["path"], request["status"]) == ("GET", "/before", 200)
            assert request["sent_bytes"] == len(b"asgi /before")
            edge.kill()
            assert command.event("state")["state"] == "reconnecting"
            edge.start()
            state = command.event("state")
            assert (state["state"], state["url"]) == ("connected", url)
            assert run(get(url, "/after")) == b"asgi /after"
            assert command.event("request")["path"] == "/after"
            code, rest = command.stop()
        assert code == 0
        assert json.loads(rest.splitlines()[-1])["event"] == "closed"
    finally:
        edge.kill()


@pytest.mark.parametrize(
    ("arguments", "token", "code", "reason"),
    [
        (["3000"], "wrong", 3, "tunnel: unauthenticated: unknown token"),
        (
            ["3000", "--host", "demo.example.test"],
            TOKEN,
            3,
            "tunnel: forbidden: this credential may not claim the host",
        ),
        (["no_such_module:app"], TOKEN, 2, 'tunnel: TARGET: there is no module "no_such_module"'),
        (["shop:app", "a=b"], TOKEN, 2, "tunnel: TARGET: expected a port such as"),
    ],
)
def test_exit_code_and_last_line_say_why(edge, directory, arguments, token, code, reason):
    with exposing(*arguments, "--server", edge.url, "--json", token=token) as command:
        assert command.end()[0] == code
    assert command.errors.read_text().splitlines()[-1].startswith(reason)


def test_server_that_is_not_there_is_given_up_with_1(directory):
    server = f"ws://127.0.0.1:{unused_port()}"
    with exposing("3000", "--server", server, "--timeout", "0.3") as command:
        assert command.end() == (1, "")
    assert command.errors.read_text().splitlines()[-1].startswith("tunnel: unreachable: no server took this client")


def test_it_ends_when_nobody_reads_what_it_tells(edge, directory):
    with exposing("shop:app", "--server", edge.url, "--json") as command:
        url = command.event("ready")["url"]
        command.stop_reading()
        assert run(get(url)) == b"asgi /"
        assert command.code() == 1
    assert command.errors.read_text().splitlines()[-1].startswith("tunnel: [Errno 32] Broken pipe")


def test_program_that_does_not_read_holds_up_no_request_and_can_read_all_later(edge, directory):
    async def visits() -> None:
        for _ in range(REQUESTS):
            assert await get(url, f"/{'long' * 100}") == b"asgi /" + b"long" * 100

    with exposing("shop:app", "--server", edge.url, "--json") as command:
        url = command.event("ready")["url"]
        run(visits())
        assert [command.event("request")["outcome"] for _ in range(REQUESTS)] == ["ok"] * REQUESTS
        assert command.stop()[0] == 0


def test_conversations_finish_before_it_ends_for_want_of_a_reader(edge, directory):
    with exposing("shop:app", "--server", edge.url, "--json") as command:
        url = command.event("ready")["url"]

        address, authority = host_of(url)
        with socket.create_connection(address, timeout=END_S) as connection:
            connection.sendall(f"GET /waits HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
            wait_until(lambda: "asked for /waits" in command.errors.read_text())
            command.stop_reading()
            wait_until_gone(address, authority)
            Path("go").touch()
            assert b"".join(iter(lambda: connection.recv(1 << 16), b"")).endswith(b"\r\n\r\nasgi /waits")
        assert command.code() == 1
    assert command.errors.read_text().splitlines()[-1].startswith("tunnel: [Errno 32] Broken pipe")


def test_interrupted_while_it_connects_it_ends_at_once(directory):
    with exposing("3000", "--server", f"ws://127.0.0.1:{unused_port()}") as command:
        wait_until(lambda: "connect_failed" in command.errors.read_text())
        assert command.stop() == (0, "")


def test_host_that_somebody_else_has_is_refused(edge, directory):
    with exposing("shop:app", "--host", "mine.localhost", "--server", edge.url, "--quiet") as first:
        first.line()
        with exposing("shop:app", "--host", "mine.localhost", "--server", edge.url, token=OTHER_TOKEN) as second:
            assert second.end() == (3, "")
        assert "is claimed by somebody else" in second.errors.read_text()


def wait_until(condition) -> None:
    async def scenario():
        with anyio.fail_after(END_S):
            while not condition():  # noqa: ASYNC110
                await anyio.sleep(0.01)

    run(scenario())
