"""The command ``tunnel``. Each of its commands is a module here, imported only when it is the one that was asked for.

Such a module has ``add_arguments(parser)`` and ``run(args) -> int``, which returns the exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn, Protocol, cast

from tunnel.app.cli.failures import report
from tunnel.app.cli.output import settle, write
from tunnel.app.cli.parser import CommandParser
from tunnel.app.cli.standard_streams import open_standard_streams
from tunnel.domain.errors import TunnelError

__all__ = ["main"]

_DESCRIPTION: Final = "Carry HTTP, WebSocket, gRPC and TCP between a public server and clients behind NAT."

_COMMANDS: Final = {
    "demo": "run server, client and a sample application on this machine and show what came back",
    "server": "run a server",
    "client": "run a client",
    "expose": "let visitors of a server reach applications of this machine",
    "check": "check a configuration file without starting anything",
    "explain": "say which rules of a server's file a request falls under, and why not under others",
    "token": "make tokens, and hashes of passwords",
    "status": "show what a running server or client says of itself at its admin port",
}


class _Command(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None: those of this process.

    Returns:
        0 done; 1 failed, with the reason on standard error; 2 bad configuration or arguments; 3 the server refused the
        client; 130 interrupted before anything was there to shut down.
    """
    open_standard_streams()
    # gRPC's core writes to standard error by itself, otherwise also about every stranger's failed handshake.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except SystemExit as exit_:
        # Raised by argparse, which has printed all there is to say.
        return exit_.code if isinstance(exit_.code, int) else 0
    except (TunnelError, OSError, ExceptionGroup) as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    finally:
        settle()


def _run(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    parser = own = CommandParser(prog="tunnel", description=_DESCRIPTION)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: _Command | None = None
    for name, summary in _COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == chosen:
            command = cast(_Command, import_module(f"tunnel.app.cli.{name}"))
            command.add_arguments(subparser)
            own = subparser
    if not arguments:
        # Who types nothing else wants to know what there is.
        parser.print_help(sys.stderr)
        return 2
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        own.refuse(unknown)
    assert command is not None
    return command.run(args)


class _Version(argparse.Action):
    """Like argparse's own, but looks the version up only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version

        write(f"tunnel {version('hextunnel')}")
        parser.exit()
