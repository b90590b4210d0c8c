from __future__ import annotations

from tunnel.domain.balancing import MAX_WEIGHT, turns


def test_turns_are_counted_from_zero_long_before_floats_cannot_tell_them_apart() -> None:
    # A start grows by the sum of weights with every turn, and fractions of it are compared.
    assert turns._MAX_CHOICES >= 1 << 10
    assert turns._MAX_CHOICES * 1000 * MAX_WEIGHT < 1 << 53
