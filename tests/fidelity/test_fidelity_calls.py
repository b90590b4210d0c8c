"""gRPC calls through a tunnel are the calls that they would be without one."""

from __future__ import annotations

import asyncio
import time

import grpc
import grpc.aio
import pytest
from fidelity_calls import HOST, LARGE_BYTES, SMALL_BYTES, CallWire
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from support.call_app import script
from support.call_observation import ADDED, Observation, by_key, observe, outcome

OK = grpc.StatusCode.OK
LIBRARYS = ("user-agent",)


@pytest.fixture
def wire(call_wire: CallWire) -> CallWire:
    return call_wire


def same(wire: CallWire, method: str, *messages: bytes, **more: object) -> Observation:
    """Make a call directly and through the tunnel: caller and application see the same. What the caller saw."""
    direct, tunnelled = wire.both(lambda channel: observe(channel, method, *messages, **more))
    assert tunnelled == direct
    one, other = wire.app.calls[-2:]
    assert other.method == one.method
    assert other.messages == one.messages
    assert other.half_closed == one.half_closed
    assert by_key(other.metadata, without=(*ADDED, *LIBRARYS)) == by_key(one.metadata, without=LIBRARYS)
    return tunnelled


# -- the four kinds


@pytest.mark.fidelity("G-UNARY", "G-BYTES")
@pytest.mark.parametrize("message", [b"", b"\x00\xff not protobuf", b"m" * 200_000])
def test_unary_call(wire: CallWire, message: bytes) -> None:
    async def call(channel: grpc.aio.Channel) -> bytes:
        return await channel.unary_unary("/test.v1.Any/Unary", None, None)(message, timeout=10)

    assert wire.both(call) == (message, message)
    assert same(wire, "/test.v1.Any/Unary", message).messages == (message,)


@pytest.mark.fidelity("G-CLIENT-STREAM")
def test_client_streaming_call(wire: CallWire) -> None:
    async def call(channel: grpc.aio.Channel) -> bytes:
        made = channel.stream_unary("/test.v1.Any/Upload", None, None)(
            iter([b"a", b"", b"b" * 100_000]), timeout=10, metadata=(script(["read-all"], ["send", 3, 1]),)
        )
        return await made

    assert wire.both(call) == (b"aaa", b"aaa")
    assert wire.app.calls[0].messages == wire.app.calls[1].messages == [b"a", b"", b"b" * 100_000]


@pytest.mark.fidelity("G-SERVER-STREAM")
def test_server_streaming_call(wire: CallWire) -> None:
    async def call(channel: grpc.aio.Channel) -> list[bytes]:
        made = channel.unary_stream("/test.v1.Any/Watch", None, None)(
            b"go", timeout=10, metadata=(script(["read", 1], ["send", 1000, 300], ["send", 0, 1]),)
        )
        return [message async for message in made]

    direct, tunnelled = wire.both(call)
    assert tunnelled == direct == [b"a" * 1000] * 300 + [b""]


@pytest.mark.fidelity("G-BIDI")
def test_each_side_of_a_bidirectional_call_answers_the_other(wire: CallWire) -> None:
    async def call(channel: grpc.aio.Channel) -> list[bytes]:
        made = channel.stream_stream("/test.v1.Any/Talk", None, None)(timeout=10)
        answers = []
        for number in range(20):
            await made.write(b"%d" % number)
            answers.append(await made.read())
        await made.done_writing()
        assert await made.read() is grpc.aio.EOF
        return answers

    direct, tunnelled = wire.both(call)
    assert tunnelled == direct == [b"%d" % number for number in range(20)]


@pytest.mark.fidelity("G-BIDI")
def test_application_may_speak_first(wire: CallWire) -> None:
    async def call(channel: grpc.aio.Channel) -> Observation:
        made = channel.stream_stream("/test.v1.Any/Talk", None, None)(
            timeout=10, metadata=(script(["send", 2, 1], ["echo"]),)
        )
        assert await anext(aiter(made)) == b"aa"
        await made.write(b"then I")
        await made.done_writing()
        return await outcome(made)

    direct, tunnelled = wire.both(call)
    assert tunnelled == direct
    assert tunnelled.messages == (b"then I",)


# -- metadata


@pytest.mark.fidelity("G-METADATA")
def test_metadata_of_the_caller_reaches_the_application(wire: CallWire) -> None:
    metadata = (
        ("x-one", "1"),
        ("x-many", "first"),
        ("x-many-bin", b"\x00\xff\xfe"),
        ("x-many", "second, with commas"),
        ("x-many-bin", b""),
        ("x-many", ""),
        ("authorization", "Bearer of news"),
        ("grpc-trace-bin", b"\x01\x02"),
    )
    same(wire, "/test.v1.Any/Unary", b"m", metadata=metadata)
    seen = by_key(wire.app.calls[-1].metadata)
    assert [value for key, value in seen if key == "x-many"] == ["first", "second, with commas", ""]
    assert [value for key, value in seen if key == "x-many-bin"] == [b"\x00\xff\xfe", b""]


