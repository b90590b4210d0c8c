from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.limits import KIB, MAX_CHUNK_COST, MIB, Limits
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.windows import ReceiveWindow, SendWindow

LIMITS = Limits(session_window_bytes=64 * KIB, session_window_max_bytes=256 * KIB)
RTT_S = 0.1


def window(*, limits: Limits = LIMITS, budget_bytes: int = 1024 * KIB) -> ReceiveWindow:
    budget = Budget(budget_bytes)
    assert budget.reserve(limits.session_window_bytes)
    return ReceiveWindow(limits, budget, 0.0)


def consume(receive: ReceiveWindow, cost: int, *, now: float) -> int:
    """Let ``cost`` arrive and be read in small pieces; what was granted."""
    granted = 0
    for _ in range(cost // KIB):
        assert receive.arrived(KIB)
        granted += receive.consumed(KIB, now, RTT_S)
    return granted


@pytest.mark.rule("P1")
def test_a_chunk_is_a_quarter_of_the_window_at_most() -> None:
    assert SendWindow(Limits(session_window_bytes=8 * KIB)).chunk_cost == 2 * KIB
    assert SendWindow(Limits(session_window_bytes=1024 * KIB)).chunk_cost == MAX_CHUNK_COST


@pytest.mark.rule("P2")
def test_chunks_grow_with_the_window_and_never_shrink() -> None:
    send = SendWindow(Limits(session_window_bytes=8 * KIB))
    send.granted(8 * KIB)
    assert (send.credit, send.chunk_cost) == (16 * KIB, 4 * KIB)
    send.credit = 0
    send.granted(1)
    assert (send.credit, send.chunk_cost) == (1, 4 * KIB)
    send.granted(4096 * KIB)
    assert send.chunk_cost == MAX_CHUNK_COST


def test_overrun_is_told() -> None:
    receive = window()
    assert receive.arrived(64 * KIB)
    assert not receive.arrived(1)


@pytest.mark.rule("C3")
def test_credit_returns_in_steps_and_not_for_every_envelope() -> None:
    receive = window()
    assert receive.arrived(32 * KIB)
    assert receive.consumed(KIB, 100.0, RTT_S) == 0
    granted = receive.consumed(31 * KIB, 100.0, RTT_S)
    assert granted == 32 * KIB
    assert receive.credit == 64 * KIB


@pytest.mark.rule("C5")
def test_window_consumed_within_two_round_trips_doubles() -> None:
    receive = window()
    granted = consume(receive, 64 * KIB, now=2 * RTT_S)
    assert receive.size == 128 * KIB
    assert granted == 128 * KIB


@pytest.mark.rule("C5")
def test_window_consumed_more_slowly_stays() -> None:
    receive = window()
    granted = consume(receive, 64 * KIB, now=2 * RTT_S + 0.01)
    assert receive.size == 64 * KIB
    assert granted == 64 * KIB


@pytest.mark.rule("C5")
def test_window_grows_to_its_maximum() -> None:
    receive = window()
    for _ in range(5):
        consume(receive, receive.size, now=0.0)
    assert receive.size == 256 * KIB


@pytest.mark.rule("C6")
def test_growth_leaves_half_the_budget_to_others() -> None:
    receive = window(budget_bytes=192 * KIB)
    consume(receive, 64 * KIB, now=0.0)
    assert receive.size == 64 * KIB


def test_closing_returns_the_grown_window_to_the_budget() -> None:
    budget = Budget(1024 * KIB)
    assert budget.reserve(64 * KIB)
    receive = ReceiveWindow(LIMITS, budget, 0.0)
    consume(receive, 64 * KIB, now=0.0)
    assert budget.reserved_bytes == 128 * KIB
    receive.close()
    receive.close()
    assert budget.reserved_bytes == 0


@pytest.mark.rule("K4")
@given(
    st.sampled_from([8 * KIB, 64 * KIB]),
    st.lists(st.tuples(st.integers(1, 64 * KIB), st.sampled_from([0.0, 0.05, 1.0])), max_size=60),
)
def test_sender_and_receiver_agree_and_the_sender_never_starves(size: int, steps: list[tuple[int, float]]) -> None:
    limits = Limits(session_window_bytes=size, session_window_max_bytes=4 * size)
    send, receive, now = SendWindow(limits), window(limits=limits), 0.0
    for wanted, passed in steps:
        now += passed
        cost = min(wanted, send.chunk_cost)
        assert cost <= send.credit, "all was read, and still there is no credit for a chunk"
        send.credit -= cost
        assert receive.arrived(cost)
        granted = receive.consumed(cost, now, RTT_S)
        if granted:
            send.granted(granted)
        assert receive.credit == send.credit
        assert send.chunk_cost <= max(receive.size // 4, 2 * KIB)


@pytest.mark.parametrize("parent_bytes", [100, 1000])
def test_budget_reserves_up_to_its_limit_and_its_parents(parent_bytes: int) -> None:
    parent = Budget(parent_bytes)
    budget = Budget(200, parent)
    most = min(200, parent_bytes)
    assert budget.reserve(most)
    assert not budget.reserve(1)
    assert (budget.reserved_bytes, parent.reserved_bytes) == (most, most)
    budget.release(most)
    assert (budget.reserved_bytes, parent.reserved_bytes) == (0, 0)


def test_parent_bounds_its_children_together() -> None:
    parent = Budget(100)
    one, other = Budget(100, parent), Budget(100, parent)
    assert one.reserve(60)
    assert not other.reserve(60)
    assert (other.reserved_bytes, parent.reserved_bytes) == (0, 60)


def test_spare_is_half_of_every_limit() -> None:
    parent = Budget(100)
    budget = Budget(1000, parent)
    assert budget.reserve_spare(50)
    assert not budget.reserve_spare(1)
    assert Budget(10).reserve_spare(5)
    assert not Budget(10).reserve_spare(6)


def test_peer_may_fill_its_own_limit_and_half_of_what_all_share() -> None:
    process = Budget(100)
    one, other = Budget(40, Budget(1000, process)), Budget(100, process)
    assert one.reserve_for_peer(40)
    assert not one.reserve_for_peer(1)
    assert not other.reserve_for_peer(11)
    assert (one.reserved_bytes, other.reserved_bytes, process.reserved_bytes) == (40, 0, 40)
    assert other.reserve_for_peer(10)
    assert not other.reserve_for_peer(1)
    assert other.reserve(50)
    assert Budget(10).reserve_for_peer(10)


def test_releasing_more_than_was_reserved_is_impossible() -> None:
    with pytest.raises(AssertionError):
        Budget(100).release(1)


def test_small_windows_have_small_chunks_and_growing_ones_larger_up_to_the_largest() -> None:
    small = SendWindow(Limits(session_window_bytes=8 * KIB))
    large = SendWindow(Limits(session_window_bytes=4 * MAX_CHUNK_COST))

    assert (small.chunk_cost, large.chunk_cost) == (2 * KIB, MAX_CHUNK_COST)
    assert (small.returned, large.returned) == (False, False)
    small.granted(8 * KIB)
    assert (small.chunk_cost, small.returned) == (4 * KIB, True)
    small.granted(16 * MAX_CHUNK_COST)
    assert small.chunk_cost == MAX_CHUNK_COST


def test_each_turn_of_growth_counts_from_nothing() -> None:
    receive = window()
    consume(receive, 64 * KIB, now=0.0)
    assert receive.size == 128 * KIB
    # Steps of a third do not add up to a window within three, but for what the turn before has left.
    step = (128 * KIB) // 3
    for _ in range(3):
        assert receive.arrived(step)
        receive.consumed(step, 0.0, RTT_S)
    assert receive.size == 128 * KIB


@pytest.mark.rule("P1")
@pytest.mark.parametrize("quarters", [15, 16, 18, 24])
def test_chunk_is_a_quarter_of_the_window_and_never_above_the_largest(quarters: int) -> None:
    window = SendWindow(Limits(session_window_bytes=quarters * 16 * KIB))
    assert window.chunk_cost == min(quarters * 4 * KIB, 64 * KIB)


def test_window_grows_for_a_whole_window_consumed_and_not_for_a_byte_less() -> None:
    limits = Limits(session_window_bytes=64 * KIB, session_window_max_bytes=256 * KIB)
    budget = Budget(MIB)
    assert budget.reserve(64 * KIB)
    window = ReceiveWindow(limits, budget, 0.0)
    assert window.consumed(64 * KIB - 1, 0.1, 0.1) == 64 * KIB - 1
    assert window.consumed(16 * KIB, 0.1, 0.1) == 16 * KIB + 64 * KIB
    assert window.consumed(128 * KIB - 1, 0.2, 0.1) == 128 * KIB - 1
    assert window.size == 128 * KIB
