"""The names of gRPC calls, and the trace that they belong to, at both ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import pytest
from fidelity_calls import CallWire
from support.call_app import script
from support.call_observation import Observation, observe

NAME = "x-request-id"
CREATED = re.compile("[0-9a-f]{16}-[0-9a-f]+")
UNARY = "/test.v1.Any/Unary"


@pytest.fixture
def wire(call_wire: CallWire) -> CallWire:
    return call_wire


@pytest.fixture
def keeping(wire: CallWire) -> Iterator[None]:
    with wire.naming("keep"):
        yield


def made(wire: CallWire, *metadata: tuple[str, str | bytes], method: str = UNARY) -> Observation:
    return wire.within(observe(wire.tunnelled, method, b"m", metadata=metadata))


def names(pairs: tuple[tuple[str, str | bytes], ...]) -> list[str | bytes]:
    return [value for key, value in pairs if key == NAME]


@pytest.mark.fidelity("G-REQUEST-ID")
def test_call_without_a_name_is_given_one_that_both_ends_are_told(wire: CallWire, keeping: None) -> None:
    told = []
    for _ in range(2):
        call = made(wire)
        (name,) = names(wire.app.calls[-1].metadata)
        assert (names(call.initial), names(call.trailing)) == ([], [name])
        told.append(str(name))
    assert all(map(CREATED.fullmatch, told))
    assert told[0] != told[1]


@pytest.mark.fidelity("G-REQUEST-ID")
@pytest.mark.parametrize("name", ["a", "f" * 128, "!#$%&'*+-.^_`|~09Az"])
def test_well_formed_name_of_the_caller_is_kept(wire: CallWire, keeping: None, name: str) -> None:
    call = made(wire, (NAME, name))
    assert names(wire.app.calls[-1].metadata) == names(call.trailing) == [name]


@pytest.mark.fidelity("G-REQUEST-ID")
@pytest.mark.parametrize("given", [["f" * 129], ["two words"], ["a", "b"], [""]])
def test_any_other_name_is_replaced(wire: CallWire, keeping: None, given: list[str]) -> None:
    call = made(wire, *((NAME, each) for each in given))
    (name,) = names(wire.app.calls[-1].metadata)
    assert CREATED.fullmatch(str(name))
    assert names(call.trailing) == [name]


@pytest.mark.fidelity("G-REQUEST-ID")
def test_other_name_in_the_answer_is_taken_out(wire: CallWire, keeping: None) -> None:
    theirs = [[NAME, "theirs"], ["x-other", "1"]]
    steps = script(["initial", theirs], ["trailing", theirs], ["status", 5, "no"])
    call = made(wire, (NAME, "ours"), steps)
    assert call.initial == (("x-other", "1"),)
    assert call.trailing == (("x-other", "1"), (NAME, "ours"))
    assert (call.code, call.details) == (grpc.StatusCode.NOT_FOUND, "no")


@pytest.mark.fidelity("G-REQUEST-ID")
@pytest.mark.parametrize("method", ["/nobody.v1.Any/Unary", "/refused.v1.Any/Unary", "/failing.v1.Any/internal"])
def test_failure_of_the_tunnels_own_tells_the_name_too(wire: CallWire, keeping: None, method: str) -> None:
    call = made(wire, (NAME, "mine"), method=method)
    assert names(call.trailing) == ["mine"]
    assert "tunnel-error" in dict(call.trailing)


@pytest.mark.fidelity("G-REQUEST-ID-REPLACED")
def test_name_of_a_caller_is_replaced_where_nobody_is_trusted(wire: CallWire) -> None:
    with wire.naming("replace"):
        call = made(wire, (NAME, "theirs"))
    (name,) = names(wire.app.calls[-1].metadata)
    assert CREATED.fullmatch(str(name))
    assert names(call.trailing) == [name]


@pytest.mark.fidelity("G-REQUEST-ID-OFF")
def test_name_is_metadata_like_any_other_where_that_is_configured(wire: CallWire) -> None:
    steps = script(["initial", [[NAME, "first"]]], ["trailing", [[NAME, "last"], [NAME, "least"]]])
    call = made(wire, (NAME, "one"), (NAME, "two words"), steps)
    assert names(wire.app.calls[-1].metadata) == ["one", "two words"]
    assert (names(call.initial), names(call.trailing)) == (["first"], ["last", "least"])
    made(wire)
    assert names(wire.app.calls[-1].metadata) == []


@pytest.mark.fidelity("G-TRACE")
def test_trace_passes_unchanged(wire: CallWire, keeping: None) -> None:
    trace = (
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("baggage", "userId=alice,serverNode=DF%2028"),
    )
    made(wire, *trace)
    heard = dict(wire.app.calls[-1].metadata)
    assert {key: heard.get(key) for key, _ in trace} == dict(trace)
