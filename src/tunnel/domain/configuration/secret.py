"""A text that must not be seen."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final, NoReturn

__all__ = ["Secret"]

_REDACTED: Final = "***"


class Secret:
    """Holds a secret text so that logs, errors and ``repr`` of whatever contains it show ``***`` instead.

    Equal secrets are equal, compared in constant time. Secrets are neither ordered nor pickled.

    Args:
        value: The text itself; read it back with ``reveal``.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself, to be sent where it belongs and nowhere else."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(
            self._value.encode("utf-8", "surrogatepass"), other._value.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret({_REDACTED!r})"

    def __str__(self) -> str:
        return _REDACTED

    def __format__(self, format_spec: str) -> str:
        return format(_REDACTED, format_spec)

    def __reduce__(self) -> NoReturn:
        msg = "a secret is not pickled"
        raise TypeError(msg)
