"""``tunnel token new`` and ``tunnel token password``: make secrets, and the hashes by which a server knows them."""

from __future__ import annotations

import argparse
import getpass
import hashlib
import secrets
import sys
from typing import Final

from tunnel.app.cli.failures import OK
from tunnel.app.cli.output import write
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.middleware.passwords import PasswordHash

__all__ = ["add_arguments", "new_token", "password_hash", "run"]

_PREFIX: Final = "tnl_"
"""Lets people and secret scanners recognise a token."""

_SALT_BYTES: Final = 16

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

    actions.add_parser(
        "password",
        help="read a password and print its hash",
        description="Read a password, from a terminal without showing it, else the first line of standard input, and "
        'print its hash for the users of [middleware.NAME] with use = "basic_auth".',
    )


def run(args: argparse.Namespace) -> int:
    """Print a line ``token ...`` and a line ``sha256 ...``; or, of a password, a line ``password ...``.

    Raises:
        ConfigurationError: The password is empty, or not UTF-8.
    """
    if args.action == "password":
        write(f"password {password_hash(_password())}")
        return OK
    token, digest = new_token()
    write(f"token {token}")
    write(f"sha256 {digest}")
    return OK


def password_hash(password: str) -> str:
    """The hash of a password that somebody made up, with a salt of its own."""
    return str(PasswordHash.of(password.encode(), secrets.token_bytes(_SALT_BYTES)))


def _password() -> str:
    try:
        password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        password.encode()
    except EOFError:
        password = ""
    except UnicodeError as exc:
        # Browsers send UTF-8. What was not valid is in the error, and part of a secret.
        raise ConfigurationError("expected a password in UTF-8") from exc
    if not password:
        raise ConfigurationError("expected a password")
    return password


def new_token() -> tuple[str, str]:
    """A random token and the SHA-256 of its text in hexadecimal digits."""
    token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, hashlib.sha256(token.encode()).hexdigest()
