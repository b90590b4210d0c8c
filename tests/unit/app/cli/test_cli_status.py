"""`tunnel status` against an admin port: the table, the JSON, the exit codes, and why it is not there."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tunnel.app.cli import main

Captured = pytest.CaptureFixture[str]

TUNNEL = {
    "tunnel_id": "0123456789abcdef",
    "transport": "ws",
    "address": "192.0.2.7:4711",
    "state": "attached",
    "published": True,
    "sessions": 3,
    "round_trip_s": 0.0123,
    "promised_bytes": 0,
    "retained_bytes": 0,
    "config_version": 2,
    "config_hash": "abc",
}
DETACHED = TUNNEL | {"transport": None, "address": None, "state": "detached", "published": False, "round_trip_s": None}
STATUS = {
    "kind": "server",
    "version": "1.2.3",
    "uptime_s": 93_784.0,
    "settings_version": 4,
    "ready": True,
    "reasons": [],
    "listeners": [{"kind": "ingress", "name": "http", "address": "127.0.0.1:8080", "accepting": True}],
    "clients": 1,
    "tunnels": 2,
    "sessions": 6,
    "groups": ["web"],
    "client_id": None,
}
CLIENTS = {
    "total": 3,
    "generation": 1,
    "next_offset": None,
    "clients": [
        {
            "principal": "laptop",
            "client_id": "one",
            "group": "web",
            "health": "healthy",
            "sessions": 6,
            "tunnels": [TUNNEL, DETACHED],
        }
    ],
}


class Port(HTTPServer):
    """Answers as told, and keeps what it was asked."""

    answers: dict[str, tuple[int, Any]]
    asked: list[tuple[str, str | None]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Port

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, shown = self.server.answers[self.path.partition("?")[0]]
        body = shown if isinstance(shown, bytes) else json.dumps(shown).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[Port]:
    server = Port(("127.0.0.1", 0), Handler)
    server.answers = {"/api/status": (200, STATUS), "/api/clients": (200, CLIENTS)}
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_is_a_summary_and_a_line_for_each_tunnel(port: Port, capsys: Captured) -> None:
    assert main(["status", "--admin", port.url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "server, ready",
        "version    1.2.3, up 1 d 2 h, settings 4",
        "ingress    http 127.0.0.1:8080",
        "now        1 clients, 2 tunnels, 6 sessions",
        "",
        "CLIENT      GROUP  HEALTH   STATE     VIA  ADDRESS         RTT      SESSIONS  CONFIG",
        "laptop/one  web    healthy  attached  ws   192.0.2.7:4711  12.3 ms  3         2",
        "laptop/one  web    healthy  detached  -    -               -        3         2",
        "and 2 more clients",
    ]


def test_a_client_is_shown_with_its_tunnels(port: Port, capsys: Captured) -> None:
    port.answers = {
        "/api/status": (200, STATUS | {"kind": "client", "client_id": "one"}),
        "/api/tunnels": (200, {"tunnels": [TUNNEL]}),
    }
    assert main(["status", "--admin", f"{port.url}/"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "client one, ready"
    assert lines[-1] == "01234567  attached  ws   192.0.2.7:4711  12.3 ms  3"


def test_a_client_tells_which_way_its_entries_conversations_went(port: Port, capsys: Captured) -> None:
    routes = {"tunnel": 12, "direct": 3}
    port.answers = {
        "/api/status": (200, STATUS | {"kind": "client", "client_id": "one", "routes": routes}),
        "/api/tunnels": (200, {"tunnels": []}),
    }
    assert main(["status", "--admin", f"{port.url}/"]) == 0
    assert "entries    3 directly, 12 through the tunnel" in capsys.readouterr().out.splitlines()


def test_json_is_all_of_it_in_one_object(port: Port, capsys: Captured) -> None:
    assert main(["status", "--admin", port.url, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"status": STATUS, "total": 3, "clients": CLIENTS["clients"]}


def test_one_that_is_not_ready_is_a_failure(port: Port, capsys: Captured) -> None:
    port.answers["/api/status"] = (200, STATUS | {"ready": False, "reasons": ["draining", "ingress.http is closed"]})
    assert main(["status", "--admin", port.url]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "server, not ready: draining; ingress.http is closed"


def test_the_token_is_taken_from_the_environment(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", "tnl_x")
    assert main(["status", "--admin", port.url, "--token-env", "ADMIN_TOKEN"]) == 0
    assert {authorization for _, authorization in port.asked} == {"Bearer tnl_x"}


def test_nothing_that_listens_is_said_so(capsys: Captured) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert main(["status", "--admin", url]) == 1
    assert capsys.readouterr().err == f"tunnel: nothing listens at {url}; is [admin] configured there?\n"


@pytest.mark.parametrize(
    ("status", "shown", "reason"),
    [
        (401, {"detail": "no"}, "asks for a token: name its variable with --token-env"),
        (404, b"<html>", "does not answer as an admin port does: status 404"),
        (200, b"[]", "does not answer as an admin port does: status 200"),
        (500, {"detail": "broken"}, "does not answer as an admin port does: status 500: broken"),
    ],
)
def test_other_answers_are_reasons(port: Port, capsys: Captured, status: int, shown: Any, reason: str) -> None:
    port.answers["/api/status"] = (status, shown)
    assert main(["status", "--admin", port.url]) == 1
    assert capsys.readouterr().err == f"tunnel: {port.url} {reason}\n"


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8090", "ftp://a", "http://", "http://a/b", "http://u:p@a", "http://a:x", "http://a?b"]
)
def test_what_is_no_url_is_bad_usage(url: str, capsys: Captured) -> None:
    assert main(["status", "--admin", url]) == 2
    assert "http://127.0.0.1:8090" in capsys.readouterr().err


def test_a_variable_that_is_not_set_is_bad_usage(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADMIN_TOKEN", raising=False)
    assert main(["status", "--admin", "http://127.0.0.1:1", "--token-env", "ADMIN_TOKEN"]) == 2
    assert capsys.readouterr().err == 'tunnel: --token-env: the environment variable "ADMIN_TOKEN" is not set\n'
