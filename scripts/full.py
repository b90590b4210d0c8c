"""Run the tests at full length, then try the mutants of the domain; tell at the end what was measured and what it took.

::

    python scripts/full.py python -m pytest -n 3        # the command that runs the tests

The second is done whatever came of the first, unless that was interrupted: who has waited for half an hour wants to
know all of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[1]

#: Exit code of pytest.
_INTERRUPTED = 2


_MUTATION = (sys.executable, str(_ROOT / "scripts" / "mutate.py"))


def main(tests: Sequence[str], mutation: Sequence[str] = _MUTATION) -> int:
    """Run both commands, and return the worse of their exit codes."""
    with tempfile.TemporaryDirectory(prefix="tunnel-full-") as directory:
        figures = Path(directory) / "measurements.txt"
        long = {"TUNNEL_FULL": "1", "TUNNEL_MEASUREMENTS": str(figures)}
        tested = _Step("tests at full length", tests, long)
        if tested.code == _INTERRUPTED:
            return _INTERRUPTED
        mutated = _Step("mutants of the domain", mutation)
        _say("", "measurements:", figures.read_text() if figures.exists() else "none")
    steps = (tested, mutated)
    _say(*map(str, steps), f"{sum(step.took_s for step in steps) / 60:5.1f} min  in all")
    return max(step.code for step in steps)


class _Step:
    """One command, run.

    Args:
        name: What it does.
        command: As it is typed.
        environment: Variables besides those of this process.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        began = time.monotonic()
        variables = os.environ | (environment or {})
        done = subprocess.run([*command], cwd=_ROOT, env=variables, check=False)  # noqa: S603 - what make names
        self.code = abs(done.returncode)
        self.took_s = time.monotonic() - began
        self._name = name

    def __str__(self) -> str:
        return f"{self.took_s / 60:5.1f} min  {self._name}: {'failed' if self.code else 'passed'}"


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
