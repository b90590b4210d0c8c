"""``tunnel expose``: its arguments, what it tells programs, and what it shows people."""

from __future__ import annotations

import io
import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import pytest
from rich.console import Console

from tunnel.app.cli import expose, main
from tunnel.app.cli.expose_board import KEPT_LINES, Board, Line, State, failed
from tunnel.app.cli.expose_report import JsonReport, PlainReport, Report
from tunnel.app.cli.expose_screen import Screen
from tunnel.app.cli.expose_watch import Watch
from tunnel.app.served_target import ServedSession
from tunnel.domain.configuration.exposed_target import ExposedTarget
from tunnel.domain.errors import ConfigurationError, ErrorCode, RegistrationRefused
from tunnel.ports.telemetry import ConnectFailed, LinkLost, TunnelReady

SERVER = "wss://edge.example.test"


def parsed(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    expose.add_arguments(parser)
    return parser.parse_args([*arguments, "--server", SERVER])


def session(path: str = "/", **given: object) -> ServedSession:
    usual = {"protocol": "http", "method": "GET", "outcome": "ok", "status": 200, "duration_s": 0.0123}
    return ServedSession(path=path, **{**usual, **given})  # type: ignore[arg-type]


# -- arguments


@pytest.mark.parametrize(
    ("arguments", "targets"),
    [
        (["3000"], [ExposedTarget("3000")]),
        (["3000", "--host", "a.test", "--path-prefix", "/api"], [ExposedTarget("3000", "a.test", "/api")]),
        (["a.test=3000", "--path-prefix", "/api"], [ExposedTarget("3000", "a.test", "/api")]),
        (["3000", "b.test/x=main:app"], [ExposedTarget("3000"), ExposedTarget("main:app", "b.test", "/x")]),
    ],
)
def test_targets_and_their_claims(arguments: Sequence[str], targets: list[ExposedTarget]) -> None:
    assert expose._targets(parsed(*arguments)) == targets


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["3000", "3001", "--host", "a.test"], "host"),
        (["3000", "3001", "--path-prefix", "/a"], "path_prefix"),
        (["a.test=3000", "--host", "a.test"], "host"),
        (["/a=3000", "--path-prefix", "/a"], "path_prefix"),
    ],
)
def test_claim_that_could_be_meant_twice_is_refused(arguments: Sequence[str], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        expose._targets(parsed(*arguments))
    assert caught.value.key_path == option


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["3000"],
        ["3000", "--server", SERVER, "--timeout", "0"],
        ["3000", "--server", SERVER, "--timeout", "nan"],
        ["3000", "--server", SERVER, "--json", "--quiet"],
        ["3000", "--server", SERVER, "--token", "a", "--token-env", "B"],
    ],
)
def test_bad_options_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expose", *arguments]) == 2
    printed = capsys.readouterr().err
    assert "usage: tunnel" in printed
    assert "_seconds" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "TARGET: expected a port such as"),
        (["http://"], "TARGET: expected a URL such as"),
        (["tcp://127.0.0.1:22"], "TARGET: expected an upstream of HTTP or gRPC"),
        (["3000", "--token", "\udcff"], "--token: expected text that can be written in UTF-8"),
        (["3000", "--token-env", "BROKEN_TOKEN"], '--token-env: expected "BROKEN_TOKEN" to hold UTF-8 text'),
        (["no_such_module:app"], 'TARGET: there is no module "no_such_module"'),
        (["3000", "--host", "*.test"], "--host: expected a host name"),
        (["3000", "--path-prefix", "x"], "--path-prefix: "),
        (["3000", "--server", "ws://edge.example.test"], '--server: expected "wss://", or --insecure: the token'),
        (["3000", "--token-env", "NO_SUCH_VARIABLE"], '--token-env: the environment variable "NO_SUCH_VARIABLE"'),
        (["3000", "--token-file", "/nowhere/token"], "--token-file: /nowhere/token cannot be read"),
        (["3000", "--ca", "/nowhere/ca.pem"], "--ca: "),
        (["3000", "3001", "--host", "a.test"], "--host: expected [HOST][/PREFIX]=TARGET"),
    ],
)
def test_mistake_names_the_option(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNNEL_TOKEN", "token")
    monkeypatch.setenv("BROKEN_TOKEN", "\udcff")  # as a byte that is no UTF-8 arrives
    monkeypatch.setattr("sys.path", [*sys.path])
    server = [] if "--server" in arguments else ["--server", SERVER]
    assert main(["expose", *arguments, *server]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith(f"tunnel: {message}")


def test_programs_are_told_the_mistake_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expose", "tcp://127.0.0.1:22", "--server", SERVER, "--token", "t", "--json"]) == 2
    closed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert closed["reason"].startswith("TARGET: expected an upstream")


def test_token_is_never_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expose", "3000", "--server", "pigeon", "--token", "a-secret-token"]) == 2
    printed = capsys.readouterr()
    assert "a-secret-token" not in printed.out + printed.err


# -- what programs are told


def board(*targets: str) -> Board:
    shown = Board(targets or ("3000",), now=1000.0)
    for number, each in enumerate(shown.expositions):
        each.url = f"https://demo{number}.example.test"
        each.enter(State.CONNECTED, 1000.0)
    return shown


def test_scripts_are_told_urls_and_nothing_else() -> None:
    lines: list[str] = []
    report = PlainReport(lines.append)
    shown = board("3000", "main:app")
    report.moved(shown.expositions[0])
    report.ready(shown.expositions)
    report.closed("")
    assert lines == ["https://demo0.example.test", "https://demo1.example.test"]


def test_every_event_is_one_json_object() -> None:
    written = io.StringIO()
    report = JsonReport(written, lambda: 12.3456)
    shown = board()
    (exposition,) = shown.expositions
    report.ready(shown.expositions)
    exposition.enter(State.RECONNECTING, 1001.0, "it\nbroke")
    report.moved(exposition)
    report.request(Line(1002.0, "3000", session("/a\n", host="demo0.example.test", sent_bytes=7)))
    report.closed("forbidden: no more")
    url = "https://demo0.example.test"
    assert [json.loads(line) for line in written.getvalue().splitlines()] == [
        {"event": "ready", "time": 12.346, "target": "3000", "url": url},
        {
            "event": "state",
            "time": 12.346,
            "target": "3000",
            "url": url,
            "state": "reconnecting",
            "reason": "it\nbroke",
        },
        {
            "event": "request",
            "time": 12.346,
            "target": "3000",
            "protocol": "http",
            "method": "GET",
            "host": "demo0.example.test",
            "path": "/a\n",
            "outcome": "ok",
            "status": 200,
            "duration_s": 0.0123,
            "received_bytes": 0,
            "sent_bytes": 7,
        },
        {"event": "closed", "time": 12.346, "reason": "forbidden: no more"},
    ]


class Noting(PlainReport):
    """Notes the states it is told of."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.states: list[tuple[State, str]] = []

    def moved(self, exposition: object) -> None:
        self.states.append((exposition.state, exposition.reason))  # type: ignore[attr-defined]


def watch(report: Report, shown: Board) -> Watch:
    return Watch(shown.expositions[0], shown, report, lambda: None)


def test_state_is_told_when_it_changes_and_only_then() -> None:
    report = Noting()
    watched = watch(report, Board(("3000",), now=0.0))
    for event in (
        ConnectFailed("ws://a", "refused", 0.1),
        TunnelReady("me", "ws://a", "1"),
        TunnelReady("me", "ws://a", "1"),
        LinkLost("ws://a", "broken", "reset"),
        ConnectFailed("ws://a", "refused", 0.1),
        TunnelReady("me", "ws://a", "2"),
    ):
        watched.record(event)
    watched.refused(RegistrationRefused(ErrorCode.FORBIDDEN, "taken back"))
    assert report.states == [
        (State.CONNECTED, ""),
        (State.RECONNECTING, "reset"),
        (State.CONNECTED, ""),
        (State.CLOSED, "forbidden: taken back"),
    ]


def test_time_of_a_state_is_that_of_its_beginning() -> None:
    (exposition,) = Board(("3000",), now=1.0).expositions
    assert exposition.enter(State.RECONNECTING, 2.0, "first")
    assert not exposition.enter(State.RECONNECTING, 3.0, "second")
    assert (exposition.since, exposition.reason) == (2.0, "second")


def test_requests_are_watched_only_where_somebody_looks() -> None:
    shown = board()
    idle = watch(PlainReport(lambda _: None), shown).container()
    looked_at = watch(JsonReport(io.StringIO(), time.time), shown).container()
    target = object()
    assert idle.front()(target) is target  # type: ignore[arg-type]
    assert looked_at.front()(target) is not target  # type: ignore[arg-type]


# -- what people see


def drawn(shown: Board, *, width: int = 80, height: int = 20) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False
    )
    with console.capture() as capture:
        console.print(Screen(shown, server=SERVER), height=height)
    return [line.rstrip() for line in capture.get().rstrip("\n").split("\n")]


def add(shown: Board, *sessions: ServedSession, target: str = "3000") -> None:
    for each in sessions:
        shown.begin()
        shown.end(Line(1000.0, target, each))


def test_screen_shows_urls_totals_and_requests() -> None:
    shown = board()
    add(
        shown,
        session("/", sent_bytes=2048),
        session("/missing", status=404, duration_s=1.26),
        session("/chat", protocol="websocket", status=1000, duration_s=61.0, received_bytes=3),
        session("/shop.Cart/Add", protocol="grpc", method="POST", status=0),
        session("/slow", outcome="cancelled", status=0),
        session("/down", outcome="upstream_unreachable", status=502),
    )
    shown.begin()
    lines = drawn(shown)
    clock = time.strftime("%H:%M:%S", time.localtime(1000.0))
    assert lines == [
        "tunnel expose  wss://edge.example.test                            Ctrl-C ends it",
        "",
        "https://demo0.example.test",
        "  -> 3000  connected",
        "",
        "6 requests, 1 open, 1 failed   in 3 B, out 2.0 K",
        "",
        f"{clock} GET     /                                           200   12 ms   2.0 K",
        f"{clock} GET     /missing                                    404   1.3 s     0 B",
        f"{clock} WS      /chat                                      1000  61.0 s     0 B",
        f"{clock} gRPC    /shop.Cart/Add                                0   12 ms     0 B",
        f"{clock} GET     /slow                                      left   12 ms     0 B",
        f"{clock} GET     /down                                       502   12 ms     0 B",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("height", [8, 12, 24, 60])
def test_screen_fits_the_terminal_and_has_the_latest_request(width: int, height: int) -> None:
    shown = board("3000", "main:app")
    shown.note = "something went wrong " * 20
    add(shown, *(session(f"/{number}/{'x' * 300}") for number in range(300)))
    lines = drawn(shown, width=width, height=height)
    assert max(map(len, lines)) <= width
    assert "https://demo1.example.test" in lines
    if height >= 12:
        assert len(lines) <= height
        assert " /299/x" in lines[-1]


def test_long_url_is_never_shortened() -> None:
    shown = board()
    shown.expositions[0].url = url = f"https://{'a' * 60}.example.test/with/a/prefix"
    assert url in "".join(drawn(shown, width=50))


def test_one_of_several_targets_is_named_where_there_is_room() -> None:
    shown = board("3000", "main:app")
    add(shown, session(), target="main:app")
    assert "main:app" in drawn(shown, width=120)[-1]
    assert "main:app" not in drawn(shown, width=80)[-1]


def test_screen_says_since_when_a_target_is_not_reached_and_why() -> None:
    shown = board()
    shown.expositions[0].enter(State.RECONNECTING, time.time() - 3700, "connection refused")
    assert "  -> 3000  reconnecting for 1h01m: connection refused" in drawn(shown)
    assert "no requests yet" in drawn(shown)


def test_visitors_do_not_command_the_terminal() -> None:
    shown = board()
    add(shown, session("/\x1b[2J\x1b]0;title\x07[bold]x", method="G\x1bT"))
    assert " G?T     /?[2J?]0;title?[bold]x" in drawn(shown)[-1]


def test_board_remembers_the_latest_and_counts_all() -> None:
    shown = board()
    add(shown, *(session(str(number), received_bytes=1, sent_bytes=2) for number in range(KEPT_LINES + 5)))
    assert (shown.requests, shown.open, len(shown.lines)) == (KEPT_LINES + 5, 0, KEPT_LINES)
    assert shown.lines[-1].session.path == str(KEPT_LINES + 4)
    assert (shown.received_bytes, shown.sent_bytes) == (KEPT_LINES + 5, 2 * (KEPT_LINES + 5))


@pytest.mark.parametrize(
    ("ended", "blamed"),
    [
        (session(status=200), False),
        (session(status=404), False),
        (session(status=500), True),
        (session(outcome="upstream_timeout", status=504), True),
        (session(outcome="cancelled", status=0), False),
        (session(protocol="grpc", status=5), False),
        (session(protocol="grpc", status=14), True),
        (session(protocol="websocket", status=1011), False),
    ],
)
def test_failures_are_those_of_this_end(ended: ServedSession, blamed: bool) -> None:
    assert failed(ended) is blamed
