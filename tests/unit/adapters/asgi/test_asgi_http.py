"""HTTP by the specification of ASGI: each clause a test, on both event loops."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from asgi_kit import asked, get, hosting, post, respond, visiting
from hypothesis import given
from hypothesis import strategies as st
from support.app_kit import FakeStream

from tunnel.domain.envelopes import BodyChunk, HttpResponse, Trailers, WebSocketFrame
from tunnel.domain.errors import ErrorCode, SessionError

pytestmark = pytest.mark.anyio

EXPECT = (b"expect", b"100-continue")


async def whole_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        more = message["more_body"]
    return body


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, await whole_body(receive))


# -- the request


async def test_small_request_and_response_are_one_envelope_each():
    async with hosting(echo) as upstream:
        stream = await asked(upstream, post(b"hello", end=True))
    (answer,) = stream.sent
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body, answer.end) == (200, b"hello", True)


async def test_body_that_streams_arrives_whole_and_in_order():
    async with hosting(echo) as upstream:
        stream = await asked(upstream, post(b"a"), [BodyChunk(b"b"), BodyChunk(b""), BodyChunk(b"c", end=True)])
    assert stream.body == b"abc"


async def test_trailers_of_a_request_end_its_body():
    async with hosting(echo) as upstream:
        stream = await asked(upstream, post(), [BodyChunk(b"b"), Trailers((b"x-sum", b"1"))])
    assert stream.body == b"b"


async def test_body_is_read_only_when_the_application_asks():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"enough")

    async with hosting(app) as upstream:
        stream = await asked(upstream, post(), [BodyChunk(b"b", end=True)])
    assert stream.received == 0
    assert stream.body == b"enough"


async def test_body_is_asked_for_when_the_application_wants_it():
    async with hosting(echo) as upstream:
        stream = await asked(upstream, post(headers=EXPECT), [BodyChunk(b"b", end=True)])
    assert [each.status for each in stream.sent if isinstance(each, HttpResponse)] == [100, 200]


async def test_body_is_not_asked_for_by_an_application_that_answers_without_it():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, status=417)

    async with hosting(app) as upstream:
        stream = await asked(upstream, post(headers=EXPECT))
    assert [each.status for each in stream.sent if isinstance(each, HttpResponse)] == [417]


async def test_answer_may_begin_while_the_request_still_comes():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        await send({"type": "http.response.body", "body": await whole_body(receive)})

    async with hosting(app) as upstream, visiting(upstream, post()) as visit:
        await anyio.wait_all_tasks_blocked()
        assert visit.stream.body == b"first "
        visit.stream.feed(BodyChunk(b"then", end=True))
        await visit.over.wait()
        assert visit.stream.body == b"first then"


async def test_envelope_that_is_no_body_fails_the_conversation():
    async with hosting(echo) as upstream:
        with pytest.raises(SessionError) as caught:
            await asked(upstream, post(), [WebSocketFrame(1, b"x")])
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


async def test_other_protocols_are_refused():
    async with hosting(echo) as upstream:
        with pytest.raises(SessionError) as caught:
            await asked(upstream, get(protocol="tcp"))
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


# -- the response


async def test_head_waits_for_the_first_of_the_body():
    # ASGI HTTP, response start: servers may hold it, so that what fails before the body can still become a 500.
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("too late to think")

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
    assert stream.answer is not None
    assert stream.answer.status == 500


async def test_response_streams_with_backpressure():
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    async with hosting(app) as upstream, visiting(upstream, get(), room=2) as visit:
        await anyio.wait_all_tasks_blocked()
        assert sent == [0, 1]
        visit.stream.make_room(None)
        await visit.over.wait()
        assert visit.stream.body == b"xxxxx"
        assert visit.stream.ended


async def test_fields_keep_order_and_repetition_and_get_a_date():
    headers = [(b"Set-Cookie", b"a=1"), (b"x", b" y "), (b"set-cookie", b"b=2")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, headers=headers)

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
    assert stream.answer is not None
    assert stream.answer.headers[:6] == (b"set-cookie", b"a=1", b"x", b"y", b"set-cookie", b"b=2")
    assert stream.answer.headers[6] == b"date"


async def test_date_of_the_application_is_kept():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, headers=[(b"date", b"then")])

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
    assert stream.answer is not None
    assert stream.answer.headers == (b"date", b"then")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_answers_that_have_no_body_lose_it(method: str, status: int):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"a body", status=status, headers=[(b"content-length", b"6")])

    async with hosting(app) as upstream:
        stream = await asked(upstream, get(method=method))
    assert stream.body == b""
    assert stream.answer is not None
    assert b"content-length" in stream.answer.headers
    assert stream.ended


async def test_trailers_end_a_response_that_announced_them():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.trailers" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [(b"X-A", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-b", b"2")]})

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
    assert stream.body == b"x"
    assert stream.sent[-1] == Trailers((b"x-a", b"1", b"x-b", b"2"))


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"x"}],
        [{"type": "http.response.start", "status": 103, "headers": []}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"a b", b"x")]}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"x\r\nset-cookie: y")]}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"one")]}],
        [{"type": "http.response.start", "status": 200, "headers": []}] * 2,
        [{"type": "websocket.accept"}],
        [{"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.trailers"}],
    ],
)
async def test_message_that_does_not_belong_is_raised_and_answered_with_500(messages: list[Any]):
    raised: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in messages:
                await send(message)
        except RuntimeError as exc:
            raised.append(exc)
            raise

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
    assert len(raised) == 1
    assert stream.answer is not None
    assert stream.answer.status == 500
    assert json.loads(stream.answer.body)["code"] == "internal"
    assert stream.ended


@pytest.mark.parametrize(("parts", "why"), [((b"123", b"45"), "longer"), ((b"12", b""), "shorter")])
async def test_body_of_another_length_than_announced_is_cut_off(parts: tuple[bytes, bytes], why: str):
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": parts[0], "more_body": True})
        try:
            await send({"type": "http.response.body", "body": parts[1]})
        except RuntimeError as exc:
            raised.append(str(exc))

    async with hosting(app) as upstream, visiting(upstream, get()) as visit:
        await visit.over.wait()
    assert why in raised[0]
    assert isinstance(visit.failure, SessionError)
    assert visit.failure.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert not visit.stream.ended


# -- failures


async def test_exception_before_the_response_is_logged_and_answered_with_500(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("a secret")

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
    assert stream.answer is not None
    assert stream.answer.status == 500
    assert b"secret" not in stream.answer.body
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage() == "shop:app raised an exception"
    assert record.exc_info is not None


async def test_application_that_exits_takes_nobody_with_it():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/exit":
            raise SystemExit(1)
        await respond(send, b"well")

    async with hosting(app) as upstream:
        assert (await asked(upstream, get(b"/exit"))).answer.status == 500  # type: ignore[union-attr]
        assert (await asked(upstream, get())).body == b"well"


async def test_exception_after_the_response_began_aborts_it():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"half", more_body=True)
        raise ValueError

    async with hosting(app) as upstream, visiting(upstream, get()) as visit:
        await visit.over.wait()
    assert isinstance(visit.failure, SessionError)
    assert visit.stream.body == b"half"
    assert not visit.stream.ended


async def test_returning_without_an_answer_is_500(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
    assert stream.answer is not None
    assert stream.answer.status == 500
    assert "returned without answering" in caplog.text


async def test_response_that_does_not_begin_in_time_is_a_timeout():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await whole_body(receive)
        await anyio.sleep(60)

    async with hosting(app, first_byte_timeout_s=3.0) as upstream, visiting(upstream, post()) as visit:
        await anyio.sleep(30)  # the request takes its time, and that is not the application's
        visit.stream.feed(BodyChunk(b"", end=True))
        began = anyio.current_time()
        await visit.over.wait()
        assert anyio.current_time() - began < 5
    assert isinstance(visit.failure, SessionError)
    assert visit.failure.code is ErrorCode.UPSTREAM_TIMEOUT


async def test_response_that_has_begun_has_all_the_time():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"1", more_body=True)
        await anyio.sleep(3600)
        await send({"type": "http.response.body", "body": b"2"})

    async with hosting(app, first_byte_timeout_s=3.0) as upstream:
        assert (await asked(upstream, get())).body == b"12"


# -- after the response, and visitors that leave


async def test_disconnect_is_told_after_the_response_and_work_goes_on():
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"done")
        told.append(await receive())
        await anyio.sleep(5)
        told.append("worked")

    async with hosting(app) as upstream:
        stream = await asked(upstream, get())
        assert stream.ended
        assert "worked" not in told
    # Closing waited for it.
    assert told == [{"type": "http.disconnect"}, "worked"]


async def test_work_after_the_response_that_does_not_end_is_cut_off_when_closed(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"done")
        await anyio.sleep_forever()

    async with hosting(app, farewell_s=3.0) as upstream:
        await asked(upstream, get())
        began = anyio.current_time()
    assert 3 <= anyio.current_time() - began < 4
    assert "1 calls were cut off" in caplog.text


async def test_sending_after_the_response_is_complete_is_an_error():
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"done")
        try:
            await send({"type": "http.response.body"})
        except RuntimeError as exc:
            raised.append(exc)

    async with hosting(app) as upstream:
        await asked(upstream, get())
    assert len(raised) == 1


async def test_visitor_that_leaves_is_told_and_the_application_may_finish():
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        told.append(await receive())
        await anyio.sleep(0.1)
        told.append("tidied up")

    async with hosting(app) as upstream, visiting(upstream, get()) as visit:
        await anyio.wait_all_tasks_blocked()
        visit.leave()
        await visit.over.wait()
        assert told == [{"type": "http.disconnect"}, "tidied up"]


async def test_visitor_that_leaves_in_its_upload_is_told():
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            told.append(message["body"])

    async with hosting(app) as upstream, visiting(upstream, post(b"a")) as visit:
        await anyio.wait_all_tasks_blocked()
        visit.leave()
        await visit.over.wait()
        assert told == [b"a"]


async def test_application_that_ignores_a_departure_is_cancelled_within_a_second():
    cancelled: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await anyio.sleep(3600)
        except anyio.get_cancelled_exc_class():
            cancelled.append(True)
            raise

    async with hosting(app) as upstream, visiting(upstream, get()) as visit:
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        visit.leave()
        await visit.over.wait()
        assert cancelled == [True]
        assert anyio.current_time() - began < 1


async def test_sending_to_a_visitor_that_left_is_an_oserror():
    # ASGI HTTP 2.4, disconnected client.
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await respond(send, b"x", more_body=True)  # nobody makes room for it
        except OSError as exc:
            raised.append(exc)
            raise

    async with hosting(app) as upstream, visiting(upstream, get(), room=0) as visit:
        await anyio.wait_all_tasks_blocked()
        visit.leave()
        await visit.over.wait()
    assert len(raised) == 1


async def test_several_tasks_may_wait_for_the_departure():
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def watch() -> None:
            told.append((await receive())["type"])

        await receive()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(watch)

    async with hosting(app) as upstream, visiting(upstream, get()) as visit:
        await anyio.wait_all_tasks_blocked()
        visit.leave()
        await visit.over.wait()
    assert told == ["http.disconnect"] * 3


async def test_conversation_of_a_closed_upstream_fails():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    async with hosting(app) as upstream, visiting(upstream, get()) as visit:
        await anyio.wait_all_tasks_blocked()
        await upstream.aclose()
        await visit.over.wait()
        assert isinstance(visit.failure, SessionError)
        with pytest.raises(SessionError) as caught:
            await asked(upstream, get())
    assert caught.value.code is ErrorCode.REFUSED


# -- places


async def test_calls_beyond_the_bound_wait_for_a_place():
    gate = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await respond(send, scope["path"].encode())

    async with (
        hosting(app, max_connections=1, max_waiting=1) as upstream,
        visiting(upstream, get(b"/1")) as first,
        visiting(upstream, get(b"/2")) as second,
    ):
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(SessionError) as caught:
            await asked(upstream, get(b"/3"))
        assert caught.value.code is ErrorCode.OVERLOADED
        gate.set()
        await first.over.wait()
        await second.over.wait()
        assert (first.stream.body, second.stream.body) == (b"/1", b"/2")


async def test_waiting_for_a_place_ends_in_time_and_leaves_it_to_others():
    gate = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await respond(send)

    async with hosting(app, max_connections=1, connect_timeout_s=2.0) as upstream, visiting(upstream, get()) as first:
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(SessionError) as caught:
            await asked(upstream, get())
        assert caught.value.code is ErrorCode.OVERLOADED
        async with visiting(upstream, get()) as leaving:
            await anyio.wait_all_tasks_blocked()
            leaving.leave()
        gate.set()
        await first.over.wait()
        assert (await asked(upstream, get())).ended


# -- properties


def test_bodies_arrive_whole_and_in_order_however_they_are_cut():
    @given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.binary(max_size=40), max_size=12))
    def check(upload: list[bytes], download: list[bytes]) -> None:
        uploaded: list[bytes] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            uploaded.append(await whole_body(receive))
            length = b"%d" % sum(map(len, download))
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            for part in download:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})

        async def exchange() -> None:
            async with hosting(app) as upstream:
                stream = await asked(upstream, post(), [*map(BodyChunk, upload), BodyChunk(b"", end=True)])
            assert uploaded == [b"".join(upload)]
            assert stream.body == b"".join(download)
            assert [each.end for each in stream.sent].count(True) == 1

        anyio.run(exchange)

    check()


async def test_body_is_not_asked_for_once_the_answer_has_begun():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"begun ", more_body=True)
        await send({"type": "http.response.body", "body": await whole_body(receive)})

    async with hosting(app) as upstream:
        stream = await asked(upstream, post(headers=EXPECT), [BodyChunk(b"b", end=True)])
    assert [each.status for each in stream.sent if isinstance(each, HttpResponse)] == [200]
    assert stream.body == b"begun b"


async def test_visitor_that_leaves_when_it_has_all_stops_no_work_after_the_response():
    told: list[str] = []
    visits: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await respond(send, b"done")
        visits[0].leave()  # before whoever waits for the end has heard of it
        await anyio.sleep(5)
        told.append("worked")

    async with hosting(app) as upstream:
        async with visiting(upstream, get()) as visit:
            visits.append(visit)
            await visit.over.wait()
        assert visit.stream.ended
    assert told == ["worked"]


async def test_context_variables_are_of_one_conversation():
    visitor: ContextVar[str] = ContextVar("visitor", default="nobody")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(visitor.get())
        visitor.set(scope["path"])
        await anyio.lowlevel.checkpoint()
        seen.append(visitor.get())
        await respond(send)

    async with hosting(app) as upstream:
        for path in (b"/a", b"/b"):
            await asked(upstream, get(path))
    assert seen == ["nobody", "/a", "nobody", "/b"]
    assert visitor.get() == "nobody"


async def test_departure_interrupts_a_part_that_waits_and_leaves_the_last_to_the_stream():
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await respond(send, b"part", more_body=scope["path"] == "/part")
        except BaseException as exc:
            raised.append(type(exc).__name__)
            raise

    async with hosting(app) as upstream:
        for path in (b"/part", b"/last"):
            async with visiting(upstream, get(path), room=0) as visit:
                await anyio.sleep(1)
                left_at = anyio.current_time()
                visit.leave()
                await visit.over.wait()
                assert anyio.current_time() - left_at <= 1
    assert raised[0] == "ClientDisconnected"
    assert raised[1] in ("CancelledError", "Cancelled")


async def test_stream_that_was_reset_tells_whoever_sends_the_last_part():
    class Reset(FakeStream):
        async def send(self, payload: Any) -> None:
            await anyio.sleep(1)
            raise SessionError(ErrorCode.CANCELLED, "the visitor left")

    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await respond(send, b"whole")
        except OSError as exc:
            raised.append(str(exc))

    async with hosting(app) as upstream:
        with pytest.raises(SessionError, match="the visitor left"):
            await upstream.handle(Reset(get()))
    assert raised == ["the visitor left"]
