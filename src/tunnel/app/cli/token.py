"""``tunnel token new``: make a token and the hash by which a server knows it."""

from __future__ import annotations

import argparse
import hashlib
import secrets
from typing import Final

from tunnel.app.cli.failures import OK
from tunnel.app.cli.output import write

__all__ = ["add_arguments", "new_token", "run"]

_PREFIX: Final = "tnl_"
"""Lets people and secret scanners recognise a token."""

_TOKEN_BYTES: Final = 32
"""256 bits: cannot be guessed, so one round of a plain hash keeps it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser(
        "new",
        help="print a new token and its SHA-256",
        description="Print a new token, for the client, and its SHA-256, for [auth.tokens.NAME] of the server. "
        "The token is kept nowhere.",
    )


def run(args: argparse.Namespace) -> int:
    """Print a line ``token ...`` and a line ``sha256 ...``."""
    token, digest = new_token()
    write(f"token {token}")
    write(f"sha256 {digest}")
    return OK


def new_token() -> tuple[str, str]:
    """A random token and the SHA-256 of its text in hexadecimal digits."""
    token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, hashlib.sha256(token.encode()).hexdigest()
