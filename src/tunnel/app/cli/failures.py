"""How a command that failed says so: one line, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tunnel.app.cli.output import write_error
from tunnel.domain.errors import ConfigurationError, RegistrationRefused, TunnelError

__all__ = ["FAILED", "MISCONFIGURED", "OK", "REFUSED", "report"]

OK: Final = 0
FAILED: Final = 1
MISCONFIGURED: Final = 2
REFUSED: Final = 3


def report(error: Exception) -> int:
    """Write ``tunnel: <reason>`` to standard error.

    Of a group the most telling error is reported; one with an error that we did not foresee is raised again, for its
    traceback is the report.

    Returns:
        The exit code that belongs to the error.
    """
    leaves = list(_leaves(error))
    for kind, code in ((ConfigurationError, MISCONFIGURED), (RegistrationRefused, REFUSED)):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return _report(leaf, code)
    if not all(isinstance(leaf, TunnelError | OSError) for leaf in leaves):
        raise error
    return _report(leaves[0], FAILED)


def _report(error: Exception, code: int) -> int:
    reason = " ".join(str(error).split()) or type(error).__name__
    write_error(f"tunnel: {reason}")
    return code


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
