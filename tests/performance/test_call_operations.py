"""A guard against slow gRPC calls: what a unary call costs in operations, from ingress to upstream and back.

As `test_operations` has it for requests. The caller and the upstream are gRPC's own, in this process, and so are more
than half of the figures: nine of ten tasks, all of the garbage. Both ends are used to the method, whose calls and
answers have one message each: two frames a call, of which the second holds message and status.
"""

from pathlib import Path

import pytest
from operations_kit import Operations, call_operations
from test_operations import RECORDED_ON, differences, least

CALLS = 192

RECORDED = {
    1: Operations(tasks=10, timers=3, callbacks=51.2, frames=2, envelopes=3, sends=0, calls=2455, garbage=12),
    16: Operations(tasks=10, timers=3, callbacks=51.2, frames=1.9, envelopes=3, sends=0, calls=2100, garbage=12),
}
MEASUREMENTS = 10
"""At most: threads of gRPC's own may cut a burst into more frames than there need be."""


@pytest.mark.parametrize("callers", list(RECORDED))
def test_a_unary_call_costs_the_operations_that_were_recorded(callers: int, tmp_path: Path) -> None:
    recorded = RECORDED[callers]

    measured = call_operations(callers=callers, calls=CALLS, directory=tmp_path)
    for _ in range(MEASUREMENTS - 1):
        if not differences(measured, recorded)[0]:
            break
        measured = least(measured, call_operations(callers=callers, calls=CALLS, directory=tmp_path))

    line = f"    {callers}: Operations({measured}),"
    dearer, cheaper = differences(measured, recorded)
    assert not dearer, (
        f"a call became dearer than on {RECORDED_ON}: {'; '.join(dearer)}. Find out what does more work "
        f"(a task, a timer, a frame on each call); if it is worth it, say why in the commit and record:\n{line}"
    )
    assert not cheaper, (
        f"a call became cheaper than on {RECORDED_ON}, well done: {'; '.join(cheaper)}. Keep it by recording:\n{line}"
    )
