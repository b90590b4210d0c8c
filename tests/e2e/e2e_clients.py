"""Clients that are not ours, as users start them, against the ingress of a tunnel."""

import shutil
import subprocess
from dataclasses import dataclass

import pytest
from e2e_visitor import HOST, Address

PROGRAM_S = 60.0
"""In which any of them must be done; each sets shorter limits of its own."""


def program(name: str, *others: str) -> str:
    """The path of a program; skips the test, and says so, where there is none of these names."""
    found = next(filter(None, map(shutil.which, (name, *others))), None)
    if found is None:
        pytest.skip(f"{' or '.join((name, *others))} is not on PATH")
    return found


@dataclass(frozen=True)
class Ran:
    """What a program said, and how it ended."""

    code: int
    out: bytes
    err: str


def run_program(*command: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ran:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=PROGRAM_S, env=env, check=False)
    return Ran(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


@dataclass(frozen=True)
class Curl:
    """curl, with nothing from its user's configuration or environment."""

    path: str
    ingress: Address

    def url(self, target: str, *, host: str = HOST) -> str:
        return f"http://{host}:{self.ingress[1]}{target}"

    def command(self, *arguments: str) -> list[str]:
        to_ingress = f"::{self.ingress[0]}:{self.ingress[1]}"
        return [
            *(self.path, "--disable", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*"),
            *("--connect-to", to_ingress, *arguments),
        ]

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ran:
        return run_program(*self.command(*arguments), stdin=stdin)

    def body(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What it printed, once it succeeded."""
        ran = self(*arguments, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran.out
