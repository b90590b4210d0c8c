"""What an answer says of the way it came."""

from __future__ import annotations

from tunnel.domain.envelopes import BodyChunk, GrpcFrame, GrpcFrameType, HttpResponse
from tunnel.domain.route import Route, told


def test_route_is_added_behind_what_the_upstream_said() -> None:
    answer = told(HttpResponse(200, (b"Content-Type", b"text/plain"), b"body", end=True), Route.DIRECT)
    assert answer == HttpResponse(200, (b"Content-Type", b"text/plain", b"tunnel-route", b"direct"), b"body", end=True)


def test_upstreams_own_word_is_replaced_however_it_is_spelled_and_repeated() -> None:
    said = (b"TUNNEL-Route", b"direct", b"a", b"1", b"tunnel-route", b"moon", b"A", b"2")
    answer = told(HttpResponse(200, said), Route.TUNNEL)
    assert answer == HttpResponse(200, (b"a", b"1", b"A", b"2", b"tunnel-route", b"tunnel"))


def test_call_has_it_in_its_metadata() -> None:
    first = GrpcFrame(GrpcFrameType.METADATA.value, metadata=(b"k", b"v"))
    answer = told(first, Route.TUNNEL)
    assert isinstance(answer, GrpcFrame)
    assert answer.metadata == (b"k", b"v", b"tunnel-route", b"tunnel")


def test_bytes_of_tcp_stay_as_they_are() -> None:
    chunk = BodyChunk(b"SSH-2.0")
    assert told(chunk, Route.DIRECT) is chunk
