"""Mistakes gathered one after another, so that whoever made several is told all of them at once.

1. A check raises the first mistake it finds. Checks that have nothing to do with each other stand in ``with found:``
   blocks of their own, so that each may find one.
2. What could not be read at all is ``UNJUDGED`` wherever it would be looked at. A check that does look at it ends
   there, without a mistake: whatever it would say follows from the one that is already known.
3. What a check says by what another table holds, it says only if that table is ``clean``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn

from tunnel.domain.errors import ConfigurationError

__all__ = ["MAX_FOUND", "UNJUDGED", "Findings"]

MAX_FOUND: Final = 1000
"""Mistakes after which the search ends. A file has so many when it is another's, or when what everything refers to is
gone; each may cost a comparison with all names there are."""


_MORE: Final = ConfigurationError("more mistakes are not looked for")


class Findings:
    """Mistakes, in the order in which they were found, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], ConfigurationError] = {}
        self._touched: set[str] = set()
        self._unjudged: set[str] = set()
        self._full: ConfigurationError | None = None

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def mistakes(self) -> tuple[ConfigurationError, ...]:
        """What was found so far."""
        return tuple(self._found.values())

    def add(self, error: ConfigurationError) -> None:
        """Note every mistake of ``error``.

        Raises:
            ConfigurationError: With all that was found: it is ``MAX_FOUND`` and more, and the search is over.
        """
        if error is self._full:
            raise error
        for each in error.mistakes:
            if each.key_path in self._unjudged:
                continue
            # Frames would keep alive what was half made, and show what it held.
            self._found.setdefault((each.key_path, each.expected), each.with_traceback(None))
            self._touched.update(_tables(each.key_path))
        if len(self._found) >= MAX_FOUND:
            # What was full before it was added here ends with the same words.
            self._found[_MORE.key_path, _MORE.expected] = _MORE
            self._full = ConfigurationError.of(self.mistakes)
            raise self._full

    def unjudged(self, key_path: str) -> Any:
        """What stands for a value that could not be read; a mistake that says so was added.

        Args:
            key_path: Where it stands, or should; nothing more is found there.
        """
        self._unjudged.add(key_path)
        return UNJUDGED

    def sort(self, order: Callable[[str], tuple[int, ...]]) -> None:
        """Put the mistakes into another order, by their key paths; what is equal keeps its own."""
        self._found = dict(sorted(self._found.items(), key=lambda each: order(each[0][0])))

    def clean(self, key_path: str) -> bool:
        """Whether nothing was found at this key, nor below it."""
        return key_path not in self._touched

    def tell(self) -> None:
        """Do nothing if nothing was found.

        Raises:
            ConfigurationError: With all that was found.
        """
        match self.mistakes:
            case ():
                return
            case (mistake,):
                raise mistake
            case mistakes:
                raise ConfigurationError.of(mistakes)

    def __enter__(self) -> None:
        """Begin to look for one mistake."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Gather the mistake that ends the block."""
        if isinstance(error, ConfigurationError):
            self.add(error)
            return True
        return isinstance(error, _Untold) or _is_of_unjudged(error)


def _is_of_unjudged(error: BaseException | None) -> bool:
    """Whether a function ended for having been given what is unjudged.

    Those written in C ask for the type of what they are given before anything else, and name it. Any other
    ``TypeError`` is a mistake in a check, and never passes for one in what is checked.
    """
    return isinstance(error, TypeError) and _Unjudged.__name__ in str(error)


def _tables(key_path: str) -> list[str]:
    """A key path and those of all tables and lists around it."""
    ends = [place for place, character in enumerate(key_path) if character in ".["]
    return [key_path, *(key_path[:end] for end in ends)]


class _Untold(Exception):
    """A check looked at something of which it is already known that it is wrong."""


class _Unjudged:
    """Stands for a value that could not be read. It can be passed on and named; looking at it ends the check."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNJUDGED"

    def _looked_at(self, *_: object) -> NoReturn:
        raise _Untold

    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __call__ = _looked_at
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _looked_at
    __str__ = __format__ = __fspath__ = __int__ = __float__ = __index__ = _looked_at

    def __getattr__(self, name: str) -> NoReturn:
        raise _Untold


UNJUDGED: Final = _Unjudged()
