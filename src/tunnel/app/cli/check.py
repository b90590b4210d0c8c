"""``tunnel check FILE``: say whether a configuration file is right, without starting anything."""

from __future__ import annotations

import argparse
import os

from tunnel.app.cli.failures import OK
from tunnel.app.cli.output import write, write_error
from tunnel.app.settings import doubts, read_client_settings, server_source, settings_kind

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="configuration file: .toml, .yaml, .yml or .json")
    parser.add_argument(
        "--kind",
        choices=("server", "client"),
        help="whose settings these are (default: a client's if there is \"servers\" at the top, else a server's)",
    )


def run(args: argparse.Namespace) -> int:
    """Print ``FILE: ok (KIND)``. What is rarely meant is noted on standard error.

    The token of a client is not looked for: files are checked on other machines than the one they are used on. When its
    environment variable is not set here, that is noted on standard error.

    Raises:
        ConfigurationError: With every mistake that does not follow from another.
    """
    kind = args.kind or settings_kind(args.file)
    if kind == "client":
        client = read_client_settings(args.file)
        variable = client.token_env
        if variable and not os.environ.get(variable):
            write_error(f'{args.file}: token_env: note: the environment variable "{variable}" is not set here')
    settings = client if kind == "client" else server_source(args.file, own_kinds=False).load()
    for key_path, what in doubts(settings):
        write_error(f"{args.file}: {key_path}: warning: {what}")
    write(f"{args.file}: ok ({kind})")
    return OK
