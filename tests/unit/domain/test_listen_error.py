from __future__ import annotations

from tunnel.domain.errors import ListenError


def test_listener_that_fails_says_where_and_why() -> None:
    error = ListenError("127.0.0.1:80", "permission denied")

    assert (error.address, error.reason) == ("127.0.0.1:80", "permission denied")
    assert str(error) == "cannot listen on 127.0.0.1:80: permission denied"
