from __future__ import annotations

from enum import IntEnum

import pytest

from tunnel.domain.tunnel_state import TRANSITIONS, TunnelInput, TunnelState

S, I = TunnelState, TunnelInput  # noqa: E741

EXPECTED = {
    S.CONNECTING: {I.REGISTERED: S.ATTACHED, I.ENDED: S.ENDED},
    S.ATTACHED: {I.GO_AWAY: S.DRAINING, I.LINK_LOST: S.DETACHED, I.ENDED: S.ENDED},
    S.DRAINING: {I.GO_AWAY: S.DRAINING, I.LINK_LOST: S.DETACHED_DRAINING, I.ENDED: S.ENDED},
    S.DETACHED: {I.GO_AWAY: S.DETACHED_DRAINING, I.RESUMED: S.ATTACHED, I.ENDED: S.ENDED},
    S.DETACHED_DRAINING: {I.GO_AWAY: S.DETACHED_DRAINING, I.RESUMED: S.DRAINING, I.ENDED: S.ENDED},
    S.ENDED: {I.ENDED: S.ENDED},
}


@pytest.mark.parametrize("state", TunnelState)
@pytest.mark.parametrize("event", TunnelInput)
def test_tunnel_table(state: TunnelState, event: TunnelInput) -> None:
    assert TRANSITIONS.get((state, event)) == EXPECTED[state].get(event)


@pytest.mark.parametrize("state", TunnelState)
def test_every_tunnel_can_end(state: TunnelState) -> None:
    assert TRANSITIONS[state, TunnelInput.ENDED] is TunnelState.ENDED


@pytest.mark.parametrize("names", [TunnelState, TunnelInput])
def test_no_two_names_are_of_the_same_state_or_input(names: type[IntEnum]) -> None:
    assert len(set(names.__members__.values())) == len(names.__members__)
