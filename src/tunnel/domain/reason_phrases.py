"""What HTTP's statuses are called.

Source: RFC 9110 section 15, and the registry of status codes for those of other specifications.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

__all__ = ["REASON_PHRASES"]

REASON_PHRASES: Final[dict[int, str]] = {
    **{status.value: status.phrase for status in HTTPStatus},
    # Python before 3.13 calls them by the names of RFC 2616 and RFC 4918.
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""By status; the same under every version of Python."""