@pytest.mark.fidelity("G-FORWARDED")
def test_application_learns_who_calls_and_is_not_lied_to(wire: CallWire) -> None:
    lies = (("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1"))
    wire.within(observe(wire.tunnelled, "/test.v1.Any/Unary", b"m", metadata=lies))
    seen = wire.app.calls[-1].metadata
    assert [value for key, value in seen if "forwarded" in key] == ["127.0.0.1"]


@pytest.mark.fidelity("G-INITIAL")
@pytest.mark.parametrize("pairs", [[], [["x-a", "1"], ["x-b-bin", "\xff\x00"], ["x-a", "2"]]])
def test_initial_metadata_comes_before_any_message(wire: CallWire, pairs: list[list[str]]) -> None:
    async def call(channel: grpc.aio.Channel) -> tuple[object, Observation]:
        made = channel.stream_stream("/test.v1.Any/Talk", None, None)(
            timeout=10, metadata=(script(["initial", pairs], ["echo"]),)
        )
        first = by_key(await made.initial_metadata())  # nothing was said yet, and nothing is
        await made.done_writing()
        return first, await outcome(made)

    direct, tunnelled = wire.both(call)
    assert tunnelled == direct
    assert len(tunnelled[0]) == len(pairs)


@pytest.mark.fidelity("G-TRAILING")
@pytest.mark.parametrize("number", [0, 5])
def test_trailing_metadata_comes_with_the_status(wire: CallWire, number: int) -> None:
    pairs = [["x-a", "1"], ["x-b-bin", "\xff\x00"], ["x-a", "2"]]
    seen = same(
        wire, "/test.v1.Any/Unary", b"m", metadata=(script(["echo"], ["trailing", pairs], ["status", number, "t"]),)
    )
    assert seen.trailing == (("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\xff\x00"))


# -- statuses


@pytest.mark.fidelity("G-STATUS")
@pytest.mark.parametrize("code", grpc.StatusCode, ids=lambda code: code.name)
@pytest.mark.parametrize("begun", [False, True], ids=["at once", "after a message"])
def test_every_status_comes_with_its_message(wire: CallWire, code: grpc.StatusCode, begun: bool) -> None:
    steps = [["read-all"], *([["send", 3, 1]] if begun else []), ["status", code.value[0], "why: 100% „so“\n"]]
    seen = same(wire, "/test.v1.Any/Unary", b"m", metadata=(script(*steps),))
    assert (seen.code, seen.messages) == (code, (b"aaa",) if begun else ())


@pytest.mark.fidelity("G-DETAILS")
def test_details_of_a_status_come_as_they_are(wire: CallWire) -> None:
    details = "\x08\x05\x12\x03why\x1a\x00\xff"
    pairs = [["grpc-status-details-bin", details]]
    seen = same(wire, "/test.v1.Any/Unary", b"m", metadata=(script(["trailing", pairs], ["status", 5, "why"]),))
    assert seen.trailing == (("grpc-status-details-bin", details.encode("latin-1")),)


@pytest.mark.fidelity("G-STATUS")
def test_method_that_the_application_does_not_have(wire: CallWire) -> None:
    direct, tunnelled = wire.both(lambda channel: observe(channel, "/test.unknown.Service/Method", b"m"))
    assert tunnelled == direct
    assert tunnelled.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.fidelity("G-EARLY")
@pytest.mark.parametrize("number", [0, 7])
def test_application_may_answer_before_the_caller_has_finished(wire: CallWire, number: int) -> None:
    seen = same(
        wire,
        "/test.v1.Any/Upload",
        b"first",
        metadata=(script(["read", 1], ["send", 2, 1], ["status", number, "enough"]),),
        half_close=False,
    )
    assert (seen.code.value[0], seen.messages) == (number, (b"aa",))


@pytest.mark.fidelity("G-EARLY")
def test_status_is_kept_while_the_caller_goes_on_sending(wire: CallWire) -> None:
    # Not by grpc.aio: as a caller it loses such a status by itself, now and then.
    def call() -> tuple[grpc.StatusCode, str | None]:
        with grpc.insecure_channel(wire.server.addresses["ingress.grpc"]) as channel:
            made = channel.stream_unary("/test.v1.Any/Upload", None, None)
            answer = made.future(
                iter([b"m" * 50_000] * 40), timeout=20, metadata=(script(["read", 2], ["status", 7, "not you"]),)
            )
            return answer.code(), answer.details()

    for _ in range(10):
        assert call() == (grpc.StatusCode.PERMISSION_DENIED, "not you")


