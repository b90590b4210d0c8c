"""What is answered, and how it is written: JSON, or problem documents.

Source: RFC 9110; RFC 9457 for problem documents.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tunnel.domain.reason_phrases import REASON_PHRASES

__all__ = ["JSON", "PROBLEM", "Answer", "Problem", "ProblemAnswer", "json_answer"]

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

_COMMON: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Answer(msgspec.Struct, frozen=True):
    """A whole answer.

    Args:
        status: HTTP status.
        body: Whole.
        media_type: Of the body.
        headers: Further fields, names in lower case.
    """

    status: int
    body: bytes
    media_type: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """All its header fields."""
        return [
            (b"content-type", self.media_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
            *_COMMON,
            *self.headers,
        ]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document; ``type`` is about:blank, so ``title`` is the status phrase.

    Args:
        title: Of the status.
        status: The status once more.
        code: Stable, for programs.
        detail: For people.
        type: Of the problem.
    """

    title: str
    status: int
    code: str
    detail: str
    type: str = "about:blank"


class ProblemAnswer(Exception):
    """A request cannot be answered as asked. Stays within the admin port.

    Args:
        status: HTTP status.
        code: Stable, for programs.
        detail: For people.
        headers: Further fields.
    """

    def __init__(self, status: int, code: str, detail: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers

    @property
    def answer(self) -> Answer:
        """Itself, as it is sent."""
        problem = Problem(title=REASON_PHRASES[self.status], status=self.status, code=self.code, detail=self.detail)
        return Answer(self.status, msgspec.json.encode(problem), PROBLEM, self.headers)


def json_answer(value: object, *, status: int = 200) -> Answer:
    """``value`` as JSON, with a line end for terminals."""
    return Answer(status, msgspec.json.encode(value) + b"\n", JSON)
