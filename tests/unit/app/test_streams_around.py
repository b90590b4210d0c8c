"""Streams that stand between an entry and what answers: whoever looks through them sees the conversation itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.app_kit import FakeStream

from tunnel.adapters.clock import MonotonicClock
from tunnel.app.accounted_stream import AccountedStream
from tunnel.app.attempt import Attempt
from tunnel.app.marked_stream import MarkedStream
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.route import Route
from tunnel.ports.target import Stream

AROUND = (
    pytest.param(lambda stream: MarkedStream(stream, Route.TUNNEL), id="marked"),
    pytest.param(lambda stream: AccountedStream(stream, Attempt("http", MonotonicClock())), id="accounted"),
)


@pytest.mark.parametrize("around", AROUND)
def test_the_peer_is_seen_through_it(around: Callable[[Stream], Stream]) -> None:
    stream = FakeStream(HttpRequest("GET", b"/", host=b"a.test", end=True))
    stream.peer = "192.0.2.1:4711"
    assert around(stream).peer == "192.0.2.1:4711"


@pytest.mark.parametrize("around", AROUND)
def test_what_cut_the_conversation_off_is_seen_through_it(around: Callable[[Stream], Stream]) -> None:
    stream = FakeStream(HttpRequest("GET", b"/", host=b"a.test", end=True))
    outer = around(stream)
    stream.cut_off = SessionError(ErrorCode.CANCELLED, "the visitor left")
    assert outer.cut_off is stream.cut_off
