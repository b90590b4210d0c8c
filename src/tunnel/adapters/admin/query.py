"""Parameters of a request: what may be asked, checked against its own description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Self
from urllib.parse import parse_qsl

import msgspec

from tunnel.adapters.admin.answer import ProblemAnswer

__all__ = ["Parameter", "Query"]

_MAX_PARAMETERS: Final = 16
_MAX_TEXT_CHARACTERS: Final = 4096


class Parameter(msgspec.Struct, frozen=True):
    """One query parameter, a text or an integer.

    Args:
        name: As in the URL.
        description: What it does.
        least: Least integer; None for a text.
        most: Greatest integer; None for no bound.
        default: Integer when it is not given.
    """

    name: str
    description: str
    least: int | None = None
    most: int | None = None
    default: int = 0

    @property
    def schema(self) -> dict[str, object]:
        """As JSON Schema."""
        if self.least is None:
            return {"type": "string", "maxLength": _MAX_TEXT_CHARACTERS}
        bounds = {"minimum": self.least} if self.most is None else {"minimum": self.least, "maximum": self.most}
        return {"type": "integer", **bounds, "default": self.default}


class Query:
    """What a request asks for.

    Args:
        given: Texts by name, all of them known.
        known: What may be given.
    """

    def __init__(self, given: Mapping[str, str], known: Mapping[str, Parameter]) -> None:
        self._given = given
        self._known = known

    @classmethod
    def parse(cls, query_string: bytes, known: Sequence[Parameter]) -> Self:
        """Take the part of a URL after the question mark apart.

        Raises:
            ProblemAnswer: 400: something is unknown, given twice or too long.
        """
        try:
            pairs = parse_qsl(
                query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
            )
        except ValueError:
            raise _bad("the query is malformed") from None
        by_name = {each.name: each for each in known}
        given: dict[str, str] = {}
        for name, value in pairs:
            if name not in by_name:
                expected = ", ".join(by_name) if by_name else "none"
                raise _bad(f"unknown parameter {name[:40]!r}; expected: {expected}")
            if name in given or len(value) > _MAX_TEXT_CHARACTERS:
                raise _bad(f"the parameter {name} is given twice or too long")
            given[name] = value
        return cls(given, by_name)

    def expect_alone(self, name: str, *others: str) -> None:
        """Refuse what would not count beside ``name``, rather than leave it out of account.

        Raises:
            ProblemAnswer: 400: ``name`` is given, and one of ``others`` too.
        """
        beside = [each for each in others if each in self._given] if name in self._given else []
        if beside:
            raise _bad(f"the parameters {name} and {beside[0]} exclude each other")

    def text(self, name: str) -> str | None:
        """A text; None when it is not given."""
        return self._given.get(name)

    def integer(self, name: str) -> int:
        """An integer, its default when it is not given.

        Raises:
            ProblemAnswer: 400: it is none, or out of its range.
        """
        parameter = self._known[name]
        text = self._given.get(name)
        if text is None:
            return parameter.default
        assert parameter.least is not None, "not an integer"
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
        if number < parameter.least or (parameter.most is not None and number > parameter.most):
            most = "" if parameter.most is None else f" to {parameter.most}"
            raise _bad(f"the parameter {name} has to be an integer from {parameter.least}{most}")
        return number


def _bad(detail: str) -> ProblemAnswer:
    return ProblemAnswer(400, "bad_request", detail)
