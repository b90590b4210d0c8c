"""The status of each error code, and those that the pages of the reference list."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest

from tunnel.domain.error_statuses import GRPC_STATUS, HTTP_STATUS
from tunnel.domain.errors import ErrorCode

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
STATUSES = {
    "bad_request": (400, 3),
    "route_not_found": (404, 12),
    "no_client": (503, 14),
    "peer_lost": (502, 14),
    "upstream_unreachable": (502, 14),
    "upstream_timeout": (504, 4),
    "too_large": (413, 8),
    "overloaded": (503, 8),
    "unauthenticated": (401, 16),
    "forbidden": (403, 7),
    "protocol_error": (502, 13),
    "flow_control": (502, 13),
    "refused": (502, 14),
    "superseded": (502, 14),
    "cancelled": (502, 1),
    "internal": (500, 13),
    "loop_detected": (508, 9),
}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_the_statuses_that_are_documented(code: ErrorCode) -> None:
    assert (HTTP_STATUS[code], GRPC_STATUS[code]) == STATUSES[code.value]


def rows(page: str, heading: str) -> list[tuple[list[str], str]]:
    """Codes and statuses of the first table after the heading."""
    text = (REFERENCE / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ")]
    cells = table[2:]
    return [(re.findall(r"[a-z_]+", codes), status.strip()) for codes, status in cells]


def test_statuses_of_http_are_those_of_the_protocol_page() -> None:
    listed = {code: int(status[:3]) for codes, status in rows("protocol.md", "Error codes") for code in codes}

    assert listed == {code.value: HTTP_STATUS[code] for code in ErrorCode}


def test_statuses_of_calls_are_those_of_the_page_on_grpc() -> None:
    listed: dict[str, str] = {}
    for codes, status in rows("grpc.md", "Failures"):
        names = status.split(", ")
        listed |= zip(codes, names if len(names) == len(codes) else names * len(codes), strict=True)

    assert {code: grpc.StatusCode[name].value[0] for code, name in listed.items()} == {
        code.value: GRPC_STATUS[code] for code in ErrorCode
    }