# -- deadlines and cancellation


@pytest.mark.fidelity("G-DEADLINE")
def test_deadline_arrives_as_what_is_left_of_it(wire: CallWire) -> None:
    wire.within(observe(wire.tunnelled, "/test.v1.Any/Unary", b"m", timeout_s=50))
    wire.within(observe(wire.tunnelled, "/test.v1.Any/Unary", b"m", timeout_s=None))
    first, second = wire.app.calls
    assert first.timeout_s is not None
    assert 40 < first.timeout_s < 50.2  # gRPC writes it with three digits, rounded up
    assert second.timeout_s is None


@pytest.mark.fidelity("G-DEADLINE")
def test_time_that_a_call_waits_for_a_client_is_not_given_to_the_application(wire: CallWire) -> None:
    async def begin() -> asyncio.Task[Observation]:
        return asyncio.create_task(observe(wire.tunnelled, "/frail.v1.Any/Unary", b"m", timeout_s=50))

    calling = wire.within(begin())
    wire.within(asyncio.sleep(0.4))
    with wire.frail_client():
        assert wire.within(_result(calling)).code is OK
    (seen,) = wire.app.calls
    assert seen.timeout_s is not None
    assert 40 < seen.timeout_s < 49.75


async def _result(task: asyncio.Task[Observation]) -> Observation:
    return await task


@pytest.mark.fidelity("G-DEADLINE")
def test_deadline_that_passes_ends_the_call_at_both_ends(wire: CallWire) -> None:
    seen = same(wire, "/test.v1.Any/Wait", b"m", metadata=(script(["read", 1], ["hang"]),), timeout_s=0.3)
    assert seen.code is grpc.StatusCode.DEADLINE_EXCEEDED
    wire.within(asyncio.wait_for(wire.app.calls[-1].ended.wait(), 5))
    assert wire.app.calls[-1].cancelled


POINTS = {
    "before anything was said": ([["hang"]], 0, False),
    "after initial metadata": ([["initial", []], ["hang"]], 0, False),
    "after the first message": ([["read", 1], ["hang"]], 1, False),
    "amid answers": ([["read", 1], ["send", 5, 3], ["hang"]], 1, False),
    "after the request": ([["read-all"], ["hang"]], 2, True),
    "while the application sends": ([["read-all"], ["send", 1000, 1_000_000]], 1, True),
}


@pytest.mark.fidelity("G-CANCEL-VISITOR")
@pytest.mark.parametrize("point", POINTS)
def test_caller_that_cancels_is_told_to_the_application_within_a_second(wire: CallWire, point: str) -> None:
    steps, messages, half_close = POINTS[point]

    async def work() -> float:
        made = wire.tunnelled.stream_stream("/test.v1.Any/Talk", None, None)(timeout=20, metadata=(script(*steps),))
        for _ in range(messages):
            await made.write(b"m")
        if half_close:
            await made.done_writing()
        seen = await wire.app.call()
        await seen.begun.wait()
        while len(seen.messages) < messages:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if "initial" in point:
            await made.initial_metadata()
        started = time.monotonic()
        made.cancel()
        await asyncio.wait_for(seen.ended.wait(), 10)
        assert seen.cancelled
        # A caller that goes is not one that has said everything.
        assert seen.half_closed == half_close
        return time.monotonic() - started

    assert wire.within(work()) < 1


@pytest.mark.fidelity("G-CANCEL-VISITOR")
def test_caller_that_is_gone_is_told_too(wire: CallWire) -> None:
    async def work() -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(wire.server.addresses["ingress.grpc"], options=options) as channel:
            made = channel.stream_stream("/test.v1.Any/Talk", None, None)(metadata=(script(["read", 1], ["hang"]),))
            await made.write(b"m")
            seen = await wire.app.call()
            await seen.begun.wait()
        await asyncio.wait_for(seen.ended.wait(), 1)
        assert seen.cancelled

    wire.within(work())


@pytest.mark.fidelity("G-CANCEL-UPSTREAM")
def test_application_that_cancels_is_told_to_the_caller_within_a_second(wire: CallWire) -> None:
    started = time.monotonic()
    seen = same(
        wire,
        "/test.v1.Any/Talk",
        b"m",
        metadata=(script(["read", 1], ["send", 3, 1], ["status", 1, "changed my mind"]),),
        half_close=False,
    )
    assert (seen.code, seen.details) == (grpc.StatusCode.CANCELLED, "changed my mind")
    assert time.monotonic() - started < 2


# -- sizes and pace


