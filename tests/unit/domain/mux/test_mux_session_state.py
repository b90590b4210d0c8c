from __future__ import annotations

import pytest

from tunnel.domain.mux.session_state import TRANSITIONS, SessionInput, SessionState

S, I = SessionState, SessionInput  # noqa: E741

EXPECTED = {
    S.UNOPENED: {I.OPENED: S.OPEN, I.RESET: S.CLOSED},
    S.OPEN: {I.LOCAL_END: S.LOCAL_ENDED, I.REMOTE_END: S.REMOTE_ENDED, I.RESET: S.CLOSED},
    S.LOCAL_ENDED: {I.REMOTE_END: S.CLOSED, I.RESET: S.CLOSED},
    S.REMOTE_ENDED: {I.LOCAL_END: S.CLOSED, I.RESET: S.CLOSED},
    S.CLOSED: {},
}


@pytest.mark.rule("S7")
@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("event", SessionInput)
def test_session_table(state: SessionState, event: SessionInput) -> None:
    assert TRANSITIONS.get((state, event)) == EXPECTED[state].get(event)
