"""``tunnel explain``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunnel.app.cli import main

SERVER = """
[transports.grpc]
listen = "127.0.0.1:7000"
[[rules]]
host = "app.example.test"
group = "web"
[[rules]]
path_prefix = "/"
headers = { x-env = "canary", x-debug = { present = true } }
group = "canary"
[[rules]]
service = "shop.Orders"
group = "web"
[[forward.rules]]
host = "billing.test"
groups = ["canary"]
upstream = "old"
[[forward.rules]]
host = "billing.test"
groups = ["web", "canary"]
upstream = "billing"
[[forward.rules]]
host = "billing.test"
methods = ["POST"]
groups = ["web"]
upstream = "billing"
[forward.upstreams.billing]
targets = ["http://10.0.0.7"]
[forward.upstreams.old]
targets = ["http://10.0.0.8"]
[groups.canary]
[[groups.canary.rules]]
upstream = "app"
[groups.canary.upstreams.app]
targets = ["http://127.0.0.1:4000"]
[groups.web]
[[groups.web.rules]]
path_prefix = "/api"
methods = ["GET", "HEAD"]
upstream = "api"
[[groups.web.rules]]
path = "/live"
protocol = "websocket"
query = { room = "a b" }
upstream = "app"
[[groups.web.rules]]
method = "Get"
upstream = "calls"
[groups.web.upstreams.api]
targets = ["http://127.0.0.1:3000", "http://127.0.0.1:3001"]
[groups.web.upstreams.app]
targets = ["unix:/run/app.sock"]
[groups.web.upstreams.calls]
targets = ["grpc://127.0.0.1:50051"]
"""
CLIENT = 'group = "web"\ntoken = "t"\nservers = ["grpc://127.0.0.1:7000"]\n'

CANARY = {
    "rule": "rules[1]",
    "failed": ["header x-env", "header x-debug"],
    "reason": "header x-env, header x-debug",
}

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.toml").write_text(SERVER)
    return tmp_path


def explained(capsys: Captured, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["explain", "server.toml", "--json", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.err == ""
    table: dict[str, Any] = json.loads(printed.out)
    return table


def test_both_hops_and_their_near_misses_are_shown(capsys: Captured) -> None:
    assert main(["explain", "server.toml", "--url", "http://app.example.test/api/x?y=1"]) == 0
    assert capsys.readouterr() == (
        'request   http GET app.example.test/api/x?y=1\n'
        'rule      rules[0]  host = "app.example.test"\n'
        "group     web\n"
        'rule      groups.web.rules[0]  path_prefix = "/api", methods = ["GET", "HEAD"]\n'
        "upstream  api\n"
        "target    http://127.0.0.1:3000\n"
        "target    http://127.0.0.1:3001\n"
        "\n"
        "near misses\n"
        "rules[1]  header x-env, header x-debug\n",
        "",
    )  # fmt: skip


def test_what_a_client_opens_meets_the_forward_rules_of_its_group(capsys: Captured) -> None:
    assert explained(capsys, "--forward", "web", "--url", "http://billing.test/") == {
        "group": "web",
        "upstream": "billing",
        "targets": ["http://10.0.0.7"],
        "rule": {
            "key": "forward.rules[1]",
            "host": "billing.test",
            "groups": ["web", "canary"],
            "upstream": "billing",
        },
        "upstream_rule": {
            "key": "forward.rules[1]",
            "host": "billing.test",
            "groups": ["web", "canary"],
            "upstream": "billing",
        },
        "near_misses": [{"rule": "forward.rules[2]", "failed": ["method"], "reason": "method"}],
        "reason": None,
    }
    assert explained(capsys, "--forward", "canary", "--url", "http://billing.test/")["upstream"] == "old"
    nothing = explained(capsys, "--forward", "web", "--url", "http://other.test/", code=1)
    assert nothing["reason"] == "no forward rule matches for the group web"


@pytest.mark.parametrize("wrong", [["--forward", "nobody"], ["--forward", "web", "--group", "web"]])
def test_forward_names_a_group_that_there_is_and_excludes_the_other_hops(capsys: Captured, wrong: list[str]) -> None:
    assert main(["explain", "server.toml", "--url", "http://billing.test/", *wrong]) == 2
    assert "--forward" in capsys.readouterr().err


def test_json_is_one_object(capsys: Captured) -> None:
    assert explained(capsys, "--url", "https://App.Example.test:8443/api") == {
        "group": "web",
        "upstream": "api",
        "targets": ["http://127.0.0.1:3000", "http://127.0.0.1:3001"],
        "rule": {"key": "rules[0]", "host": "app.example.test", "group": "web"},
        "upstream_rule": {
            "key": "groups.web.rules[0]",
            "path_prefix": "/api",
            "methods": ["GET", "HEAD"],
            "upstream": "api",
        },
        "near_misses": [CANARY],
        "reason": None,
    }


def test_outranked_rules_say_by_which(capsys: Captured) -> None:
    arguments = ["--url", "http://app.example.test/api", "--header", "X-Env: canary", "--header", "x-debug:"]
    assert explained(capsys, *arguments)["near_misses"] == [
        {"rule": "rules[1]", "failed": [], "reason": "outranked by rules[0] (host)"}
    ]


def test_headers_choose_and_host_header_takes_the_place_of_the_host(capsys: Captured) -> None:
    fields = ["--header", "x-env:canary", "--header", "x-debug:1"]
    assert explained(capsys, "--url", "http://other.test/api", *fields)["upstream_rule"] == {
        "key": "groups.canary.rules[0]",
        "upstream": "app",
    }
    arguments = ["--url", "http://other.test/api", *fields, "--header", "Host:app.example.test"]
    assert explained(capsys, *arguments)["group"] == "web"


def test_no_rule_of_the_group_is_failure(capsys: Captured) -> None:
    found = explained(capsys, "--url", "http://app.example.test/api", "--method", "POST", code=1)
    assert (found["group"], found["upstream"], found["upstream_rule"]) == ("web", None, None)
    assert found["reason"] == "no rule of the group web matches"
    assert found["near_misses"] == [CANARY, {"rule": "groups.web.rules[0]", "failed": ["method"], "reason": "method"}]


def test_no_rule_of_the_server_is_failure(capsys: Captured) -> None:
    assert main(["explain", "server.toml", "--url", "http://other.test/"]) == 1
    assert capsys.readouterr().out == (
        "request   http GET other.test/\n"
        "nothing   no rule of the server matches\n"
        "\n"
        "near misses\n"
        "rules[1]  header x-env, header x-debug\n"
        "rules[0]  host\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "rule", "reason"),
    [
        (["--group", "canary", "--grpc", "/a.B/C"], "groups.canary.rules[0]", "the upstream app"),
        (
            ["--forward", "web", "--grpc", "/a.B/C", "--url", "http://billing.test"],
            "forward.rules[2]",
            "the upstream billing",
        ),
    ],
)
def test_upstream_that_answers_another_protocol_is_failure(
    capsys: Captured, arguments: list[str], rule: str, reason: str
) -> None:
    found = explained(capsys, *arguments, code=1)
    assert (found["upstream"], found["targets"], found["upstream_rule"]["key"]) == (None, [], rule)
    assert found["reason"] == f"{reason} answers HTTP and WebSocket only"


def test_request_that_the_server_refuses_is_failure(capsys: Captured) -> None:
    found = explained(capsys, "--url", "http://app.example.test/a/%2e%2e/b", code=1)
    assert (found["rule"], found["reason"]) == (None, "bad_request: invalid path: dot segment")


def test_group_may_be_given(capsys: Captured) -> None:
    found = explained(capsys, "--group", "web", "--url", "ws://any.test/live?room=a%20b")
    assert (found["group"], found["upstream"], found["targets"]) == ("web", "app", ["unix:/run/app.sock"])
    assert found["rule"] == found["upstream_rule"]


def test_grpc_calls_need_no_url(capsys: Captured) -> None:
    found = explained(capsys, "--grpc", "/shop.Orders/Get")
    assert (found["rule"]["key"], found["upstream_rule"]["key"]) == ("rules[2]", "groups.web.rules[2]")
    found = explained(capsys, "--grpc", "shop.Orders/Get", "--url", "http://app.example.test")
    assert found["rule"]["key"] == "rules[0]"


def test_grpc_calls_are_for_the_host_of_their_ingress(directory: Path, capsys: Captured) -> None:
    ingress = '[ingress.grpc]\nlisten = "127.0.0.1:8081"\nhost = "app.example.test"\n'
    (directory / "server.toml").write_text(ingress + SERVER)
    assert explained(capsys, "--grpc", "/shop.Orders/Get")["rule"]["key"] == "rules[0]"
    found = explained(capsys, "--grpc", "/shop.Orders/Get", "--url", "http://other.example.test")
    assert found["rule"]["key"] == "rules[2]"


def test_rules_are_shown_as_they_could_be_written(directory: Path, capsys: Captured) -> None:
    rule = '[[rules]]\nheaders = { "x.y" = { regex = "a|b" }, z = "é" }\npriority = 2\ngroup = "web"\n'
    groups = '[[groups.web.rules]]\nupstream = "a"\n[groups.web.upstreams.a]\ntargets = ["http://a"]\n'
    (directory / "server.toml").write_text('[transports.grpc]\nlisten = "127.0.0.1:7000"\n' + rule + groups)
    assert main(["explain", "server.toml", "--url", "http://a/", "--header", "x.y: b", "--header", "z: é"]) == 0
    shown = 'rules[0]  priority = 2, headers = { "x.y" = { regex = "a|b" }, z = "é" }\n'
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "tunnel: --url: expected a URL such as http://app.example.test/path, or --grpc\n"),
        (["--grpc", "a/b", "--method", "GET"], "tunnel: --method: expected without --grpc: "),
        (
            ["--url", "http://a", "--group", "wb"],
            'tunnel: --group: unknown group "wb"; expected one of "canary", "web"',
        ),
        (["--url", "http://a", "--kind", "client"], "tunnel: server.toml: expected a server's file: "),
    ],
)
def test_what_cannot_be_explained_is_bad_configuration(arguments: list[str], line: str, capsys: Captured) -> None:
    assert main(["explain", "server.toml", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)


def test_client_file_holds_no_rules(directory: Path, capsys: Captured) -> None:
    (directory / "client.toml").write_text(CLIENT)
    assert main(["explain", "client.toml", "--url", "http://a/"]) == 2
    expected = "tunnel: client.toml: expected a server's file: a client's holds no rules, they come from the server\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "app.example.test/api"],
        ["--url", "ftp://a/"],
        ["--url", "http://[::1/"],
        ["--url", "http://a", "--header", "x-env"],
        ["--url", "http://a", "--header", "x env: 1"],
        ["--url", "http://a", "--method", "A B"],
        ["--grpc", "Orders"],
        ["--grpc", "/a/b/c"],
    ],
)
def test_arguments_that_are_no_request_exit_2(arguments: list[str], capsys: Captured) -> None:
    assert main(["explain", "server.toml", *arguments]) == 2
    assert "usage: tunnel explain" in capsys.readouterr().err


def test_explain_loads_no_transport(directory: Path) -> None:
    script = (
        "import sys; from tunnel.app.cli import main\n"
        "code = main(['explain', 'server.toml', '--url', 'http://app.example.test/api'])\n"
        "heavy = ('grpc', 'uvicorn', 'websockets', 'httptools', 'dependency_injector', 'google', 're2')\n"
        "sys.exit(code or ' '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=directory, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
