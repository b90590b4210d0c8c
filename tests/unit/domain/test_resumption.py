from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tunnel.domain.envelopes import Register, ResumeRequest
from tunnel.domain.identity import Principal
from tunnel.domain.resumption import ResumeTicket, Resumption, Verdict

TOKEN = bytes(range(32))
PRINCIPAL = Principal("laptop", groups=frozenset({"web"}))
REQUEST = Register((1,), "one", "web", b"i" * 16, "secret")


def asking(attempt: int, token: bytes = TOKEN, **changed: object) -> Register:
    return replace(REQUEST, resume=ResumeRequest("tunnel", token, attempt, 7), **changed)


@pytest.fixture
def resumption() -> Resumption:
    return Resumption(TOKEN, PRINCIPAL, REQUEST)


@pytest.mark.rule("R3")
def test_owner_may_resume_over_and_over(resumption: Resumption) -> None:
    for attempt in (1, 2, 3):
        assert resumption.judge(asking(attempt), PRINCIPAL) is Verdict.ACCEPTED
        assert resumption.attempt == attempt


@pytest.mark.rule("R5")
@pytest.mark.parametrize("attempt", [5, 4, 1, 0, -1, -(2**63)])
def test_attempt_not_above_the_last_accepted_is_stale(resumption: Resumption, attempt: int) -> None:
    assert resumption.judge(asking(5), PRINCIPAL) is Verdict.ACCEPTED
    assert resumption.judge(asking(attempt), PRINCIPAL) is Verdict.STALE
    assert resumption.attempt == 5


@pytest.mark.rule("R3")
@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(resumption: Resumption, attempt: int) -> None:
    assert resumption.judge(asking(attempt), PRINCIPAL) is Verdict.STALE


@pytest.mark.rule("R2")
@pytest.mark.parametrize(
    ("request_", "principal"),
    [
        (asking(1), Principal("other", groups=frozenset({"web"}))),
        (asking(1, client_id="two"), PRINCIPAL),
        (asking(1, group_id="db"), PRINCIPAL),
        (asking(1, instance_id=b"j" * 16), PRINCIPAL),
        (asking(1, token=TOKEN[:-1] + b"\0"), PRINCIPAL),
        (asking(1, token=TOKEN[:-1]), PRINCIPAL),
        (asking(1, token=TOKEN + b"\0"), PRINCIPAL),
        (asking(1, token=b""), PRINCIPAL),
    ],
)
def test_anybody_else_is_unknown_and_leaves_no_trace(
    resumption: Resumption, request_: Register, principal: Principal
) -> None:
    assert resumption.judge(request_, principal) is Verdict.UNKNOWN
    assert resumption.attempt == 0
    assert resumption.judge(asking(1), PRINCIPAL) is Verdict.ACCEPTED
    assert resumption.judge(request_, principal) is Verdict.UNKNOWN, "not even that it is stale"


@pytest.mark.rule("R2")
def test_principal_that_is_worth_something_else_by_now_is_the_same(resumption: Resumption) -> None:
    principal = replace(PRINCIPAL, groups=frozenset({"web", "db"}), credential_id="renewed")
    assert resumption.judge(asking(1), principal) is Verdict.ACCEPTED


@pytest.mark.rule("R5")
@pytest.mark.parametrize("attempt", [2**63, 2**64 - 1])
def test_huge_attempt_only_shuts_out_whoever_made_it(resumption: Resumption, attempt: int) -> None:
    assert resumption.judge(asking(attempt), PRINCIPAL) is Verdict.ACCEPTED
    assert resumption.judge(asking(2), PRINCIPAL) is Verdict.STALE


@pytest.mark.rule("R3", "R5")
@given(st.data())
def test_whatever_order_attempts_arrive_in_those_accepted_increase(data: st.DataObject) -> None:
    ticket = ResumeTicket(tunnel_id="tunnel", token=TOKEN, server_id="server")
    requests = [replace(REQUEST, resume=ticket.next_attempt(n)) for n in range(data.draw(st.integers(1, 8)))]
    resumption = Resumption(TOKEN, PRINCIPAL, REQUEST)
    accepted: list[int] = []
    for request in data.draw(st.permutations(requests)):
        assert request.resume is not None
        expected = Verdict.ACCEPTED if request.resume.attempt > max(accepted, default=0) else Verdict.STALE
        assert resumption.judge(request, PRINCIPAL) is expected
        if expected is Verdict.ACCEPTED:
            accepted.append(request.resume.attempt)
    assert accepted == sorted(set(accepted))


@pytest.mark.rule("R1", "R3")
def test_ticket_numbers_attempts_and_says_what_was_received() -> None:
    ticket = ResumeTicket(tunnel_id="tunnel", token=TOKEN, server_id="server")
    assert ticket.next_attempt(7) == ResumeRequest("tunnel", TOKEN, 1, 7)
    assert ticket.next_attempt(7) == ResumeRequest("tunnel", TOKEN, 2, 7)
    assert (ticket.tunnel_id, ticket.server_id) == ("tunnel", "server")


@pytest.mark.rule("R1")
def test_token_is_in_no_representation() -> None:
    ticket = ResumeTicket(tunnel_id="tunnel", token=TOKEN, server_id="server")
    said = repr(ticket.next_attempt(7))
    assert "token" not in said
    assert repr(TOKEN)[2:10] not in said


@pytest.mark.parametrize("only", [False, True])
def test_request_to_resume_is_shown_without_its_secret(only: bool) -> None:
    shown = repr(ResumeRequest("t", b"secret", 2, 7, only))
    assert shown == f"ResumeRequest(tunnel_id='t', attempt=2, received=7{', only=True' if only else ''})"
