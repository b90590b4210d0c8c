"""A watch over some members against a model that remembers everything and works out the rest each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from health_kit import Member
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from tunnel.domain.configuration import EjectionSettings
from tunnel.domain.health import HealthState, HealthWatch, Permit

NAMES = ("a", "b", "c")
EJECTION = EjectionSettings(after_failures=2, base_s=10, max_s=35, slow_return_s=8, max_ejected_percent=50)


@dataclass(eq=False)
class Session:
    name: str
    permit: Permit
    term: int
    """Ejections of its member before it began."""
    probe: int | None
    """Number of the probe it is, of those of its member."""


@dataclass
class Life:
    """What happened to one member."""

    ejected_at: list[float] = field(default_factory=list)
    row: int = 0
    back_at: float | None = None
    """When it was brought back after the last ejection."""
    probes: int = 0
    probe_until: float | None = None
    """Until when the last probe keeps others out; None: it is over, or there was none."""
    forgotten: int = 0
    """Ejections that do not count any more."""

    def settle(self, now: float) -> None:
        if self.back_at is not None and now >= self.back_at + EJECTION.slow_return_s:
            self.forgotten = len(self.ejected_at)
            self.back_at = None

    @property
    def out(self) -> bool:
        return len(self.ejected_at) > self.forgotten and self.back_at is None

    @property
    def over_at(self) -> float:
        in_a_row = len(self.ejected_at) - self.forgotten
        return self.ejected_at[-1] + min(EJECTION.max_s, EJECTION.base_s * 2 ** (in_a_row - 1))

    def due(self, now: float) -> bool:
        return now >= self.over_at and (self.probe_until is None or now >= self.probe_until)


class HealthMachine(RuleBasedStateMachine):
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.watch: HealthWatch[Member] = HealthWatch()
        self.members = {name: Member(name) for name in NAMES}
        self.lives = {name: Life() for name in NAMES}
        self.present = tuple(self.members.values())

    def life(self, name: str) -> Life:
        self.lives[name].settle(self.now)
        return self.lives[name]

    def counts(self, session: Session) -> bool:
        life = self.life(session.name)
        if session.term != len(life.ejected_at):
            return False
        return session.probe is None or (session.probe == life.probes and life.probe_until is not None)

    def brought_back(self, life: Life) -> None:
        life.back_at = self.now
        life.probe_until = None
        life.row = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 10.0, 20.0, 35.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(present=st.sets(st.sampled_from(NAMES), min_size=1))
    def come_and_go(self, present: set[str]) -> None:
        self.present = tuple(self.members[name] for name in NAMES if name in present)

    @rule(target=sessions, name=st.sampled_from(NAMES))
    def begin(self, name: str) -> Session:
        member, life = self.members[name], self.life(name)
        member.health.settle(self.now)
        probe = None
        if life.out and life.due(self.now):
            life.probes += 1
            life.probe_until = self.now + EJECTION.base_s
            probe = life.probes
        permit = member.health.admit(self.now)
        assert (permit is not member.health.permit) == (probe is not None)
        return Session(name, permit, len(life.ejected_at), probe)

    @rule(session=consumes(sessions), again=st.booleans())
    def succeed(self, session: Session, again: bool) -> None:
        counts, life = self.counts(session), self.life(session.name)
        back = counts and life.out
        assert self.watch.succeeded(self.members[session.name], session.permit, self.now) == back
        if back:
            self.brought_back(life)
        elif counts:
            life.row = 0
        if again and session.probe is not None:
            assert not self.watch.succeeded(self.members[session.name], session.permit, self.now)

    @rule(session=consumes(sessions))
    def fail(self, session: Session) -> None:
        member, counts, life = self.members[session.name], self.counts(session), self.life(session.name)
        probing = life.probe_until is not None
        others = [each for each in self.present if each is not member]
        out = sum(self.life(each.name).out for each in others)
        life.row += counts
        may = (out + 1) * 100 <= EJECTION.max_ejected_percent * (len(others) + 1)
        ejects = counts and (probing if life.out else life.row >= EJECTION.after_failures and may)
        member.health.settle(self.now)
        assert ejects == self.watch.failed(member, session.permit, self.now, settings=EJECTION, candidates=self.present)
        if ejects:
            life.ejected_at.append(self.now)
            life.back_at = life.probe_until = None
            life.row = 0

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 3))
    def fail_in_a_row(self, name: str, count: int) -> None:
        for _ in range(count):
            self.fail(self.begin(name))

    @rule(name=st.sampled_from(NAMES))
    def come_back(self, name: str) -> None:
        self.wait(EJECTION.max_s)
        self.succeed(self.begin(name), again=True)

    @rule(name=st.sampled_from(NAMES))
    def fail_whenever_tried(self, name: str) -> None:
        for _ in range(3):
            life = self.life(name)
            if life.out:
                self.now = max(self.now, life.over_at)
            self.fail(self.begin(name))

    @rule(session=consumes(sessions))
    def end_without_a_verdict(self, session: Session) -> None:
        if session.probe is not None and self.counts(session):
            self.life(session.name).probe_until = None
        self.watch.undecided(self.members[session.name], session.permit, self.now)

    @rule(name=st.sampled_from(NAMES))
    def give_up_and_try_again(self, name: str) -> None:
        self.end_without_a_verdict(self.begin(name))
        self.end_without_a_verdict(self.begin(name))

    @rule(seed=st.integers(0, 99))
    def choose(self, seed: int) -> None:
        chosen = self.watch.eligible(self.present, self.now, Random(seed))
        assert chosen
        assert [each for each in self.present if each in chosen] == list(chosen)
        lives = {each: self.life(each.name) for each in self.present}
        well = [each for each, life in lives.items() if not life.out and life.back_at is None]
        returning = [each for each, life in lives.items() if life.back_at is not None]
        due = [each for each, life in lives.items() if life.out and life.due(self.now)]
        if not (well or returning or due):
            assert chosen is self.present
            return
        assert set(well + due) <= set(chosen) <= set(well + due + returning)
        if not well:
            assert set(returning) <= set(chosen)
        if len(well) == len(self.present):
            assert chosen is self.present
            assert self.watch.sound is chosen

    @invariant()
    def states_are_the_models(self) -> None:
        for name, member in self.members.items():
            life = self.life(name)
            member.health.settle(self.now)
            if life.out:
                expected = HealthState.EJECTED if life.probe_until is None else HealthState.PROBING
            else:
                expected = HealthState.HEALTHY if life.back_at is None else HealthState.RETURNING
            assert member.health.state is expected
            assert member.health.troubled == (expected is not HealthState.HEALTHY or life.row > 0)


HealthMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestHealthAgainstModel = HealthMachine.TestCase
