"""WSGI applications in threads: real ones, so in real time, on both event loops."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.validate import validator

import anyio
import anyio.lowlevel
import pytest
from support.app_kit import FakeStream

from tunnel.adapters.asgi.application import AsgiApplication
from tunnel.adapters.asgi.upstream import AsgiUpstream
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.adapters.wsgi.bridge import WsgiBridge
from tunnel.adapters.wsgi.environ import environ_of
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, SessionPayload

DEADLINE_S = 20


def answered(
    app: Any,
    head: HttpRequest,
    body: tuple[SessionPayload, ...] = (),
    *,
    backend: str = "asyncio",
    threads: int = 4,
    act: Any = None,
) -> FakeStream:
    """What a visitor got; ``act`` is run beside, with the conversation and the scope that cutting it off cancels."""
    stream = FakeStream(head, body, room=None if act is None else 1)

    async def converse() -> None:
        application = AsgiApplication(WsgiBridge(app, threads=threads), name="site", signals=signals_of_running_loop())
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                started = anyio.Event()
                tasks.start_soon(application.serve, started.set)
                await started.wait()
                upstream = AsgiUpstream(application, release=application.aclose)
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as inner:
                        if act is not None:
                            inner.start_soon(act, stream, scope)
                        await upstream.handle(stream)
                await upstream.aclose()

    anyio.run(converse, backend=backend)
    return stream


def get(**fields: Any) -> HttpRequest:
    return HttpRequest("GET", b"/", None, b"app.test", (b"host", b"app.test"), end=True, **fields)


def post(*headers: bytes, body: bytes = b"", end: bool = False) -> HttpRequest:
    return HttpRequest("POST", b"/", None, b"app.test", (b"host", b"app.test", *headers), body, end)


def ok(start_response: Any, *headers: tuple[str, str]) -> Any:
    return start_response("200 OK", list(headers))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_small_answer_is_one_envelope(backend: str):
    def app(environ: Any, start_response: Any) -> list[bytes]:
        assert threading.current_thread() is not threading.main_thread()
        ok(start_response, ("X-A", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b"))
        return [b"hello"]

    (answer,) = answered(app, get(), backend=backend).sent
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body, answer.end) == (200, b"hello", True)
    assert answer.headers[:6] == (b"x-a", b"1", b"set-cookie", b"a", b"set-cookie", b"b")


def test_announced_length_ends_the_answer_before_the_application_does():
    closed: list[bool] = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield b"hello"

        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Parts:
        ok(start_response, ("Content-Length", "5"))
        return Parts()

    stream = answered(app, get())
    assert [each.end for each in stream.sent] == [True]
    assert closed == [True]


def test_answer_streams_part_by_part():
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ok(start_response)
        for number in range(3):
            yield b"%d" % number
            yield b""

    stream = answered(app, get())
    assert stream.body == b"012"
    assert stream.ended
    assert len([each for each in stream.sent if isinstance(each, BodyChunk) and each.data]) == 2


def test_write_sends_before_what_is_returned():
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = ok(start_response)
        write(b"first ")
        return [b"then"]

    assert answered(app, get()).body == b"first then"


def test_body_is_read_as_it_comes():
    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        parts = [body.read(2), body.readline(), body.readline(3), *body, body.read(), body.read(1)]
        ok(start_response)
        return [b"|".join(parts)]

    chunks = (BodyChunk(b"a"), BodyChunk(b"bc\nd"), BodyChunk(b"efgh\nij"), BodyChunk(b"\nk", end=True))
    assert answered(app, post(), chunks).body == b"ab|c\n|def|gh\n|ij\n|k||"


def test_upload_that_is_cut_off_never_looks_whole():
    raised: list[BaseException] = []
    reading = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read(1)
            reading.set()
            environ["wsgi.input"].read()
        except OSError as exc:
            raised.append(exc)
            raise
        return []

    async def leave(stream: FakeStream, scope: anyio.CancelScope) -> None:
        await anyio.to_thread.run_sync(reading.wait)
        scope.cancel()

    answered(app, post(), (BodyChunk(b"a"),), act=leave)
    assert len(raised) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_thread_of_a_visitor_that_leaves_comes_back(backend: str):
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x"

        def close(self) -> None:
            closed.set()

    def app(environ: Any, start_response: Any) -> Endless:
        ok(start_response)
        return Endless()

    async def leave(stream: FakeStream, scope: anyio.CancelScope) -> None:
        while not stream.sent:
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    # Closing the application waits for its threads, so this ends only if they do.
    answered(app, get(), act=leave, backend=backend, threads=1)
    assert closed.is_set()


def test_error_may_replace_a_head_that_has_not_gone():
    def app(environ: Any, start_response: Any) -> list[bytes]:
        ok(start_response)
        try:
            raise ValueError
        except ValueError:
            start_response("503 Busy", [], sys.exc_info())
        return [b"busy"]

    stream = answered(app, get())
    assert stream.answer is not None
    assert stream.answer.status == 503


def test_error_after_the_head_has_gone_is_raised():
    raised: list[BaseException] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ok(start_response)
        yield b"half"
        try:
            raise ValueError("midway")
        except ValueError:
            try:
                start_response("500 Oops", [], sys.exc_info())
            except ValueError as exc:
                raised.append(exc)
        yield b""

    answered(app, get())
    assert [str(each) for each in raised] == ["midway"]


@pytest.mark.parametrize("fault", ["raises", "no start", "twice"])
def test_application_that_fails_is_answered_with_500(fault: str):
    def app(environ: Any, start_response: Any) -> list[bytes]:
        if fault == "raises":
            raise ValueError
        if fault == "twice":
            ok(start_response)
            ok(start_response)
        return [b"x"]

    stream = answered(app, get())
    assert stream.answer is not None
    assert stream.answer.status == 500


def test_websocket_is_refused():
    stream = answered(lambda *_: [], HttpRequest("GET", b"/", headers=(), protocol="websocket"))
    assert stream.answer is not None
    assert stream.answer.status == 403


def test_environment_is_that_of_pep_3333():
    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": b"/caf%C3%A9",
        "root_path": "",
        "query_string": b"a=%20",
        "http_version": "1.1",
        "scheme": "https",
        "server": ("app.test", 443),
        "client": ("203.0.113.9", 0),
        "headers": [
            (b"content-type", b"text/plain"),
            (b"content-length", b"3"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
            (b"cookie", b"a=1"),
            (b"cookie", b"b=2"),
            (b"x_a", b"forged"),
        ],
    }
    body = object()
    environ = environ_of(scope, body)  # type: ignore[arg-type]
    environ.pop("wsgi.errors")
    assert environ == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/café".encode().decode("latin-1"),
        "QUERY_STRING": "a=%20",
        "SERVER_NAME": "app.test",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.9",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_X_A": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def test_application_is_valid_by_the_validator_of_the_standard_library():
    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(10)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    stream = answered(validator(app), post(b"content-length", b"2", body=b"hi", end=True))
    assert (stream.answer.status, stream.body) == (200, b"hi")  # type: ignore[union-attr]
