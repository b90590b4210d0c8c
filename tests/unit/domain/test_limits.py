from __future__ import annotations

from math import inf, nan

import pytest

from tunnel.domain.limits import GIB, KIB, MAX_FRAME_BYTES, MIB, Limits

RANGES = [
    ("max_frame_bytes", MAX_FRAME_BYTES, MAX_FRAME_BYTES),
    ("session_window_bytes", 8 * KIB, 16 * MIB),
    ("session_window_max_bytes", 8 * KIB, 16 * MIB),
    ("tunnel_receive_bytes", MIB, GIB),
    ("replay_window_bytes", 256 * KIB, 256 * MIB),
    ("max_grpc_message_bytes", KIB, GIB),
    ("max_websocket_message_bytes", KIB, GIB),
    ("max_header_bytes", KIB, MIB),
    ("max_headers", 1, 10_000),
    ("max_sessions", 1, 10**6),
    ("max_links", 1, 1000),
    ("heartbeat_s", 0.1, 300.0),
    ("resume_s", 0.0, 3600.0),
]


def announced(name: str, value: float) -> Limits:
    """Limits that differ from the default in ``name``, the two windows agreeing."""
    values: dict[str, float] = {name: value}
    if name == "session_window_bytes":
        values["session_window_max_bytes"] = 16 * MIB
    elif name == "session_window_max_bytes":
        values["session_window_bytes"] = 8 * KIB
    return Limits(**values)  # type: ignore[arg-type]  # each of its own type


def test_default_limits_are_in_order() -> None:
    assert Limits().problem() is None


@pytest.mark.rule("M1")
def test_every_limit_has_a_range() -> None:
    assert [name for name, _, _ in RANGES] == list(Limits.__struct_fields__)


@pytest.mark.rule("M2")
@pytest.mark.parametrize(("name", "least", "most"), RANGES)
def test_limits_at_both_ends_of_their_range_are_in_order(name: str, least: float, most: float) -> None:
    assert announced(name, least).problem() is None
    assert announced(name, most).problem() is None


@pytest.mark.rule("M2")
@pytest.mark.parametrize(("name", "least", "most"), RANGES)
def test_limit_out_of_its_range_is_named(name: str, least: float, most: float) -> None:
    step = 0.01 if isinstance(least, float) else 1
    for value in (least - step, most + step, -1, 2**64 - 1):
        problem = announced(name, value).problem()
        assert problem == f"{name} is {value}, and has to be from {least} to {most}"


@pytest.mark.parametrize("name", ["heartbeat_s", "resume_s"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_times_have_to_be_finite(name: str, value: float) -> None:
    problem = announced(name, value).problem()
    assert problem is not None
    assert problem.startswith(f"{name} is {value}")


@pytest.mark.rule("M2")
def test_windows_do_not_grow_to_less_than_they_start_with() -> None:
    assert Limits(session_window_bytes=64 * KIB, session_window_max_bytes=64 * KIB).problem() is None
    problem = Limits(session_window_bytes=64 * KIB, session_window_max_bytes=64 * KIB - 1).problem()
    assert problem == "session_window_max_bytes is 65535, less than session_window_bytes, 65536"


def test_first_problem_of_several_is_told() -> None:
    problem = Limits(session_window_bytes=0, max_sessions=0).problem()
    assert problem is not None
    assert problem.startswith("session_window_bytes is 0")


@pytest.mark.parametrize(("window", "chunk"), [(8 * KIB, 2 * KIB), (256 * KIB, 64 * KIB), (1024 * KIB, 64 * KIB)])
def test_envelope_costs_a_quarter_of_the_window_at_most(window: int, chunk: int) -> None:
    assert Limits(session_window_bytes=window).chunk_cost == chunk


def test_defaults_are_those_of_the_protocol_page() -> None:
    assert Limits() == Limits(
        max_frame_bytes=262_144,
        session_window_bytes=65_536,
        session_window_max_bytes=4_194_304,
        tunnel_receive_bytes=268_435_456,
        replay_window_bytes=8_388_608,
        max_grpc_message_bytes=67_108_864,
        max_websocket_message_bytes=16_777_216,
        max_header_bytes=65_536,
        max_headers=200,
        max_sessions=20_000,
        max_links=16,
        heartbeat_s=5.0,
        resume_s=30.0,
    )
