from __future__ import annotations

import pytest

from tunnel.domain.envelopes import Frame
from tunnel.domain.mux.retention import RetainedFrame, Retention


def kept(*costs: int, control: int = 0) -> Retention:
    retention = Retention(1000)
    for seq, cost in enumerate(costs, 1):
        retention.keep(RetainedFrame(Frame((), 0, seq), cost, control, float(seq), 0))
    return retention


@pytest.mark.rule("F19")
def test_data_takes_room_and_control_does_not() -> None:
    retention = kept(100, 200, control=5)
    assert (retention.room, retention.cost, retention.control_cost) == (700, 300, 10)
    assert (len(retention), retention.sent) == (2, 2)


@pytest.mark.rule("F16")
def test_acknowledging_forgets_all_frames_up_to_it() -> None:
    retention = kept(100, 200, 300, control=5)
    last = retention.acknowledge(2)
    assert last is not None
    assert last.frame.seq == 2
    assert (len(retention), retention.acked, retention.cost, retention.control_cost) == (1, 2, 300, 5)


def test_acknowledging_again_or_less_changes_nothing() -> None:
    retention = kept(100, 200)
    retention.acknowledge(2)
    assert retention.acknowledge(2) is None
    assert retention.acknowledge(1) is None
    assert retention.acked == 2


def test_cleared_retention_awaits_nothing() -> None:
    retention = kept(100, 200, control=5)
    retention.clear()
    assert (len(retention), retention.cost, retention.control_cost) == (0, 0, 0)
    assert retention.acked == retention.sent == 2
