from __future__ import annotations

import pytest

from tunnel.domain.limits import KIB, MIB
from tunnel.domain.mux.acknowledgement import Acknowledgement


@pytest.mark.rule("F12")
def test_sixty_four_frames_are_acknowledged_at_once() -> None:
    acknowledgement = Acknowledgement(8 * MIB)
    for _ in range(63):
        acknowledgement.took(0, 0.0)
    assert not acknowledgement.due
    acknowledgement.took(0, 0.0)
    assert acknowledgement.due
    assert acknowledgement.received == 64


@pytest.mark.rule("F13")
@pytest.mark.parametrize(("window", "most"), [(8 * MIB, 256 * KIB), (256 * KIB, 64 * KIB)])
def test_bytes_are_acknowledged_before_the_peers_replay_window_is_full(window: int, most: int) -> None:
    acknowledgement = Acknowledgement(window)
    acknowledgement.took(most - 1, 0.0)
    assert not acknowledgement.due
    acknowledgement.took(1, 0.0)
    assert acknowledgement.due


@pytest.mark.rule("F14")
def test_one_frame_is_acknowledged_after_fifty_milliseconds() -> None:
    acknowledgement = Acknowledgement(8 * MIB)
    assert acknowledgement.deadline is None
    acknowledgement.took(1, 1.0)
    acknowledgement.took(1, 1.04)
    assert acknowledgement.deadline == 1.05
    acknowledgement.tick(1.049)
    assert not acknowledgement.due
    acknowledgement.tick(1.05)
    assert acknowledgement.due
    assert acknowledgement.deadline is None


@pytest.mark.rule("F8")
def test_any_frame_sent_acknowledges() -> None:
    acknowledgement = Acknowledgement(256 * KIB)
    acknowledgement.took(MIB, 1.0)
    acknowledgement.told()
    assert not acknowledgement.due
    assert acknowledgement.deadline is None
    acknowledgement.tick(9.0)
    assert not acknowledgement.due
    acknowledgement.took(0, 9.0)
    assert (acknowledgement.received, acknowledgement.deadline) == (2, 9.05)


def test_bytes_are_counted_from_nothing_after_each_acknowledgement() -> None:
    acknowledgement = Acknowledgement(peer_replay_window_bytes=4000)
    for _ in range(2):
        acknowledgement.took(999, 0.0)
        assert not acknowledgement.due
        acknowledgement.took(1, 0.0)
        assert acknowledgement.due
        acknowledgement.told()
