from __future__ import annotations

import pytest

from tunnel.adapters.websocket.address import format_address, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:65535", ("localhost", 65_535)),
        ("[::1]:7001", ("::1", 7001)),
        ("[::]:0", ("::", 0)),
    ],
)
def test_address_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "host", ":7000", "host:", "host:x", "host:70000", "host:-1", "::1:7000", "host:٣"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected host:port|needs brackets"):
        parse_address(text)


def test_socket_addresses_are_written_as_they_are_read() -> None:
    assert format_address(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert format_address(("::1", 80, 0, 0)) == "[::1]:80"
    assert format_address(None) == ""
    assert format_address("") == ""
