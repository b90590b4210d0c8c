"""What is shown of a registration: never what it proves itself with."""

from __future__ import annotations

import pytest

from tunnel.domain.tunnel_payloads import ResumeRequest


@pytest.mark.parametrize(("only", "shown"), [(False, ""), (True, ", only=True")])
def test_request_to_resume_is_shown_without_its_token(only: bool, shown: str) -> None:
    request = ResumeRequest("t-1", b"secret", 3, 7, only=only)
    assert repr(request) == f"ResumeRequest(tunnel_id='t-1', attempt=3, received=7{shown})"


def test_tunnel_that_is_not_found_is_made_anew_unless_nothing_else_will_do() -> None:
    assert ResumeRequest("t-1", b"secret", 3, 7).only is False
