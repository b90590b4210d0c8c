"""What the caller of a gRPC method is told when something fails, and that nothing is left behind."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from fidelity_calls import SECRET, CallWire
from support.call_app import SeenCall, script
from support.call_observation import Observation, observe, outcome

from tunnel.domain.errors import ErrorCode

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED

STATUSES = {
    "bad_request": grpc.StatusCode.INVALID_ARGUMENT,
    "route_not_found": UNIMPLEMENTED,
    "no_client": UNAVAILABLE,
    "peer_lost": UNAVAILABLE,
    "upstream_unreachable": UNAVAILABLE,
    "upstream_timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "protocol_error": grpc.StatusCode.INTERNAL,
    "flow_control": grpc.StatusCode.INTERNAL,
    "superseded": UNAVAILABLE,
    "cancelled": grpc.StatusCode.CANCELLED,
    "internal": grpc.StatusCode.INTERNAL,
    "loop_detected": grpc.StatusCode.FAILED_PRECONDITION,
}


@pytest.fixture
def wire(call_wire: CallWire) -> CallWire:
    return call_wire


def check_failure(wire: CallWire, seen: Observation, code: str, *, messages: tuple[bytes, ...] = ()) -> None:
    """The caller hears of this failure, and nothing that is not its business."""
    assert (seen.code, seen.messages, seen.trailing) == (STATUSES[code], messages, (("tunnel-error", code),))
    assert seen.details
    for secret in ("127.0.0.1", "localhost", ".invalid", "10.0.0", "/failing", "Traceback", "web", SECRET):
        assert secret not in seen.details
    for port in wire.ports:
        assert str(port) not in seen.details


def over(wire: CallWire) -> SeenCall:
    """The application's last call, once that has ended: it is told over a connection of its own, the caller first."""
    seen = wire.app.calls[-1]
    wire.within(asyncio.wait_for(seen.ended.wait(), 10))
    return seen


def call(wire: CallWire, method: str, **more: object) -> Observation:
    return wire.within(observe(wire.tunnelled, method, b"m", **more))


@pytest.mark.fidelity("G-ROUTE-NOT-FOUND")
@pytest.mark.parametrize("method", ["/nobody.v1.Any/Unary", "/astray.v1.Any/Unary", "/no-service", "//Method"])
def test_no_rule_is_unimplemented(wire: CallWire, method: str) -> None:
    check_failure(wire, call(wire, method), "route_not_found")


@pytest.mark.fidelity("G-OTHER-PROTOCOL")
@pytest.mark.parametrize("service", ["requests", "socket"])
def test_call_that_is_led_to_a_web_server_is_unimplemented(wire: CallWire, service: str) -> None:
    check_failure(wire, call(wire, f"/{service}.v1.Any/Unary"), "route_not_found")


@pytest.mark.fidelity("G-NO-CLIENT")
def test_group_without_a_client_is_unavailable(wire: CallWire) -> None:
    check_failure(wire, call(wire, "/late.v1.Any/Unary"), "no_client")


@pytest.mark.fidelity("G-NO-CLIENT")
def test_call_that_its_only_client_refuses_is_unavailable(wire: CallWire) -> None:
    check_failure(wire, call(wire, "/failing.v1.Any/refused"), "no_client")


@pytest.mark.fidelity("G-OVERLOADED")
def test_too_many_waiting_is_resource_exhausted(wire: CallWire) -> None:
    async def work() -> Observation:
        waiting = wire.tunnelled.stream_stream("/crowd.v1.Any/Unary", None, None)(timeout=20)
        await waiting.done_writing()
        seen = await observe(wire.tunnelled, "/crowd.v1.Any/Unary", b"m")
        waiting.cancel()
        return seen

    check_failure(wire, wire.within(work()), "overloaded")


@pytest.mark.fidelity("G-UPSTREAM-UNREACHABLE")
@pytest.mark.parametrize("service", ["refused", "unresolved"])
def test_upstream_that_is_not_there_is_unavailable_and_others_go_on(wire: CallWire, service: str) -> None:
    async def work() -> Observation:
        other = wire.tunnelled.stream_stream("/test.v1.Any/Talk", None, None)(timeout=20)
        await other.write(b"1")
        assert await other.read() == b"1"
        seen = await observe(wire.tunnelled, f"/{service}.v1.Any/Unary", b"m")
        await other.write(b"2")
        assert await other.read() == b"2"
        await other.done_writing()
        assert await other.code() is grpc.StatusCode.OK
        return seen

    check_failure(wire, wire.within(work()), "upstream_unreachable")


@pytest.mark.fidelity("G-UPSTREAM-TIMEOUT")
def test_upstream_that_does_not_take_the_connection_is_deadline_exceeded(wire: CallWire) -> None:
    check_failure(wire, call(wire, "/silent.v1.Any/Unary"), "upstream_timeout")


