"""Which requests are begun again, and how many."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.domain.errors import ErrorCode
from tunnel.domain.retries import IDEMPOTENT_METHODS, RetryBudget, may_begin_again

AFRESH = {
    (ErrorCode.REFUSED, False, False),
    (ErrorCode.REFUSED, False, True),
    (ErrorCode.REFUSED, True, False),
    (ErrorCode.REFUSED, True, True),
    (ErrorCode.OVERLOADED, False, False),
    (ErrorCode.OVERLOADED, False, True),
    (ErrorCode.PEER_LOST, False, False),
    (ErrorCode.PEER_LOST, False, True),
    (ErrorCode.PEER_LOST, True, True),
}


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("idempotent", [False, True])
def test_what_is_begun_again(code: ErrorCode, started: bool, idempotent: bool) -> None:
    assert may_begin_again(code, started=started, idempotent=idempotent) == ((code, started, idempotent) in AFRESH)


def test_methods_that_may_be_done_twice_are_those_of_the_rfc() -> None:
    assert sorted(IDEMPOTENT_METHODS) == ["DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"]


def spent(budget: RetryBudget, now: float, *, asking: int = 1000) -> int:
    return sum(budget.spend(now) for _ in range(asking))


def test_three_retries_a_second_are_allowed_without_any_requests() -> None:
    budget = RetryBudget(0.0)
    assert spent(budget, 0.0) == 3
    assert spent(budget, 1.0) == 3
    assert spent(budget, 100.0) == 3


def test_a_fifth_of_the_requests_of_late_may_be_retried() -> None:
    budget = RetryBudget(0.0)
    budget.requests = 500
    assert spent(budget, 10.0) == 3 + 100
    assert spent(budget, 10.0) == 0


def test_requests_of_long_ago_allow_nothing() -> None:
    budget = RetryBudget(0.0)
    budget.requests = 10_000
    # A thousandth of them is taken to be of the last ten seconds.
    assert spent(budget, 10_000.0) == 3 + 2
    budget.requests = 500
    assert budget.spend(10_010.0)
    assert spent(budget, 10_020.0) == 3


def test_what_requests_have_earned_fades_within_ten_seconds() -> None:
    budget = RetryBudget(0.0)
    budget.requests = 100
    assert budget.spend(0.0)
    # Half of the twenty is left after half of the time, beside the three of every second.
    assert spent(budget, 5.0) == 3 + 10


STEPS = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 200), st.integers(0, 60)), min_size=1, max_size=30)


@given(STEPS)
@example([(0.0, 0, 4)])
@example([(10.0, 200, 60), (0.0, 0, 60)])
def test_retries_stay_within_a_fifth_of_the_requests_and_three_a_second(steps: list[tuple[float, int, int]]) -> None:
    budget, now, requests, retries = RetryBudget(0.0), 0.0, 0, 0
    for wait_s, more, asking in steps:
        now += wait_s
        budget.requests += more
        requests += more
        retries += spent(budget, now, asking=asking)
        assert retries <= 0.2 * requests + 3 * now + 3 + 1e-6


@given(STEPS)
def test_steady_load_may_retry_a_fifth_of_it(steps: list[tuple[float, int, int]]) -> None:
    # However often it is asked in between, a steady hundred requests a second allow at least fifteen retries.
    budget, now = RetryBudget(0.0), 0.0
    for wait_s, _, asking in steps:
        now += wait_s
        budget.requests += int(wait_s * 100)
        spent(budget, now, asking=min(asking, int(wait_s)))
    budget.requests += 1000
    assert spent(budget, now + 10.0) >= 200
