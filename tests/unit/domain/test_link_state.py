from __future__ import annotations

from enum import IntEnum

import pytest

from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.link_state import TRANSITIONS, LinkInput, LinkLife, LinkState

S, I = LinkState, LinkInput  # noqa: E741

EXPECTED = {
    S.CONNECTED: {I.REGISTER: S.REGISTERING, I.CLOSED: S.CLOSED},
    S.REGISTERING: {I.ACCEPTED: S.CONFIGURING, I.RESUMED: S.OPEN, I.CLOSED: S.CLOSED},
    S.CONFIGURING: {I.CONFIGURED: S.OPEN, I.CLOSED: S.CLOSED},
    S.OPEN: {I.CONFIGURED: S.OPEN, I.CLOSED: S.CLOSED},
    S.CLOSED: {I.CLOSED: S.CLOSED},
}


@pytest.mark.rule("H1")
@pytest.mark.parametrize("state", LinkState)
@pytest.mark.parametrize("event", LinkInput)
def test_link_table(state: LinkState, event: LinkInput) -> None:
    expected = EXPECTED[state].get(event)
    assert TRANSITIONS.get((state, event)) == expected
    life = LinkLife()
    life.state = state
    if expected is None:
        with pytest.raises(LinkError, match=f"{event.name.lower()} while {state.name.lower()}") as caught:
            life.on(event)
        assert caught.value.end is LinkEnd.VIOLATED
        assert life.state is state
    else:
        life.on(event)
        assert life.state is expected


def test_handshake_goes_through_every_step() -> None:
    life = LinkLife()
    for event in (LinkInput.REGISTER, LinkInput.ACCEPTED, LinkInput.CONFIGURED, LinkInput.CLOSED):
        life.on(event)
    assert life.state is LinkState.CLOSED


@pytest.mark.parametrize("names", [LinkState, LinkInput])
def test_no_two_names_are_of_the_same_state_or_input(names: type[IntEnum]) -> None:
    assert len(set(names.__members__.values())) == len(names.__members__)
