from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.mux.attachments import Attachments

SOME = {"acked": 0, "waiting": False, "idle": False, "replaced": False}


def test_first_link_is_attached_from_the_start() -> None:
    attachments = Attachments(30.0, keeps_idle=True)
    assert (attachments.number, attachments.current) == (1, 1)


@pytest.mark.rule("R6")
def test_no_number_is_given_twice() -> None:
    attachments = Attachments(30.0, keeps_idle=True)
    numbers = [attachments.current]
    for now in range(5):
        assert attachments.lose(float(now), **SOME) is None
        assert attachments.current == 0
        attachments.attach()
        numbers.append(attachments.current)
    assert numbers == [1, 2, 3, 4, 5, 6]


@pytest.mark.rule("R17")
def test_expiry_counts_from_the_last_loss() -> None:
    attachments = Attachments(30.0, keeps_idle=True)
    attachments.lose(10.0, **SOME)
    assert attachments.expires == 40.0
    attachments.attach()
    attachments.lose(50.0, **SOME)
    assert attachments.expires == 80.0


@pytest.mark.rule("R17")
@pytest.mark.parametrize("keeps_idle", [True, False])
@pytest.mark.parametrize("replaced", [True, False])
def test_no_time_to_resume_keeps_nothing(keeps_idle: bool, replaced: bool) -> None:
    attachments = Attachments(0.0, keeps_idle=keeps_idle)
    assert attachments.lose(1.0, **SOME | {"replaced": replaced}) == "resuming is off"


@pytest.mark.rule("R20")
def test_idle_tunnel_is_kept_by_whoever_keeps_those_or_when_another_link_is_there() -> None:
    idle = SOME | {"idle": True}
    assert Attachments(30.0, keeps_idle=True).lose(1.0, **idle) is None
    assert Attachments(30.0, keeps_idle=False).lose(1.0, **idle) == "nothing was under way"
    assert Attachments(30.0, keeps_idle=False).lose(1.0, **idle | {"replaced": True}) is None


@pytest.mark.rule("R21")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_tunnel_ends_exactly_when_three_links_in_a_row_made_no_progress(links: list[tuple[int, int]]) -> None:
    attachments = Attachments(30.0, keeps_idle=True)
    acked = fruitless = 0
    for acknowledged, left in links:
        acked += acknowledged
        fruitless = 0 if acknowledged or not left else fruitless + 1
        reason = attachments.lose(1.0, **SOME | {"acked": acked, "waiting": left > 0})
        assert (reason is None) == (fruitless < 3)
        if reason is not None:
            assert reason == "3 links in a row ended before anything was acknowledged"
            return
        attachments.attach()
