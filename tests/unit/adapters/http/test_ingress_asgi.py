from __future__ import annotations

import ast
import inspect
import json
import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ingress_kit import DEADLINE_S, Target, Visitor, visit

from tunnel.adapters.http import (
    ingress_asgi,
    ingress_asgi_response,
    ingress_census,
    ingress_head,
    ingress_response,
    ingress_service,
    ingress_stream,
    ingress_target,
    ingress_types,
)
from tunnel.adapters.http.ingress_asgi import AsgiIngress
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, Trailers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

HOST = (b"host", b"a.test")
WEBSOCKET = ((b"connection", b"Upgrade"), (b"upgrade", b"WebSocket"), (b"sec-websocket-version", b"13"))
OK = HttpResponse(200, (b"content-type", b"text/plain"), b"hello", end=True)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


async def answer(stream: Stream) -> None:
    await stream.send(OK)


async def forever(stream: Stream) -> None:
    await anyio.sleep_forever()


async def upload(stream: Stream) -> bytes:
    assert isinstance(stream.head, HttpRequest)
    body, end = stream.head.body, stream.head.end
    while not end:
        chunk = await stream.receive()
        assert isinstance(chunk, BodyChunk)
        body, end = body + chunk.data, chunk.end
    return body


async def echo(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), await upload(stream), end=True))


def code_of(visitor: Visitor) -> str:
    assert dict(visitor.headers)[b"content-type"] == b"application/problem+json"
    code: str = json.loads(visitor.body)["code"]
    return code


# Heads


@pytest.mark.rule("E5")
async def test_bodyless_request_is_one_envelope_and_is_never_read() -> None:
    target = Target(answer)
    visitor = Visitor(
        method="GET",
        raw_path=b"/a%2Fb/%7E",
        path="/a/b/~",
        query_string=b"x=%20y",
        headers=[(b"accept", b"1"), HOST, (b"accept", b"2"), (b"connection", b"x-own"), (b"x-own", b"hop")],
    )
    await visit(AsgiIngress(target), visitor)

    assert target.head == HttpRequest(
        "GET",
        b"/a%2Fb/%7E",
        b"x=%20y",
        b"a.test",
        (
            *(b"accept", b"1", b"host", b"a.test", b"accept", b"2"),
            *(b"x-forwarded-for", b"192.0.2.1", b"x-forwarded-proto", b"http", b"x-forwarded-host", b"a.test"),
        ),
        end=True,
    )


async def test_empty_query_is_none() -> None:
    target = Target(answer)
    await visit(AsgiIngress(target), Visitor())
    assert target.head.query is None


@pytest.mark.parametrize(
    ("path", "root_path", "raw"),
    [
        ("/a b/ü", "", b"/a%20b/%C3%BC"),
        ("/mounted/x", "/mounted", b"/mounted/x"),
        ("/x", "/mounted", b"/mounted/x"),
    ],
)
async def test_raw_path_is_made_where_the_server_does_not_tell_it(path: str, root_path: str, raw: bytes) -> None:
    target = Target(answer)
    visitor = Visitor(path=path, root_path=root_path)
    del visitor.scope["raw_path"]
    await visit(AsgiIngress(target), visitor)
    assert target.head.path == raw


@pytest.mark.parametrize(("query", "expected"), [(b"", None), (b"x=y", b"x=y")])
async def test_url_that_the_server_gives_as_a_path_is_taken_apart(query: bytes, expected: bytes | None) -> None:
    target = Target(answer)
    await visit(AsgiIngress(target), Visitor(raw_path=b"http://b.test/x", query_string=query))
    assert (target.head.path, target.head.query, target.head.host) == (b"/x", expected, b"b.test")


async def test_mounted_app_forwards_the_full_raw_path() -> None:
    target = Target(answer)
    await visit(AsgiIngress(target), Visitor(root_path="/mounted", path="/mounted/x", raw_path=b"/mounted/x"))
    assert target.head.path == b"/mounted/x"


