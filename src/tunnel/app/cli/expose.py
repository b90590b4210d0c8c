"""``tunnel expose TARGET ... --server URL``: let visitors of a server reach applications of this machine."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from tunnel.app.cli.failures import OK, told
from tunnel.app.cli.output import results, write_error
from tunnel.app.logging import LOG_FORMATS, LOG_LEVELS, configure_logging
from tunnel.app.settings import token_from_environment, token_from_file
from tunnel.domain.configuration.exposed_target import ExposedTarget, claimed_target
from tunnel.domain.errors import ConfigurationError, TunnelError

if TYPE_CHECKING:
    from tunnel.app.cli.expose_board import Board
    from tunnel.app.cli.expose_report import Report
    from tunnel.app.cli.expose_service import Exposing, View
    from tunnel.app.client import Client
    from tunnel.app.container import ClientContainer

__all__ = ["add_arguments", "run"]

_OPTIONS: Final = {
    "to": "--server",
    "host": "--host",
    "path_prefix": "--path-prefix",
    "host_header": "--host-header",
    "tls.ca": "--ca",
    "token_file": "--token-file",
    "token_env": "--token-env",
    "token": "--token",
    "app": "TARGET",
}
"""How what an error names is written on the command line."""

_TARGET_HELP: Final = (
    "a port, HOST:PORT, a URL (http, https, unix, grpc, grpcs), or MODULE:ATTRIBUTE of a Python application; "
    "[HOST][/PREFIX]=TARGET claims that host and prefix for it"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("targets", metavar="TARGET", nargs="+", help=_TARGET_HELP)
    parser.add_argument(
        "--server", metavar="URL", action="append", required=True, help="of the server; several in order of preference"
    )
    credential = parser.add_mutually_exclusive_group()
    credential.add_argument(
        "--token-env", metavar="NAME", help="environment variable with the token (default: TUNNEL_TOKEN)"
    )
    credential.add_argument("--token-file", metavar="FILE", help="file with the token")
    credential.add_argument("--token", metavar="TOKEN", help="the token itself, which other users of the machine see")
    parser.add_argument("--host", help="host to claim (default: the server chooses)")
    parser.add_argument("--path-prefix", metavar="PREFIX", help="part of the host's paths to claim (default: /)")
    parser.add_argument(
        "--host-header", metavar="HOST", help='Host that the target sees; "target": its own (default: the visitor\'s)'
    )
    parser.add_argument("--ca", metavar="FILE", help="certificates of the authorities that vouch for the server")
    parser.add_argument(
        "--insecure", action="store_true", help="permit plain text to a server that is not on this machine"
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="for the first connection")
    parser.add_argument("--log-format", choices=LOG_FORMATS, default="text", help="(default: %(default)s)")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="warning", help="(default: %(default)s)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write one JSON object for each thing that happens")
    form.add_argument("--quiet", action="store_true", help="write URLs and errors only")


def run(args: argparse.Namespace) -> int:
    """Expose the targets; return after an orderly shutdown.

    Raises:
        ConfigurationError: The arguments are wrong; nothing was started.
        RegistrationRefused: The server will not have a claim, or not any more.
        TunnelError: It failed otherwise.
    """
    terminal = results()
    # Applications are found from here, as with "python -m".
    sys.path.insert(0, os.getcwd())
    configure_logging(args.log_format, level="error" if args.quiet else args.log_level)
    # Applications of this process may print; standard output has the results.
    with redirect_stdout(sys.stderr):
        return _run(args, terminal)


def _run(args: argparse.Namespace, terminal: TextIO) -> int:
    try:
        exposings = _exposings(args)
        from tunnel.app.cli.expose_board import Board
        from tunnel.app.cli.expose_service import ExposeService
        from tunnel.app.cli.service import run_service

        board = Board(tuple(each.target for each in exposings), time.time())
        report, view = _report(args, board, terminal)
        if view is not None:
            write_error(f"connecting to {', '.join(args.server)} ...")
        try:
            run_service(lambda: ExposeService(exposings, report, board, timeout_s=args.timeout, view=view))
        except (TunnelError, OSError, ExceptionGroup) as error:
            with suppress(OSError):
                report.closed(told(_as_options(error) if isinstance(error, ConfigurationError) else error)[0])
            raise
    except ConfigurationError as error:
        raise _as_options(error) from error
    report.closed("")
    return OK


def _exposings(args: argparse.Namespace) -> list[Exposing]:
    targets = _targets(args)
    token = _token(args)
    from tunnel.app.cli.expose_service import Exposing

    return [Exposing(each.text, partial(_client, each, args, token)) for each in targets]


def _client(target: ExposedTarget, args: argparse.Namespace, token: str | None, container: ClientContainer) -> Client:
    from tunnel.app.exposure import exposing_client

    return exposing_client(
        target.text,
        to=args.server,
        token=token,
        host=target.host,
        path_prefix=target.path_prefix or "/",
        host_header=args.host_header,
        tls=None if args.ca is None else {"ca": args.ca},
        insecure=args.insecure,
        container=container,
    )


def _targets(args: argparse.Namespace) -> list[ExposedTarget]:
    targets = [claimed_target(each) for each in args.targets]
    if args.host is None and args.path_prefix is None:
        return targets
    if len(targets) > 1:
        option = "host" if args.host is not None else "path_prefix"
        raise ConfigurationError("expected [HOST][/PREFIX]=TARGET where there are several targets", key_path=option)
    (target,) = targets
    for option, given in (("host", target.host), ("path_prefix", target.path_prefix)):
        if given is not None and getattr(args, option) is not None:
            raise ConfigurationError("expected it once, here or before the target", key_path=option)
    host = target.host if args.host is None else args.host
    prefix = target.path_prefix if args.path_prefix is None else args.path_prefix
    return [ExposedTarget(target.text, host, prefix)]


def _token(args: argparse.Namespace) -> str | None:
    if args.token_file is not None:
        return token_from_file(Path(args.token_file)).reveal()
    if args.token_env is not None:
        return token_from_environment(args.token_env).reveal()
    token: str | None = args.token
    return token


def _report(args: argparse.Namespace, board: Board, terminal: TextIO) -> tuple[Report, View | None]:
    from tunnel.app.cli.expose_report import JsonReport, PlainReport

    def write(line: str) -> None:
        terminal.write(f"{line}\n")
        terminal.flush()

    if args.json:
        return JsonReport(terminal, time.time), None
    if args.quiet or not _is_live(terminal):
        return PlainReport(write, quiet=args.quiet), None
    from tunnel.app.cli.expose_live import LiveView
    from tunnel.app.cli.expose_screen import Screen

    view = LiveView(board, Screen(board, server=", ".join(args.server)), terminal)
    return view, view


def _is_live(terminal: TextIO) -> bool:
    return terminal.isatty() and os.environ.get("TERM") != "dumb"


def _seconds(text: str) -> float:
    expected = f"expected a number of seconds above 0, got {text!r}"
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(expected) from None
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(expected)
    return seconds


def _as_options(error: ConfigurationError) -> ConfigurationError:
    """The same, naming options where it named what those became."""
    from tunnel.app.exposure import in_arguments

    return ConfigurationError.of([_as_option(each) for each in in_arguments(error).mistakes])


def _as_option(mistake: ConfigurationError) -> ConfigurationError:
    expected = mistake.expected.replace('"insecure = true"', "--insecure")
    for argument, option in _OPTIONS.items():
        rest = mistake.key_path.removeprefix(argument)
        if mistake.key_path.startswith(argument) and rest[:1] in ("", "["):
            return ConfigurationError(expected, key_path=option)
    return mistake
