"""WebSocket by the specification of ASGI: each clause a test, on both event loops."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest
from asgi_kit import asked, hosting, respond, shaking, visiting

from tunnel.domain.envelopes import BodyChunk, HttpResponse, WebSocketFrame, WebSocketOpcode
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.websocket_close import close_frame, split_close

pytestmark = pytest.mark.anyio

TEXT, BINARY = int(WebSocketOpcode.TEXT), int(WebSocketOpcode.BINARY)
OFFER = (b"sec-websocket-protocol", b"chat, news")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back whatever comes, and keeps what it was told of the end in the scope's state."""
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{key: message[key] for key in ("text", "bytes") if key in message}})
    scope["state"]["told"].append(message)


def telling(app: Any) -> tuple[Any, list[Any]]:
    """``app`` with a list in its state, and that list."""
    told: list[Any] = []

    async def called(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["told"] = told
        await app(scope, receive, send)

    return called, told


async def test_messages_go_both_ways_and_a_close_is_answered():
    app, told = telling(echo)
    async with hosting(app) as upstream, visiting(upstream, shaking()) as visit:
        visit.stream.feed(
            WebSocketFrame(TEXT, "grüß".encode()), WebSocketFrame(BINARY, b"\0"), close_frame(4000, "enough")
        )
        await visit.over.wait()
        assert isinstance(visit.stream.sent[0], HttpResponse)
        assert visit.stream.sent[0].status == 101
        assert visit.frames[:2] == [WebSocketFrame(TEXT, "grüß".encode()), WebSocketFrame(BINARY, b"\0")]
        assert split_close(visit.frames[-1].payload) == (4000, "enough")
        await anyio.wait_all_tasks_blocked()
        assert told == [{"type": "websocket.disconnect", "code": 4000, "reason": "enough"}]
        assert visit.failure is None


async def test_close_without_a_code_is_told_as_1005():
    app, told = telling(echo)
    async with hosting(app) as upstream, visiting(upstream, shaking()) as visit:
        visit.stream.feed(close_frame(1005))
        await visit.over.wait()
        await anyio.wait_all_tasks_blocked()
    assert told[0]["code"] == 1005


async def test_pieces_of_a_message_are_one_message():
    app, _ = telling(echo)
    async with hosting(app) as upstream, visiting(upstream, shaking()) as visit:
        visit.stream.feed(
            WebSocketFrame(TEXT, b"gr\xc3", fin=False), WebSocketFrame(0, b"\xbc\xc3\x9f"), close_frame(1000)
        )
        await visit.over.wait()
        assert visit.frames[0] == WebSocketFrame(TEXT, "grüß".encode())


async def test_nothing_is_received_before_acceptance():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    async with hosting(app) as upstream, visiting(upstream, shaking()) as visit:
        visit.stream.feed(WebSocketFrame(TEXT, b"early"))
        await anyio.wait_all_tasks_blocked()
        assert visit.stream.received == 0


async def test_subprotocol_and_fields_of_an_acceptance_are_told():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["subprotocols"] == ["chat", "news"]
        await send({"type": "websocket.accept", "subprotocol": "news", "headers": [(b"X-A", b"1")]})
        await send({"type": "websocket.close"})

    async with hosting(app) as upstream:
        stream = await asked(upstream, shaking(*OFFER))
    assert isinstance(stream.sent[0], HttpResponse)
    assert stream.sent[0].headers == (b"x-a", b"1", b"sec-websocket-protocol", b"news")
    assert stream.sent[1] == close_frame(1000)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.accept", "subprotocol": "other"},
        {"type": "websocket.accept", "headers": [(b"sec-websocket-protocol", b"chat")]},
        {"type": "websocket.send", "text": "early"},
        {"type": "http.response.start", "status": 200, "headers": []},
    ],
)
async def test_message_that_does_not_belong_is_answered_with_500(message: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message)

    async with hosting(app) as upstream:
        stream = await asked(upstream, shaking(*OFFER))
    assert stream.answer is not None
    assert stream.answer.status == 500


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": "a", "bytes": b"b"},
        {"type": "websocket.send", "bytes": b"x" * 2000},
        {"type": "websocket.close", "code": 1006},
        {"type": "websocket.accept"},
    ],
)
async def test_message_that_cannot_be_sent_closes_with_1011(message: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send(message)

    async with hosting(app, max_message_bytes=1000) as upstream:
        stream = await asked(upstream, shaking())
    assert stream.sent[-1] == close_frame(1011)


async def test_closing_before_acceptance_is_403():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async with hosting(app) as upstream:
        stream = await asked(upstream, shaking())
    assert [each.status for each in stream.sent if isinstance(each, HttpResponse)] == [403]
    assert stream.ended


async def test_denial_has_status_fields_and_body():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "websocket.http.response" in scope["extensions"]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"1")]})
        await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"are you"})

    async with hosting(app) as upstream:
        stream = await asked(upstream, shaking())
    assert stream.answer is not None
    assert (stream.answer.status, stream.body) == (401, b"who are you")
    assert stream.sent[-1] == BodyChunk(b"are you", end=True)


