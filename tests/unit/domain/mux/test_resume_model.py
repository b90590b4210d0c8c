"""Two honest ends whose links are cut at every step: every byte once and in order, or an end that both learn of."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from resume_moves import MOVES, Move, any_world

# How many there are, and how many of them make up one test.
SCHEDULES, PART = (20_000, 1_000) if os.environ.get("TUNNEL_FULL") == "1" else (300, 300)

FAULTS = {
    # Where the handshake breaks off.
    "register lost": 10,
    "register arrives on a broken link": 20,
    "response lost": 15,
    "response arrives, frames lost": 4,
    "lost while it was answered": 5,
    "overtaken while it was answered": 20,
    "answer came too late": 20,
    "waited for an answer in vain": 50,
    # Where the replay does.
    "lost before anything was sent again": 10,
    "lost amid replay": 8,
    "replay held back by the pacing": 1,
    "received said more than was acknowledged": 30,
    "frames towards the client lost": 15,
    "frames towards the server lost": 15,
    # Who knows of the loss.
    "client noticed first": 50,
    "server noticed first": 20,
    "client talked into a link that was gone": 50,
    "server talked into a link that was gone": 50,
    "fenced": 50,
    "link dead by its heartbeat at the client": 5,
    "link dead by its heartbeat at the server": 5,
    # What comes late, or from somebody else.
    "late frame at the client": 30,
    "late frame at the server": 30,
    "late frame at the client, not received before": 8,
    "late frame at the server, not received before": 8,
    "stale attempt": 20,
    "impostor: token": 10,
    "impostor: principal": 10,
    "impostor: client": 10,
    "impostor: group": 10,
    "impostor: instance": 10,
    # How links differ, and how full they are.
    "codec changed": 50,
    "lost with a window exhausted": 20,
    "lost with a full replay window": 2,
    "replay window full": 5,
    # What goes on without a link.
    "sent while detached": 100,
    "received while detached": 3,
    "reset while detached": 8,
    "withdraw while detached": 8,
    "stop while detached": 8,
    "finish while detached": 8,
    # How it ends, or begins to.
    "go_away while attached": 5,
    "go_away while detached": 5,
    "go_away when the other has lost the link": 1,
    "attached while draining": 10,
    "close at the client": 1,
    "close at the client while detached": 1,
    "close at the server": 1,
    "close at the server while detached": 1,
    "closed": 1,
    "expired at the client alone": 5,
    "expired at the server alone": 1,
    "not resumed": 20,
    "resuming is off": 5,
    "links in a row ended before anything was acknowledged": 10,
}
"""What the schedules have to come upon, and how often at least; where it can be, while conversations are under way."""


def run_schedule(seed: int) -> Counter[str]:
    """One schedule, the same for the same seed; how often each thing happened."""
    chance = random.Random(seed)
    world = any_world(chance.choice)
    moves = list(MOVES)
    # Each schedule does some things often and others hardly ever.
    weights = [MOVES[move] * chance.choice((0.3, 1, 1, 3)) for move in moves]
    for move in chance.choices(moves, weights, k=chance.choice((60, 200, 400))):
        move(world, chance.choice)
        world.check()
    world.settle()
    world.finish()
    return world.seen


@pytest.mark.rule("F1", "F4", "F16", "S20", "R5", "R6", "R7", "R9", "R11", "R14", "T4", "T6", "T7")
@pytest.mark.parametrize("first", range(0, SCHEDULES, PART))
def test_schedules_of_losses(first: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first, first + PART):
        try:
            seen += run_schedule(seed)
        except BaseException as exc:
            exc.add_note(f"run_schedule({seed})")
            raise
    for event, times in sorted(seen.items()):
        print(f"{times:8} {event}")
    assert {event: seen[event] for event, least in FAULTS.items() if seen[event] < least} == {}


class Losses(RuleBasedStateMachine):
    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.world = any_world(lambda options: data.draw(st.sampled_from(options)))

    @rule(move=st.sampled_from(list(MOVES)), data=st.data())
    def move(self, move: Move, data: st.DataObject) -> None:
        move(self.world, lambda options: data.draw(st.sampled_from(options)))

    @invariant()
    def all_is_as_it_must(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.world.finish()


Losses.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestLosses = pytest.mark.rule("F1", "F4", "F16", "S20", "R5", "R6", "R7", "R9", "R11", "R14", "T4", "T6", "T7")(
    Losses.TestCase
)
