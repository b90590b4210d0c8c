from __future__ import annotations

import pytest

from tunnel.domain.health import TRANSITIONS, HealthInput, HealthState

S, I = HealthState, HealthInput  # noqa: E741

EXPECTED = {
    S.HEALTHY: {I.SUCCESS: S.HEALTHY, I.FAILURE: S.HEALTHY, I.EJECTION: S.EJECTED},
    S.EJECTED: {I.SUCCESS: S.RETURNING, I.FAILURE: S.EJECTED, I.PROBE: S.PROBING},
    S.PROBING: {I.SUCCESS: S.RETURNING, I.EJECTION: S.EJECTED, I.PROBE: S.PROBING, I.NO_VERDICT: S.EJECTED},
    S.RETURNING: {I.SUCCESS: S.RETURNING, I.FAILURE: S.RETURNING, I.EJECTION: S.EJECTED, I.RETURNED: S.HEALTHY},
}


@pytest.mark.parametrize("state", HealthState)
@pytest.mark.parametrize("event", HealthInput)
def test_health_table(state: HealthState, event: HealthInput) -> None:
    assert TRANSITIONS.get((state, event)) == EXPECTED[state].get(event)


@pytest.mark.parametrize("state", HealthState)
def test_whoever_is_not_ejected_can_be(state: HealthState) -> None:
    assert state is S.EJECTED or TRANSITIONS[state, I.EJECTION] is S.EJECTED