@pytest.mark.fidelity("G-UPSTREAM-TIMEOUT")
def test_upstream_that_does_not_answer_in_time_is_deadline_exceeded(wire: CallWire) -> None:
    seen = call(wire, "/impatient.v1.Any/Unary", metadata=(script(["read-all"], ["hang"]),))
    check_failure(wire, seen, "upstream_timeout")
    assert over(wire).cancelled


@pytest.mark.fidelity("G-UPSTREAM-TIMEOUT")
def test_upstream_that_has_begun_to_answer_has_all_the_time_it_wants(wire: CallWire) -> None:
    async def work() -> None:
        made = wire.tunnelled.stream_stream("/impatient.v1.Any/Talk", None, None)(
            timeout=20, metadata=(script(["initial", []], ["read-all"], ["hang"]),)
        )
        await made.done_writing()
        await made.initial_metadata()
        done, _ = await asyncio.wait([asyncio.create_task(made.code())], timeout=0.4)
        assert not done
        made.cancel()

    wire.within(work())


@pytest.mark.fidelity("G-FORBIDDEN")
def test_target_that_the_client_may_not_dial_is_permission_denied(wire: CallWire) -> None:
    check_failure(wire, call(wire, "/forbidden.v1.Any/Unary"), "forbidden")


@pytest.mark.fidelity("G-CODES", "G-PRIVATE")
@pytest.mark.parametrize("code", STATUSES)
def test_every_code_has_its_status(wire: CallWire, code: str) -> None:
    assert {*STATUSES, "refused"} == {each.value for each in ErrorCode}
    check_failure(wire, call(wire, f"/failing.v1.Any/{code}"), code)


@pytest.mark.fidelity("G-BEGUN")
@pytest.mark.parametrize("code", ["upstream_unreachable", "internal"])
def test_answer_that_has_begun_ends_with_the_status_of_the_failure(wire: CallWire, code: str) -> None:
    seen = call(wire, f"/failing.v1.Any/{code}__begun")
    assert seen.initial == (("a", "1"),)
    check_failure(wire, seen, code, messages=(b"begun",))


# -- at every point of the exchange

POINTS = {
    "before anything was said": ([["hang"]], 0, False),
    "after initial metadata": ([["initial", []], ["hang"]], 0, False),
    "after a message": ([["read", 1], ["hang"]], 1, False),
    "amid answers": ([["read", 1], ["send", 5, 3], ["hang"]], 1, False),
    "after the request": ([["read-all"], ["hang"]], 2, True),
    "while the application sends": ([["read-all"], ["send", 1000, 1_000_000]], 1, True),
}


async def reached(wire: CallWire, service: str, point: str) -> grpc.aio.StreamStreamCall:
    """A call that has come to ``point``."""
    steps, messages, half_close = POINTS[point]
    made = wire.tunnelled.stream_stream(f"/{service}.v1.Any/Talk", None, None)(timeout=20, metadata=(script(*steps),))
    for _ in range(messages):
        await made.write(b"m")
    if half_close:
        await made.done_writing()
    seen = await wire.app.call()
    await seen.begun.wait()
    async with asyncio.timeout(10):
        while len(seen.messages) < messages or seen.half_closed < half_close:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    if "initial" in point:
        await made.initial_metadata()
    return made


@pytest.mark.fidelity("G-UPSTREAM-UNREACHABLE")
@pytest.mark.parametrize("point", POINTS)
def test_application_that_is_lost_is_unavailable_at_every_point(wire: CallWire, point: str) -> None:
    async def work() -> Observation:
        made = await reached(wire, "severed", point)
        wire.relay.sever()
        async with asyncio.timeout(5):
            return await outcome(made)

    seen = wire.within(work())
    check_failure(wire, seen, "upstream_unreachable", messages=seen.messages)
    # The next call has another connection.
    assert call(wire, "/severed.v1.Any/Unary").messages == (b"m",)


@pytest.mark.fidelity("G-PEER-LOST")
@pytest.mark.parametrize("point", POINTS)
def test_client_that_is_lost_is_unavailable_at_every_point(wire: CallWire, point: str) -> None:
    with wire.frail_client() as lose:
        made = wire.within(reached(wire, "frail", point))
        lose()

        async def rest() -> Observation:
            async with asyncio.timeout(5):
                return await outcome(made)

        seen = wire.within(rest())
        over(wire)
    check_failure(wire, seen, "peer_lost", messages=seen.messages)


@pytest.mark.fidelity("G-BEGUN")
def test_stalled_caller_is_told_of_a_failure_after_what_came_before(wire: CallWire) -> None:
    async def work() -> Observation:
        made = wire.tunnelled.stream_stream("/severed.v1.Any/Watch", None, None)(
            timeout=20, metadata=(script(["send", 60_000, 1000]),)
        )
        await made.done_writing()
        await made.initial_metadata()
        for _ in range(20):
            await observe(wire.tunnelled, "/test.v1.Any/Unary", b"m")
        wire.relay.sever()
        return await outcome(made)

    seen = wire.within(work())
    assert seen.messages
    check_failure(wire, seen, "upstream_unreachable", messages=seen.messages)
