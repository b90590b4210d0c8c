from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.backoff import Backoff


@dataclass
class Constant:
    """A random source that always draws the same."""

    value: float

    def random(self) -> float:
        return self.value

    def randrange(self, stop: int, /) -> int:
        return int(self.value * stop)


ALMOST_ONE = Constant(1 - 2**-53)


def ceilings(backoff: Backoff, *, failures: int) -> list[float]:
    """The longest waits after so many more attempts that led to no connection."""
    longest = []
    for _ in range(failures):
        backoff.failed()
        longest.append(backoff.delay_s(ALMOST_ONE))
    return longest


def test_first_retry_is_quick() -> None:
    assert ceilings(Backoff(), failures=1) == pytest.approx([0.5])


@pytest.mark.rule("L6")
def test_ceiling_doubles_up_to_the_cap() -> None:
    assert ceilings(Backoff(initial_s=1, cap_s=10), failures=6) == pytest.approx([1, 2, 4, 8, 10, 10])


@pytest.mark.rule("L6")
def test_jitter_is_full() -> None:
    random = Random(7)
    delays = [Backoff(initial_s=1, cap_s=1).delay_s(random) for _ in range(2000)]
    tenths = [sum(int(delay * 10) == tenth for delay in delays) for tenth in range(10)]
    assert min(tenths) > 140
    assert max(tenths) < 260


@given(st.integers(0, 2**32), st.lists(st.none() | st.floats(0, 100), max_size=3000))
def test_delays_stay_between_nothing_and_the_cap(seed: int, history: list[float | None]) -> None:
    backoff, random = Backoff(cap_s=30), Random(seed)
    for lasted_s in history:
        if lasted_s is None:
            backoff.failed()
        else:
            backoff.lost(lasted_s)
        assert 0 <= backoff.delay_s(random) < 30


def test_ceiling_stays_at_the_cap_however_long_a_server_is_away() -> None:
    assert ceilings(Backoff(), failures=5000)[-1] == pytest.approx(30)


@pytest.mark.rule("L7")
def test_only_a_stable_connection_starts_over() -> None:
    backoff = Backoff(initial_s=1, cap_s=60, stable_s=10)
    for _ in range(3):
        assert not backoff.lost(9.9)
    assert backoff.delay_s(ALMOST_ONE) == pytest.approx(4)
    assert backoff.lost(10)
    assert backoff.delay_s(ALMOST_ONE) == pytest.approx(1)


def test_a_connection_makes_the_attempts_before_it_forgotten() -> None:
    backoff = Backoff(initial_s=1, cap_s=60)
    ceilings(backoff, failures=10)
    backoff.lost(1)
    assert backoff.delay_s(ALMOST_ONE) == pytest.approx(1)
    assert ceilings(backoff, failures=3) == pytest.approx([2, 4, 8])


def test_links_lost_at_once_again_and_again_keep_long_delays() -> None:
    backoff = Backoff()
    for _ in range(20):
        backoff.failed()
        backoff.lost(1)
    assert backoff.delay_s(ALMOST_ONE) == pytest.approx(30)


@pytest.mark.parametrize(("initial_s", "cap_s"), [(0, 1), (-1, 1), (2, 1)])
def test_impossible_settings_are_refused(initial_s: float, cap_s: float) -> None:
    with pytest.raises(ValueError, match="initial_s"):
        Backoff(initial_s=initial_s, cap_s=cap_s)


def test_stable_connection_makes_short_ones_before_it_forgotten() -> None:
    backoff = Backoff(initial_s=1, cap_s=60, stable_s=10)
    for lasted_s in (1, 1, 1, 10):
        backoff.lost(lasted_s)

    assert ceilings(backoff, failures=1) == pytest.approx([1])
