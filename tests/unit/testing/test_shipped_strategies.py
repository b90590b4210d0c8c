"""What the shipped strategies draw is valid, and not all the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from tunnel.domain.configuration import (
    ClientSettings,
    ServerSettings,
    decode_client_settings,
    decode_server_settings,
)
from tunnel.domain.envelopes import Frame, GrpcFrame, HttpRequest, Opening, TcpOpen
from tunnel.domain.messagepack import decode_frame, encode_frame
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule
from tunnel.domain.rules.validation import validate_rule
from tunnel.testing import strategies
from tunnel.testing.faults import Cut, Delay, FaultSchedule, HalfOpen, Heal, Reorder, Throttle

FEWER = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
SEARCH = settings(max_examples=2_000, derandomize=True, database=None, phases=[Phase.generate])


@given(strategies.frames())
def test_frames_are_encoded_and_read_back(frame: Frame):
    assert decode_frame(encode_frame(frame)) == frame


@given(strategies.rules(group="web"))
def test_rules_are_valid(rule: Rule):
    validate_rule(rule, "rules[0]")
    assert rule.group == "web"


@given(strategies.routed_requests(), strategies.group_rules(["app"]))
def test_rules_are_asked_about_requests_without_an_error(head: HttpRequest, rules: tuple[Rule, ...]):
    chosen = RulesEngine(rules).match(head)

    assert chosen is None or chosen.upstream == "app"


@pytest.mark.parametrize(
    "key", ["host", "path", "path_prefix", "path_regex", "methods", "headers", "query", "service", "method", "protocol"]
)
def test_rules_and_requests_meet_on_every_predicate(key: str):
    def meet(drawn: tuple[HttpRequest, Rule]) -> bool:
        head, rule = drawn
        return bool(getattr(rule, key)) and RulesEngine([rule]).match(head) is not None

    find(st.tuples(strategies.routed_requests(), strategies.rules()), meet, settings=SEARCH)


@pytest.mark.parametrize("kind", [HttpRequest, GrpcFrame, TcpOpen])
def test_openings_are_of_every_protocol(kind: type[Opening]):
    find(strategies.openings(), lambda head: isinstance(head, kind), settings=SEARCH)


def _as_in_a_file(made: object) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(made))


@FEWER
@given(strategies.server_settings())
def test_server_settings_are_those_of_some_file(made: ServerSettings):
    assert decode_server_settings(_as_in_a_file(made)) == made


@FEWER
@given(strategies.client_settings())
def test_client_settings_are_those_of_some_file(made: ClientSettings):
    assert made.token is not None
    table = _as_in_a_file(msgspec.structs.replace(made, token=None, token_env="TOKEN"))
    table.update(token=made.token.reveal(), token_env=None)

    assert decode_client_settings(table) == made


@given(strategies.fault_schedules(lasts_s=30))
def test_schedules_end_healed_and_in_time(schedule: FaultSchedule):
    assert schedule.faults[-1].fault == Heal()
    assert schedule.lasts_s == 30
    assert all(0 <= each.at_s <= 30 for each in schedule.faults)


@given(strategies.fault_schedules(reordering=False, healed=False))
def test_schedules_are_without_what_was_not_asked_for(schedule: FaultSchedule):
    assert not any(isinstance(each.fault, Reorder) for each in schedule.faults)


@pytest.mark.parametrize("kind", [Cut, Delay, HalfOpen, Heal, Reorder, Throttle])
def test_faults_are_of_every_kind(kind: type):
    find(strategies.faults(), lambda fault: isinstance(fault, kind), settings=SEARCH)


@given(strategies.fault_schedules())
def test_schedules_are_written_down_and_read_back(schedule: FaultSchedule):
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=FaultSchedule) == schedule
