"""What is shown of a registration: never what it proves itself with."""

from __future__ import annotations

import pytest

from tunnel.domain.tunnel_payloads import ConfigSyncRequest, ConfigSyncResponse, RegisterResponse, ResumeRequest


@pytest.mark.parametrize(("only", "shown"), [(False, ""), (True, ", only=True")])
def test_request_to_resume_is_shown_without_its_token(only: bool, shown: str) -> None:
    request = ResumeRequest("t-1", b"secret", 3, 7, only=only)
    assert repr(request) == f"ResumeRequest(tunnel_id='t-1', attempt=3, received=7{shown})"


def test_tunnel_that_is_not_found_is_made_anew_unless_nothing_else_will_do() -> None:
    assert ResumeRequest("t-1", b"secret", 3, 7).only is False


def test_question_for_a_configuration_is_shown_without_its_credential() -> None:
    shown = repr(ConfigSyncRequest("laptop-1", "web", "secret"))
    assert shown == "ConfigSyncRequest(client_id='laptop-1', group_id='web')"


def test_acceptance_resumes_nothing_and_a_configuration_is_whole_unless_they_say_so() -> None:
    accepted = RegisterResponse("t-1", b"secret", "s-1", 1)
    assert (accepted.resumed, accepted.received) == (False, 0)
    assert not ConfigSyncResponse(1, "hash", b"{}").more
