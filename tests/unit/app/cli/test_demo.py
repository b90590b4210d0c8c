"""``tunnel demo``: its arguments, its configuration, and what it says when a part does not start."""

from __future__ import annotations

import re
import socket
import tempfile
import tomllib
from pathlib import Path

import pytest

from tunnel.app.cli import demo_tunnel, main
from tunnel.app.cli.demo_tunnel import TRANSPORTS, Plan, client_toml, refusing_port, server_toml
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

PLAN = Plan(Path("/nowhere"), "http://127.0.0.1:3000", "grpc://127.0.0.1:50051", 9, "127.0.0.1:7")
URLS = {"grpc": "grpc://127.0.0.1:7000", "websocket": "ws://127.0.0.1:7000", "memory": "memory://demo"}


@pytest.mark.parametrize("arguments", [["--transport", "pigeon"], ["--twice"], ["extra"]])
def test_bad_options_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *arguments]) == 2
    assert "usage: tunnel" in capsys.readouterr().err


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_generated_configuration_is_right(transport: str) -> None:
    server = decode_server_settings(tomllib.loads(server_toml(transport, PLAN, token_sha256="0" * 64)))
    client = decode_client_settings(tomllib.loads(client_toml(transport, URLS[transport], "token")))
    assert getattr(server.transports, transport) is not None
    assert client.servers == (URLS[transport],)
    assert server.groups[client.group].upstreams["application"].targets == (PLAN.application,)


def test_demos_of_one_process_do_not_meet() -> None:
    first, second = (
        decode_server_settings(tomllib.loads(server_toml("memory", plan, token_sha256="0" * 64)))
        for plan in (PLAN, PLAN._replace(directory=Path("/elsewhere")))
    )
    assert first.transports.memory != second.transports.memory


def test_refusing_port_refuses() -> None:
    with refusing_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_part_that_does_not_start_is_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo_tunnel, "server_toml", lambda *_, **__: "nonsense = 1\n")
    assert main(["demo", "--once", "--transport", "grpc"]) == 1
    printed = capsys.readouterr()
    assert re.fullmatch(r"sample application: http://127.0.0.1:\d+ \(pid \d+\)\n", printed.out)
    *last_lines, reason = printed.err.splitlines()
    assert reason == "tunnel: the server over grpc ended with exit code 2"
    assert "nonsense: unknown key" in last_lines[-1]
    assert list(tmp_path.iterdir()) == []
