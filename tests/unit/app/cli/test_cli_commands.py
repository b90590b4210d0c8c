"""The command line: what is printed, and the exit codes."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tunnel.app.cli import main
from tunnel.app.cli.failures import report
from tunnel.domain.errors import ConfigurationError, ErrorCode, ListenError, RegistrationRefused
from tunnel.domain.middleware.passwords import PasswordHash

SERVER = '[transports.grpc]\nlisten = "127.0.0.1:7000"\n'
CLIENT = 'group = "web"\ntoken_env = "NO_SUCH_TOKEN"\nservers = ["grpc://127.0.0.1:7000"]\n'

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    return tmp_path


def test_check_says_ok(directory: Path, capsys: Captured) -> None:
    (directory / "server.toml").write_text(SERVER)
    assert main(["check", "server.toml"]) == 0
    assert capsys.readouterr() == ("server.toml: ok (server)\n", "")


def test_check_of_a_client_notes_that_the_token_is_elsewhere(directory: Path, capsys: Captured) -> None:
    (directory / "client.toml").write_text(CLIENT)
    assert main(["check", "client.toml"]) == 0
    assert capsys.readouterr() == (
        "client.toml: ok (client)\n",
        'client.toml: token_env: note: the environment variable "NO_SUCH_TOKEN" is not set here\n',
    )


def test_check_reports_each_mistake_in_a_line_of_its_own(directory: Path, capsys: Captured) -> None:
    path = directory / "wrong.toml"
    path.write_text(
        '[transports.memory]\nnam = "x"\n[[rules]]\ngroup = "web"\npath = "x"\n[middleware.a]\nuse = "heders"\n'
    )

    assert main(["check", str(path)]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    # Kinds of middleware that are not known may be known to the container of a server that is embedded.
    assert main(["server", "--config", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == err.splitlines()[:-1]
    assert [line.partition(": expected")[0].partition(";")[0] for line in err.splitlines()] == [
        f"tunnel: {path}: transports.memory.nam: unknown key",
        f'tunnel: {path}: rules[0].group: unknown group "web"',
        f"tunnel: {path}: rules[0].path",
        f'tunnel: {path}: middleware.a.use: unknown kind of middleware "heders"',
    ]


def test_check_reports_the_mistake_in_one_line(directory: Path, capsys: Captured) -> None:
    targets = '[groups.web.upstreams.app]\ntargets = ["127.0.0.1:3000"]\n'
    (directory / "server.toml").write_text(SERVER + targets)
    assert main(["check", "server.toml"]) == 2
    assert capsys.readouterr() == (
        "",
        "tunnel: server.toml: groups.web.upstreams.app.targets[0]: "
        'expected a URL such as "http://127.0.0.1:3000", got "127.0.0.1:3000"\n',
    )


@pytest.mark.parametrize("arguments", [["check", "none.toml"], ["server", "--config", "none.toml"]])
def test_missing_file_is_bad_configuration(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == "tunnel: none.toml: cannot be read: no such file or directory\n"


def test_kind_overrides_the_guess(directory: Path, capsys: Captured) -> None:
    (directory / "client.toml").write_text(CLIENT)
    assert main(["check", "client.toml", "--kind", "server"]) == 2
    assert capsys.readouterr().err.startswith("tunnel: client.toml: group: unknown key; expected one of")
    (directory / "server.toml").write_text(SERVER)
    assert main(["check", "--kind", "client", "server.toml"]) == 2


def test_client_without_its_token_is_bad_configuration(directory: Path, capsys: Captured) -> None:
    (directory / "client.toml").write_text(CLIENT)
    assert main(["client", "--config", "client.toml"]) == 2
    expected = 'tunnel: client.toml: token_env: the environment variable "NO_SUCH_TOKEN" is not set\n'
    assert capsys.readouterr() == ("", expected)


def test_new_token_comes_with_its_hash(capsys: Captured) -> None:
    assert main(["token", "new"]) == 0
    found = re.fullmatch(r"token (tnl_[A-Za-z0-9_-]{43})\nsha256 ([0-9a-f]{64})\n", capsys.readouterr().out)
    assert found is not None
    assert hashlib.sha256(found[1].encode()).hexdigest() == found[2]


def test_every_token_is_another(capsys: Captured) -> None:
    main(["token", "new"])
    first = capsys.readouterr().out
    main(["token", "new"])
    assert capsys.readouterr().out != first


def test_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"tunnel \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_nothing_but_its_name_is_wrong_and_lists_the_commands(capsys: Captured) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "let visitors of a server reach applications of this machine" in printed.err


def test_help_lists_the_commands(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in ("demo", "server", "client", "check", "token"))


@pytest.mark.parametrize(
    "arguments", [[], ["chek"], ["check"], ["token"], ["token", "old"], ["server"], ["check", "f", "--kind", "x"]]
)
def test_wrong_arguments_exit_2(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 2
    assert "usage: tunnel" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "token"])
def test_light_commands_load_no_transport(directory: Path, command: str) -> None:
    (directory / "server.toml").write_text(SERVER)
    arguments = {"check": ["check", "server.toml"], "token": ["token", "new"]}[command]
    heavy = ("grpc", "uvicorn", "websockets", "httptools", "dependency_injector", "google")
    script = (
        "import sys; from tunnel.app.cli import main\n"
        f"code = main({arguments!r})\n"
        f"loaded = [name for name in {heavy!r} if name in sys.modules]\n"
        "sys.exit(code or ' '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=directory, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_module_runs_as_the_command(directory: Path) -> None:
    command = [sys.executable, "-m", "tunnel", "--version"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert done.stdout.startswith("tunnel ")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigurationError("expected x", key_path="a", source="f"), 2, "tunnel: f: a: expected x\n"),
        (
            RegistrationRefused(ErrorCode.UNAUTHENTICATED, "unknown token"),
            3,
            "tunnel: unauthenticated: unknown token\n",
        ),
        (ListenError("127.0.0.1:1", "in use"), 1, "tunnel: cannot listen on 127.0.0.1:1: in use\n"),
        (OSError(5, "Input/output\nerror"), 1, "tunnel: [Errno 5] Input/output error\n"),
        (
            ExceptionGroup("g", [OSError("x"), ExceptionGroup("h", [RegistrationRefused(ErrorCode.FORBIDDEN, "no")])]),
            3,
            "tunnel: forbidden: no\n",
        ),
    ],
)
def test_failures_are_one_line_and_a_code(error: Exception, code: int, line: str, capsys: Captured) -> None:
    assert report(error) == code
    assert capsys.readouterr().err == line


def test_unforeseen_errors_keep_their_traceback() -> None:
    group = ExceptionGroup("g", [OSError("x"), KeyError("bug")])
    with pytest.raises(ExceptionGroup) as caught:
        report(group)
    assert caught.value is group


def test_password_is_read_and_printed_as_a_hash_of_it(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))

    assert main(["token", "password"]) == 0
    word, hashed = capsys.readouterr().out.split()
    assert word == "password"
    assert PasswordHash.parse(hashed).fits(b"correct horse")


def test_empty_password_is_refused(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))

    assert main(["token", "password"]) == 2
    assert "expected a password" in capsys.readouterr().err
