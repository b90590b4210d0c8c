"""``tunnel server --config FILE``: run a server, by its file as it is at any time, until it is told to stop."""

from __future__ import annotations

import argparse

from tunnel.app.cli.failures import OK
from tunnel.app.cli.import_path import import_from_working_directory
from tunnel.app.cli.service import add_service_arguments, hangups_ignored, run_service
from tunnel.app.logging import configure_logging
from tunnel.app.reload import Reloader
from tunnel.app.settings import server_source

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
    with hangups_ignored():
        source = server_source(args.config)
        settings = source.load()
        configure_logging(args.log_format, level=args.log_level)
        import_from_working_directory()
        # Imported only now: wrong settings are told at once.
        from tunnel.app.server import Server

        run_service(
            lambda: Server(settings),
            lambda server: Reloader(source, server.reload, server.container.ledger()),
        )
    return OK
