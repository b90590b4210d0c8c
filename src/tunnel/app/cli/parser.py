"""Reads the command line, and helps those who type what they know from elsewhere."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, NoReturn

__all__ = ["CommandParser"]

_FILE: Final = {"-c": "--config", "-f": "--config", "--file": "--config"}
_ELSEWHERE: Final = {
    "tunnel": {
        "http": "expose PORT --server URL",
        "https": "expose https://HOST:PORT --server URL",
        "tcp": "server, with [[ingress.tcp]] in its file: TCP has no hosts that could be claimed",
        "start": "client --config FILE",
        "run": "client --config FILE",
        "serve": "server --config FILE",
        "validate": "check FILE",
        "doctor": "check FILE, or status --admin URL",
        "version": "--version",
        "help": "--help",
    },
    "tunnel expose": {
        "--to": "--server",
        "--subdomain": "--host, with all labels of a host that the token may claim",
        "--hostname": "--host",
        "--domain": "--host",
        "--authtoken": "--token-env, --token-file or --token",
        "--url": "http://127.0.0.1:3000 without an option before it",
        "--port": "3000 without an option before it",
        "--basic-auth": '[middleware.NAME] use = "basic_auth", in the server\'s file',
    },
    "tunnel server": _FILE,
    "tunnel client": _FILE,
}
"""By command, words of other tunnels and of other programs' habits, and what to write here."""

_CHOICE: Final = re.compile(r"invalid choice: '?([^' ]+)'?")


class CommandParser(argparse.ArgumentParser):
    """argparse's own, whose errors say what was probably meant. Options are not abbreviated: scripts outlive that."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})  # type: ignore[arg-type]

    def refuse(self, words: Iterable[str]) -> NoReturn:
        """Say that nobody knows these arguments."""
        unknown = [*words]
        hint = next((hint for word in unknown if (hint := self._hint(word))), "")
        if not hint and "--config" in self._option_string_actions and not unknown[0].startswith("-"):
            hint = f"; did you mean --config {unknown[0]}?"
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")

    def error(self, message: str) -> NoReturn:
        found = _CHOICE.search(message)
        super().error(message + (self._hint(found[1]) if found else ""))

    def _hint(self, word: str) -> str:
        word = word.partition("=")[0]
        known = [name for names in map(self._names, self._actions) for name in names]
        meant = _ELSEWHERE.get(self.prog, {}).get(word) or next(iter(get_close_matches(word, known, n=1)), "")
        return f"; did you mean {meant}?" if meant else ""

    @staticmethod
    def _names(action: argparse.Action) -> Iterable[str]:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
        return action.option_strings
