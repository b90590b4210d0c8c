"""``tunnel server --config FILE``: run a server until it is told to stop."""

from __future__ import annotations

import argparse

from tunnel.app.cli.failures import OK
from tunnel.app.cli.service import add_service_arguments, run_service
from tunnel.app.logging import configure_logging
from tunnel.app.settings import load_server_settings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_service_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve; return after an orderly shutdown.

    Raises:
        ConfigurationError: The settings are wrong; nothing was started.
        TunnelError: It could not start, or failed.
    """
    settings = load_server_settings(args.config)
    configure_logging(args.log_format, level=args.log_level)
    # Imported only now: wrong settings are told at once.
    from tunnel.app.server import Server

    run_service(lambda: Server(settings))
    return OK
