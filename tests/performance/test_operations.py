"""A guard against slow requests that holds on noisy machines: it counts operations, and looks at no clock.

`RECORDED` says what a small GET costs from ingress to upstream and back. A change that makes it dearer by more than
`WORSE` fails; so does one that makes it cheaper by more than `BETTER`, since the old figure would guard nothing then.
In both cases the failure shows the new figures as a line to paste; what makes a request dearer also needs a reason, in
the commit. What the operations are, `Operations` tells. They repeat to the last digit, but over gRPC, whose core has
threads of its own: on a busy machine these cut bursts into more frames than there need be, and never into fewer. So the
least of several measurements counts there, of as many as it takes to see that a request has not become dearer.
"""

import sys
from dataclasses import fields
from pathlib import Path

import pytest
from operations_kit import Operations, operations

REQUESTS = 200

RECORDED_ON = "2026-11-22"
RECORDED_PYTHON = (3, 11)
RECORDED = {
    ("memory", 1): Operations(
        tasks=0, timers=0.01, callbacks=8.03, frames=2, envelopes=2, sends=4, calls=1083.23, garbage=0
    ),
    ("memory", 50): Operations(
        tasks=0, timers=0.01, callbacks=4.33, frames=0.04, envelopes=2, sends=4, calls=615.97, garbage=0
    ),
    ("websocket", 1): Operations(
        tasks=0, timers=0.03, callbacks=8.04, frames=2, envelopes=2, sends=6, calls=1235.36, garbage=0
    ),
    ("websocket", 50): Operations(
        tasks=0, timers=0.01, callbacks=4.33, frames=0.04, envelopes=2, sends=4.04, calls=625.53, garbage=0
    ),
    ("grpc", 1): Operations(
        tasks=0, timers=0.04, callbacks=18.04, frames=2, envelopes=2, sends=4, calls=1407.45, garbage=0
    ),
    ("grpc", 50): Operations(
        tasks=0, timers=0.01, callbacks=4.54, frames=0.04, envelopes=2, sends=4, calls=647.34, garbage=0
    ),
}

WORSE = 0.12
BETTER = 0.25
SLACK = 0.25
"""Operations a request by which a figure may miss in any case: for those that are nearly 0."""

MEASUREMENTS = {"memory": 1, "websocket": 1, "grpc": 10}
"""At most."""

OF_ONE_PYTHON = {"calls", "garbage"}
"""Each version of Python inlines and allocates in its own way."""


def compared() -> list[str]:
    names = [field.name for field in fields(Operations)]
    return [name for name in names if name not in OF_ONE_PYTHON or sys.version_info[:2] == RECORDED_PYTHON]


def differences(measured: Operations, recorded: Operations) -> tuple[list[str], list[str]]:
    """What became dearer and what became cheaper, as phrases."""
    dearer, cheaper = [], []
    for name in compared():
        now, then = getattr(measured, name), getattr(recorded, name)
        if now > then * (1 + WORSE) + SLACK:
            dearer.append(f"{name} {then:g} -> {now:.2f}")
        elif now < then * (1 - BETTER) - SLACK:
            cheaper.append(f"{name} {then:g} -> {now:.2f}")
    return dearer, cheaper


def least(one: Operations, other: Operations) -> Operations:
    return Operations(**{each.name: min(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)})


@pytest.mark.parametrize(("transport", "connections"), list(RECORDED))
def test_a_request_costs_the_operations_that_were_recorded(transport: str, connections: int, tmp_path: Path) -> None:
    recorded = RECORDED[transport, connections]

    measured = recorded
    for number in range(MEASUREMENTS[transport]):
        again = operations(transport, connections=connections, requests=REQUESTS, directory=tmp_path)
        measured = again if number == 0 else least(measured, again)
        if not differences(measured, recorded)[0]:
            break

    line = f'    ("{transport}", {connections}): Operations({measured}),'
    dearer, cheaper = differences(measured, recorded)
    assert not dearer, (
        f"a request became dearer than on {RECORDED_ON}: {'; '.join(dearer)}. Find out what does more work "
        f"(a task, a timer, a call on each request); if it is worth it, say why in the commit and record:\n{line}"
    )
    assert not cheaper, (
        f"a request became cheaper than on {RECORDED_ON}, well done: {'; '.join(cheaper)}. "
        f"Keep it by recording:\n{line}"
    )


@pytest.mark.parametrize(
    ("change", "dearer", "cheaper"),
    [({}, [], []), ({"tasks": 2.0}, ["tasks 1 -> 2.00"], []), ({"frames": 0.04}, [], ["frames 2 -> 0.04"])],
)
def test_only_marked_changes_are_reported(change: dict[str, float], dearer: list[str], cheaper: list[str]) -> None:
    recorded = {"tasks": 1, "timers": 1, "callbacks": 9, "frames": 2, "envelopes": 2, "sends": 4, "calls": 1000}
    costs = Operations(**recorded, garbage=40)
    slightly_more = {name: value * 1.1 for name, value in recorded.items()} | change

    assert differences(Operations(**slightly_more, garbage=40), costs) == (dearer, cheaper)
