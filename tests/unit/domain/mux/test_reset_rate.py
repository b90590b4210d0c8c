"""Sessions that are opened and reset at once, over and over: the opener stays below what the other end bears."""

from __future__ import annotations

import pytest
from mux_kit import CLIENT, GET, SERVER, Ends, opened_in

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import Limits
from tunnel.domain.mux.reset_rate import ResetCount
from tunnel.domain.mux.session import Session

LEFT = SessionError(ErrorCode.CANCELLED, "the visitor left")


def visit(ends: Ends, *, visitors: int, per_second: int, held_back: int = 1) -> int:
    """Have visitors of the server come and leave, each before it is answered; how many were turned away.

    Args:
        ends: Both ends.
        visitors: How many.
        per_second: How many in a second.
        held_back: Visits whose frames are delivered together.
    """
    turned_away = 0
    here: list[Session] = []
    for number in range(visitors):
        ends.now += 1 / per_second
        try:
            here.append(ends.server.open(GET, ends.now))
        except SessionError as error:
            assert error.code is ErrorCode.OVERLOADED  # noqa: PT017
            turned_away += 1
        if number % held_back == held_back - 1 or number == visitors - 1:
            ends.send_all(SERVER)
            for session in here:
                session.reset(LEFT)
                session.finish()
            here.clear()
            # ``move`` asserts that nothing was a violation.
            for session in opened_in(ends.move()[CLIENT]):
                session.finish()
    return turned_away


@pytest.mark.rule("S22")
@pytest.mark.parametrize("held_back", [1, 400])
@pytest.mark.parametrize("max_sessions", [500, 2000])
def test_visitors_that_leave_early_never_cost_the_tunnel(max_sessions: int, held_back: int) -> None:
    ends = Ends(Limits(max_sessions=max_sessions))
    staying, at_the_client = ends.open(GET, side=SERVER)

    turned_away = visit(ends, visitors=6000, per_second=5000, held_back=held_back)

    assert 3500 < turned_away < 5000  # four fifths, once half of what is borne at once is used up
    assert (staying.error, at_the_client.error) == (None, None)


def test_visitors_that_leave_no_more_often_than_is_borne_are_not_turned_away() -> None:
    assert visit(Ends(), visitors=2000, per_second=800) == 0
    assert visit(Ends(), visitors=9000, per_second=10**6) == 0  # below half of what is borne at once


def test_turned_away_for_as_long_as_it_takes() -> None:
    ends = Ends(Limits(max_sessions=1000))
    assert visit(ends, visitors=1000, per_second=10**6)
    ends.now += 0.6

    assert visit(ends, visitors=400, per_second=10**6) == 0


def test_what_is_open_could_be_reset_all_at_once() -> None:
    ends = Ends(Limits(max_sessions=1000))
    assert visit(ends, visitors=400, per_second=10**6) == 0
    here = [ends.server.open(GET, ends.now) for _ in range(600)]

    with pytest.raises(SessionError, match="too many conversations are given up"):
        ends.server.open(GET, ends.now)
    ends.move()
    for session in here:
        session.reset(LEFT)
    ends.move()


def test_sessions_that_the_other_end_opened_do_not_count() -> None:
    ends = Ends(Limits(max_sessions=1000))
    for _ in range(600):
        mine, other = ends.open(GET)
        other.reset(LEFT)
        other.finish()
        ends.move()
        mine.finish()

    assert visit(ends, visitors=400, per_second=10**6) == 0


@pytest.mark.parametrize(
    ("count", "open_sessions", "borne"),
    [(500, 0, True), (500.5, 0, False), (400, 599, True), (400, 600, False)],
)
def test_half_is_for_those_of_late_and_all_for_those_that_may_come(
    count: float, open_sessions: int, *, borne: bool
) -> None:
    resets = ResetCount(Limits(max_sessions=1000))
    resets.count = count

    assert resets.bears_another(open_sessions, 0.0) is borne


def test_count_falls_by_nine_hundred_a_second_and_not_below_none() -> None:
    resets = ResetCount(Limits(max_sessions=1000))
    resets.count = 400

    resets.bears_another(0, 0.1)
    assert resets.count == pytest.approx(310)
    resets.bears_another(0, 0.2)
    assert resets.count == pytest.approx(220)
    resets.bears_another(0, 5)
    assert resets.count == 0