@pytest.mark.parametrize(
    ("headers", "version", "status", "code"),
    [
        ([], "1.1", 400, "bad_request"),
        ([], "1.0", 200, None),
        ([HOST, HOST], "1.1", 400, "bad_request"),
        ([HOST, (b"content-length", b"x")], "1.1", 400, "bad_request"),
        ([HOST, (b"content-length", b"-1")], "1.1", 400, "bad_request"),
        ([HOST, (b"content-length", b"9" * 20)], "1.1", 400, "bad_request"),
        ([HOST, (b"content-length", b"1"), (b"content-length", b"2")], "1.1", 400, "bad_request"),
        ([HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")], "1.1", 400, "bad_request"),
        ([HOST, (b"transfer-encoding", b"gzip, chunked")], "1.1", 501, "bad_request"),
        ([HOST, (b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"chunked")], "1.1", 501, "bad_request"),
        ([HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], "1.1", 501, "bad_request"),
        ([HOST, (b"transfer-encoding", b"gzip")], "1.1", 501, "bad_request"),
        ([HOST, (b"transfer-encoding", b"chunked")], "1.0", 400, "bad_request"),
        ([HOST, (b"transfer-encoding", b" Chunked ")], "1.1", 200, None),
        ([HOST, (b"content-length", b"101")], "1.1", 413, "too_large"),
        ([HOST, (b"x", b"y" * 1000)], "1.1", 431, "too_large"),
        ([HOST, *[(b"x", b"y")] * 20], "1.1", 431, "too_large"),
        ([HOST, (b"connection", b"Upgrade"), (b"upgrade", b"WebSocket")], "1.1", 426, "bad_request"),
        ([HOST, *WEBSOCKET, (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")], "1.1", 501, "bad_request"),
        ([HOST, *WEBSOCKET, (b"sec-websocket-key", b"c2hvcnQ=")], "1.1", 400, "bad_request"),
        ([HOST, (b"connection", b"Upgrade"), (b"upgrade", b"h2c")], "1.1", 200, None),
    ],
)
async def test_wrong_heads_are_answered_and_reach_no_target(
    headers: list[tuple[bytes, bytes]], version: str, status: int, code: str | None
) -> None:
    target = Target(answer)
    settings = IngressSettings(max_body_bytes=100, max_header_bytes=1000, max_headers=20)
    visitor = Visitor(headers=headers, http_version=version)
    await visit(AsgiIngress(target, settings=settings), visitor)

    assert visitor.status == status
    assert visitor.complete
    if code is not None:
        assert code_of(visitor) == code
        assert target.heads == []


# Uploads


@pytest.mark.rule("E5")
async def test_small_body_that_is_there_goes_with_the_head() -> None:
    target = Target(echo)
    visitor = Visitor([b"abc"], method="POST", headers=[HOST, (b"content-length", b"3")])
    await visit(AsgiIngress(target), visitor)

    assert (target.head.body, target.head.end) == (b"abc", True)
    assert visitor.body == b"abc"


@pytest.mark.parametrize(
    "length", [[(b"transfer-encoding", b"chunked")], [(b"content-length", b"40000")]], ids=["chunked", "large"]
)
async def test_under_another_server_only_small_declared_bodies_are_waited_for(
    length: list[tuple[bytes, bytes]],
) -> None:
    target = Target(answer)
    visitor = Visitor([b"abc"], method="POST", headers=[HOST, *length])
    await visit(AsgiIngress(target), visitor)

    assert (target.head.body, target.head.end) == (b"", False)
    assert visitor.reads == 0


@pytest.mark.parametrize(
    ("method", "parts", "head"),
    [("GET", [b""], (b"", True)), ("GET", [b"abc"], (b"abc", True)), ("POST", [b"abc"], (b"", False))],
)
async def test_http2_bodies_need_no_announcement(method: str, parts: list[bytes], head: tuple[bytes, bool]) -> None:
    target = Target(echo)
    visitor = Visitor(parts, http_version="2", method=method)
    await visit(AsgiIngress(target), visitor)

    assert (target.head.body, target.head.end) == head
    assert visitor.body == b"".join(parts)


async def test_expected_body_is_asked_for_when_the_target_reads() -> None:
    visitor = Visitor([b"abc"], method="POST", headers=[HOST, (b"expect", b"100-continue"), (b"content-length", b"3")])
    reads: list[int] = []

    async def script(stream: Stream) -> None:
        reads.append(visitor.reads)
        await echo(stream)

    target = Target(script)
    await visit(AsgiIngress(target), visitor)

    assert reads == [0]
    assert b"expect" in target.head.headers
    assert visitor.body == b"abc"


async def test_streamed_body_over_the_limit_is_413() -> None:
    target = Target(echo)
    visitor = Visitor([b"a" * 6, b"b" * 6], method="POST", headers=[HOST, (b"transfer-encoding", b"chunked")])
    await visit(AsgiIngress(target, settings=IngressSettings(max_body_bytes=10)), visitor)

    assert (visitor.status, code_of(visitor)) == (413, "too_large")


async def test_target_that_hides_the_limit_does_not_hide_it_from_the_visitor() -> None:
    async def script(stream: Stream) -> None:
        with pytest.raises(SessionError):
            await upload(stream)

    visitor = Visitor([b"a" * 20], method="POST", headers=[HOST, (b"transfer-encoding", b"chunked")])
    await visit(AsgiIngress(Target(script), settings=IngressSettings(max_body_bytes=10)), visitor)

    assert visitor.status == 413


# Responses


async def respond(*payloads: Any, **scope: Any) -> Visitor:
    async def script(stream: Stream) -> None:
        for payload in payloads:
            await stream.send(payload)

    visitor = Visitor(**scope)
    await visit(AsgiIngress(Target(script)), visitor)
    return visitor


async def test_whole_response_is_a_start_and_one_body_with_its_length() -> None:
    visitor = await respond(OK)

    assert visitor.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
        },
        {"type": "http.response.body", "body": b"hello", "more_body": False},
    ]


async def test_streamed_response_keeps_its_chunks_and_adds_no_length() -> None:
    visitor = await respond(
        HttpResponse(200, (b"set-cookie", b"a=1", b"Set-Cookie", b"b=2", b"connection", b"close")),
        BodyChunk(b"one"),
        BodyChunk(b"two"),
        BodyChunk(b"", end=True),
    )

    assert visitor.headers == [(b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    assert [(m["body"], m["more_body"]) for m in visitor.sent[1:]] == [(b"one", True), (b"two", True), (b"", False)]


@pytest.mark.parametrize(
    ("method", "status", "headers"),
    [
        ("HEAD", 200, [(b"content-length", b"5")]),
        ("GET", 204, []),
        ("GET", 304, []),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_responses_without_body_have_none(
    method: str, status: int, headers: list[tuple[bytes, bytes]], streamed: bool
) -> None:
    length = (b"content-length", b"5")
    if streamed:
        visitor = await respond(HttpResponse(status, length), BodyChunk(b"hello", end=True), method=method)
    else:
        visitor = await respond(HttpResponse(status, length, b"hello", end=True), method=method)

    assert (visitor.headers, visitor.body, visitor.complete) == (headers, b"", True)


@pytest.mark.parametrize(
    "payload",
    [
        HttpResponse(103, (), b"", end=True),
        HttpResponse(101, ()),
        HttpResponse(600, (), b"", end=True),
        HttpResponse(200, (b"content-length", b"4"), b"hello", end=True),
        HttpResponse(200, (b"content-length", b"6"), b"hello", end=True),
        HttpResponse(200, (b"content-length", b"five"), b"hello", end=True),
        HttpResponse(200, (b"content-length", b"5", b"Content-Length", b"5"), b"hello", end=True),
        HttpResponse(204, (b"content-length", b"0", b"content-length", b"9"), b"", end=True),
        HttpResponse(304, (b"content-length", b"five"), b"", end=True),
        HttpResponse(200, (b"x", b"a", b"y"), b"", end=True),
        HttpResponse(200, (b"connection", b"x", b"y"), b"", end=True),
        HttpResponse(200, (b"x", b"a\r\nset-cookie: b"), b"", end=True),
        HttpResponse(200, (b"x y", b"a"), b"", end=True),
        HttpResponse(200, (b"", b"a"), b"", end=True),
        HttpResponse(200, more=True),
        BodyChunk(b"x"),
        HttpRequest("GET"),
    ],
    ids=str,
)
async def test_malformed_answers_become_502(payload: Any) -> None:
    visitor = await respond(payload)

    assert (visitor.status, code_of(visitor)) == (502, "protocol_error")


@pytest.mark.parametrize("lengths", [(b"5", b"0"), (b"5", b"5"), (b"5,5",)], ids=str)
async def test_unclear_length_is_an_error_for_head_too(lengths: tuple[bytes, ...]) -> None:
    headers = tuple(part for length in lengths for part in (b"Content-Length", length))
    visitor = await respond(HttpResponse(200, headers, b"", end=True), method="HEAD")

    assert visitor.status == 502


@pytest.mark.parametrize(
    "wrong",
    [
        BodyChunk(b"toolong"),
        BodyChunk(b"", end=True),
        Trailers((b"x",)),
        Trailers(),
        HttpResponse(200),
        HttpRequest("GET"),
    ],
    ids=str,
)
async def test_response_that_goes_wrong_is_left_incomplete(wrong: Any) -> None:
    visitor = await respond(HttpResponse(200, (b"content-length", b"6")), BodyChunk(b"abc"), wrong)

    assert (visitor.body, visitor.complete) == (b"abc", False)


async def test_trailers_are_dropped_where_the_server_cannot_send_them() -> None:
    visitor = await respond(HttpResponse(200, (b"trailer", b"x-sum")), BodyChunk(b"abc"), Trailers((b"x-sum", b"1")))

    assert [m["type"] for m in visitor.sent] == ["http.response.start", "http.response.body", "http.response.body"]
    assert visitor.complete


async def test_trailer_without_a_value_leaves_the_response_incomplete() -> None:
    head = HttpResponse(200, (b"trailer", b"x-sum"))
    visitor = await respond(head, Trailers((b"x-sum",)), extensions={"http.response.trailers": {}})

    assert not visitor.complete


@pytest.mark.parametrize("end", [Trailers((b"x-sum", b"1")), BodyChunk(b"", end=True)], ids=str)
async def test_announced_trailers_are_sent_where_the_server_can(end: Any) -> None:
    visitor = await respond(
        HttpResponse(200, (b"trailer", b"x-sum")), BodyChunk(b"abc"), end, extensions={"http.response.trailers": {}}
    )

    assert visitor.sent[0]["trailers"] is True
    assert visitor.sent[-2:] == [
        {"type": "http.response.body", "body": b"", "more_body": False},
        {
            "type": "http.response.trailers",
            "headers": [(b"x-sum", b"1")] if type(end) is Trailers else [],
            "more_trailers": False,
        },
    ]


# Failures


async def test_failure_before_a_response_is_a_problem() -> None:
    async def script(stream: Stream) -> None:
        raise SessionError(ErrorCode.NO_CLIENT, "nobody serves this", detail="10.0.0.7")

    visitor = Visitor()
    await visit(AsgiIngress(Target(script)), visitor)

    assert (visitor.status, code_of(visitor)) == (503, "no_client")
    assert b"10.0.0.7" not in visitor.body


async def test_problem_for_head_has_no_body() -> None:
    async def script(stream: Stream) -> None:
        raise SessionError(ErrorCode.NO_CLIENT)

    visitor = Visitor(method="HEAD")
    await visit(AsgiIngress(Target(script)), visitor)

    assert (visitor.status, visitor.body, visitor.complete) == (503, b"", True)


async def test_failure_after_the_head_leaves_the_response_incomplete() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"part"))
        raise SessionError(ErrorCode.PEER_LOST)

    visitor = Visitor()
    await visit(AsgiIngress(Target(script)), visitor)

    assert (visitor.status, visitor.body, visitor.complete) == (200, b"part", False)


async def test_failure_after_the_end_changes_nothing() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(OK)
        stream.reset(SessionError(ErrorCode.INTERNAL))
        raise SessionError(ErrorCode.PEER_LOST)

    visitor = Visitor()
    await visit(AsgiIngress(Target(script)), visitor)

    assert (visitor.status, visitor.complete) == (200, True)


async def test_target_that_does_not_answer_is_internal() -> None:
    async def script(stream: Stream) -> None:
        pass

    visitor = Visitor()
    await visit(AsgiIngress(Target(script)), visitor)

    assert (visitor.status, code_of(visitor)) == (500, "internal")


async def test_unexpected_exception_is_logged_and_told_as_internal_only(caplog: pytest.LogCaptureFixture) -> None:
    async def script(stream: Stream) -> None:
        raise RuntimeError("secret")

    visitor = Visitor()
    with caplog.at_level(logging.ERROR, "tunnel.ingress"):
        await visit(AsgiIngress(Target(script)), visitor)

    assert (visitor.status, code_of(visitor)) == (500, "internal")
    assert b"secret" not in visitor.body
    assert "secret" in caplog.text


async def test_reset_is_told_once_and_the_first_wins() -> None:
    async def script(stream: Stream) -> None:
        stream.reset(SessionError(ErrorCode.UPSTREAM_TIMEOUT))
        stream.reset(SessionError(ErrorCode.INTERNAL))
        with pytest.raises(SessionError, match="upstream_timeout"):
            await stream.send(OK)

    visitor = Visitor()
    await visit(AsgiIngress(Target(script)), visitor)

    assert (visitor.status, code_of(visitor)) == (504, "upstream_timeout")


async def test_reset_wakes_a_blocked_receive() -> None:
    errors: list[str] = []

    async def script(stream: Stream) -> None:
        async def read() -> None:
            try:
                await stream.receive()
            except SessionError as error:
                errors.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            stream.reset(SessionError(ErrorCode.PEER_LOST))

    visitor = Visitor([b""], more=True, method="POST", headers=[HOST, (b"transfer-encoding", b"chunked")])
    await visit(AsgiIngress(Target(script)), visitor)

    assert errors == ["peer_lost"]
    assert code_of(visitor) == "peer_lost"


# Visitors that leave


async def leave_during(target: Target, visitor: Visitor) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit, AsgiIngress(target), visitor)
        with anyio.fail_after(DEADLINE_S):
            await target.entered.wait()
            await anyio.wait_all_tasks_blocked()
            visitor.leave()
            await target.cancelled.wait()
    assert not visitor.complete


async def test_visitor_leaving_before_the_first_byte_cancels_the_target() -> None:
    await leave_during(Target(forever), Visitor())


async def test_visitor_leaving_during_the_response_cancels_the_target() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"part"))
        await anyio.sleep_forever()

    await leave_during(Target(script), Visitor())


async def test_visitor_leaving_during_the_upload_cancels_the_target() -> None:
    visitor = Visitor([b"abc"], more=True, method="POST", headers=[HOST, (b"transfer-encoding", b"chunked")])
    await leave_during(Target(echo), visitor)


async def test_visitor_leaving_after_the_upload_cancels_the_target() -> None:
    async def script(stream: Stream) -> None:
        await upload(stream)
        await anyio.sleep_forever()

    visitor = Visitor([b"abc", b"def"], method="POST", headers=[HOST, (b"transfer-encoding", b"chunked")])
    await leave_during(Target(script), visitor)


async def test_visitor_leaving_before_a_small_body_reaches_no_target() -> None:
    target = Target(answer)
    visitor = Visitor(method="POST", headers=[HOST, (b"content-length", b"3")])
    await visitor.receive()
    visitor.leave()
    await visit(AsgiIngress(target), visitor)

    assert (target.heads, visitor.sent) == ([], [])


async def test_end_of_the_response_is_not_taken_for_a_departure() -> None:
    finished: list[bool] = []

    async def script(stream: Stream) -> None:
        await stream.send(OK)
        visitor.leave()  # what uvicorn's receive tells once the response is complete
        await anyio.wait_all_tasks_blocked()
        await anyio.lowlevel.checkpoint()
        finished.append(True)

    visitor = Visitor()
    await visit(AsgiIngress(Target(script)), visitor)

    assert finished == [True]


async def test_sender_told_of_the_departure_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    visitor = Visitor()
    visitor.send = send  # type: ignore[method-assign]
    await visit(AsgiIngress(Target(answer)), visitor)

    assert caplog.text == ""


# Other scopes


async def exchange(scope: dict[str, Any], *events: str) -> list[Any]:
    given = list(events)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": given.pop(0)}

    async def send(message: Any) -> None:
        sent.append(message)

    await AsgiIngress(Target(answer))(scope, receive, send)
    return sent


async def test_lifespan_is_answered() -> None:
    sent = await exchange({"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")

    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_unknown_scope_is_an_error() -> None:
    with pytest.raises(ValueError, match="smtp"):
        await exchange({"type": "smtp"})


@pytest.mark.parametrize(
    "module",
    [
        ingress_asgi,
        ingress_asgi_response,
        ingress_census,
        ingress_head,
        ingress_response,
        ingress_service,
        ingress_stream,
        ingress_target,
        ingress_types,
    ],
)
async def test_application_needs_no_particular_event_loop(module: Any) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert imported.isdisjoint({"asyncio", "uvicorn", "trio", "socket"})