async def test_denial_that_is_not_completed_is_cut_short():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"who", "more_body": True})

    async with hosting(app) as upstream:
        with pytest.raises(SessionError):
            await asked(upstream, shaking())


async def test_application_closes_with_code_and_reason():
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001, "reason": "over"})
        assert (await receive())["code"] == 4001
        try:
            await send({"type": "websocket.send", "text": "more"})
        except RuntimeError as exc:
            raised.append(str(exc))

    async with hosting(app) as upstream:
        stream = await asked(upstream, shaking())
    assert stream.sent[-1] == close_frame(4001, "over")
    assert len(raised) == 1


async def test_returning_closes_with_1000_and_raising_with_1011():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        if scope["query_string"]:
            raise ValueError

    async with hosting(app) as upstream:
        assert (await asked(upstream, shaking())).sent[-1] == close_frame(1000)
        failing = msgspec.structs.replace(shaking(), query=b"fail")
        assert (await asked(upstream, failing)).sent[-1] == close_frame(1011)


async def test_returning_without_a_word_is_500():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    async with hosting(app) as upstream:
        stream = await asked(upstream, shaking())
    assert stream.answer is not None
    assert stream.answer.status == 500


async def test_visitor_that_is_lost_is_told_as_abnormal():
    app, told = telling(echo)
    async with hosting(app) as upstream, visiting(upstream, shaking()) as visit:
        await anyio.wait_all_tasks_blocked()
        visit.leave()
        await visit.over.wait()
        assert told == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


async def test_visitor_that_is_lost_before_acceptance_is_told():
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        told.append(await receive())

    async with hosting(app) as upstream, visiting(upstream, shaking()) as visit:
        await anyio.wait_all_tasks_blocked()
        visit.leave()
        await visit.over.wait()
    assert told[0]["type"] == "websocket.disconnect"


async def test_sending_after_the_visitor_closed_is_an_oserror():
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        try:
            await send({"type": "websocket.send", "text": "still there?"})
        except OSError as exc:
            raised.append(exc)

    async with hosting(app) as upstream, visiting(upstream, shaking()) as visit:
        visit.stream.feed(close_frame(1000))
        await visit.over.wait()
    assert len(raised) == 1


async def test_tasks_may_send_at_the_same_time():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(send, {"type": "websocket.send", "text": str(number)})

    async with hosting(app) as upstream, visiting(upstream, shaking(), room=1) as visit:
        await anyio.wait_all_tasks_blocked()
        visit.stream.make_room(None)
        await visit.over.wait()
    assert sorted(frame.payload for frame in visit.frames[:-1]) == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (WebSocketFrame(BINARY, b"x" * 2000), ErrorCode.TOO_LARGE),
        (WebSocketFrame(TEXT, b"\xff"), ErrorCode.PROTOCOL_ERROR),
        (WebSocketFrame(int(WebSocketOpcode.CLOSE), b"\x03"), ErrorCode.PROTOCOL_ERROR),
    ],
)
async def test_message_that_cannot_be_taken_fails_the_conversation(frame: WebSocketFrame, code: ErrorCode):
    app, told = telling(echo)
    async with hosting(app, max_message_bytes=1000) as upstream, visiting(upstream, shaking()) as visit:
        visit.stream.feed(frame)
        await visit.over.wait()
    assert isinstance(visit.failure, SessionError)
    assert visit.failure.code is code
    assert told[0]["type"] == "websocket.disconnect"


async def test_websockets_take_no_places():
    app, _ = telling(echo)
    async with (
        hosting(app, max_connections=1) as upstream,
        visiting(upstream, shaking()) as first,
        visiting(upstream, shaking()) as second,
    ):
        await anyio.wait_all_tasks_blocked()
        assert first.stream.answer is not None
        assert second.stream.answer is not None


async def test_acceptance_in_time_is_all_that_is_timed():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await anyio.sleep(3600)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(3600)
        await respond(send)

    async with hosting(app, first_byte_timeout_s=2.0) as upstream:
        assert (await asked(upstream, shaking())).sent[-1] == close_frame(1000)
    async with hosting(slow, first_byte_timeout_s=2.0) as upstream:
        with pytest.raises(SessionError) as caught:
            await asked(upstream, shaking())
    assert caught.value.code is ErrorCode.UPSTREAM_TIMEOUT
