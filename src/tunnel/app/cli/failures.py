"""How a command that failed says so: a line for each reason, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tunnel.app.cli.output import write_error
from tunnel.domain.errors import ConfigurationError, RegistrationRefused, TunnelError

__all__ = ["FAILED", "MISCONFIGURED", "OK", "REFUSED", "report", "told"]

OK: Final = 0
FAILED: Final = 1
MISCONFIGURED: Final = 2
REFUSED: Final = 3


def report(error: Exception) -> int:
    """Write ``tunnel: <reason>`` to standard error; of a wrong configuration a line for each mistake.

    Of a group the most telling error is reported; one with an error that we did not foresee is raised again, for its
    traceback is the report.

    Returns:
        The exit code that belongs to the error.
    """
    telling, code = _telling(error)
    for each in telling.mistakes if isinstance(telling, ConfigurationError) else (telling,):
        write_error(f"tunnel: {_reason(each)}")
    return code


def told(error: Exception) -> tuple[str, int]:
    """The reason that ``report`` gives for an error, in one line, and its exit code.

    Raises:
        Exception: ``error`` itself, when it is of a kind that we did not foresee.
    """
    telling, code = _telling(error)
    return _reason(telling), code


def _telling(error: Exception) -> tuple[Exception, int]:
    leaves = list(_leaves(error))
    for kind, code in ((ConfigurationError, MISCONFIGURED), (RegistrationRefused, REFUSED)):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf, code
    if not all(isinstance(leaf, TunnelError | OSError) for leaf in leaves):
        raise error
    return leaves[0], FAILED


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