@pytest.mark.fidelity("G-LARGE")
def test_messages_up_to_the_limit_are_carried(wire: CallWire) -> None:
    message = bytes(range(256)) * (LARGE_BYTES // 256)
    assert same(wire, "/test.v1.Any/Unary", message).messages == (message,)


@pytest.mark.fidelity("G-TOO-LARGE")
@pytest.mark.parametrize(
    ("service", "sent", "answered"),
    [
        ("test", LARGE_BYTES + 1, 0),
        ("test", 0, LARGE_BYTES + 1),
        ("small", SMALL_BYTES + 1, 0),
        ("small", 0, SMALL_BYTES + 1),
    ],
)
def test_message_over_a_limit_is_resource_exhausted_and_others_go_on(
    wire: CallWire, service: str, sent: int, answered: int
) -> None:
    async def work() -> Observation:
        other = wire.tunnelled.stream_stream("/test.v1.Any/Talk", None, None)(timeout=20)
        await other.write(b"1")
        assert await other.read() == b"1"
        seen = await observe(
            wire.tunnelled,
            f"/{service}.v1.Any/Unary",
            b"m" * sent,
            metadata=(script(["read", 1], ["send", answered, 1]),),
        )
        await other.write(b"2")
        assert await other.read() == b"2"
        await other.done_writing()
        assert await other.code() is OK
        return seen

    seen = wire.within(work())
    assert (seen.code, seen.messages) == (grpc.StatusCode.RESOURCE_EXHAUSTED, ())


@pytest.mark.fidelity("G-PACE")
def test_stalled_call_stops_its_application_and_delays_no_other(wire: CallWire) -> None:
    async def work() -> None:
        stalled = wire.tunnelled.stream_stream("/test.v1.Any/Watch", None, None)(
            timeout=30, metadata=(script(["send", 60_000, 2000]),)
        )
        await stalled.done_writing()
        await stalled.initial_metadata()
        for _ in range(20):
            assert (await observe(wire.tunnelled, "/test.v1.Any/Unary", b"m")).messages == (b"m",)
        seen = wire.app.calls[0]
        assert not seen.ended.is_set()  # of 120 MB only what windows hold was sent
        count = 0
        async for _ in stalled:
            count += 1
        assert count == 2000

    wire.within(work())


@pytest.mark.fidelity("G-PACE")
def test_application_that_does_not_read_stops_its_caller(wire: CallWire) -> None:
    async def work() -> None:
        made = wire.tunnelled.stream_stream("/test.v1.Any/Upload", None, None)(timeout=30, metadata=(script(["hang"]),))

        async def pour() -> None:
            while True:
                await made.write(b"m" * 60_000)

        pouring = asyncio.create_task(pour())
        for _ in range(20):
            assert (await observe(wire.tunnelled, "/test.v1.Any/Unary", b"m")).messages == (b"m",)
        done, _ = await asyncio.wait([pouring], timeout=0.2)
        assert not done
        pouring.cancel()
        await asyncio.wait([pouring])

    wire.within(work())


# -- services that every server may have


@pytest.mark.fidelity("G-HEALTH")
def test_health_is_checked_and_watched(wire: CallWire) -> None:
    async def check(channel: grpc.aio.Channel) -> list[object]:
        stub = health_pb2_grpc.HealthStub(channel)
        whole = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        one = await stub.Check(health_pb2.HealthCheckRequest(service="shop.v1.Orders"), timeout=10)
        watching = stub.Watch(health_pb2.HealthCheckRequest(service="shop.v1.Orders"), timeout=10)
        watched = await watching.read()
        watching.cancel()
        try:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
        except grpc.aio.AioRpcError as error:
            return [whole, one, watched, error.code()]
        raise AssertionError("an unknown service has no health")

    direct, tunnelled = wire.both(check)
    assert tunnelled == direct
    assert tunnelled[1:] == [
        *[health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)] * 2,
        grpc.StatusCode.NOT_FOUND,
    ]


@pytest.mark.fidelity("G-REFLECTION")
def test_reflection_tells_of_the_application(wire: CallWire) -> None:
    async def reflect(channel: grpc.aio.Channel) -> list[object]:
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="nothing.of.this.Name"),
        ]
        made = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(requests), timeout=10)
        return [answer async for answer in made]

    direct, tunnelled = wire.both(reflect)
    assert tunnelled == direct
    names = [each.name for each in tunnelled[0].list_services_response.service]
    assert "grpc.health.v1.Health" in names


# -- routing


@pytest.mark.fidelity("G-RULES")
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("/routed.v1.Service/One", OK),
        ("/routed.v1.Service/Other", grpc.StatusCode.UNIMPLEMENTED),
        ("/hosted.v1.Service/Any", OK),
        ("/elsewhere.v1.Service/Any", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_rules_go_by_service_method_path_and_the_host_of_the_ingress(
    wire: CallWire, method: str, code: grpc.StatusCode
) -> None:
    assert HOST == "calls.example.test"
    assert wire.within(observe(wire.tunnelled, method, b"m")).code is code
