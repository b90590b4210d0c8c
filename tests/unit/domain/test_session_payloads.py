from __future__ import annotations

import pytest

from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)


@pytest.mark.parametrize(
    ("payload", "carried_bytes"),
    [
        (HttpRequest("POST", headers=(b"a", b"b"), body=b"four"), 4),
        (HttpResponse(200, (b"a", b"b"), b"four"), 4),
        (GrpcFrame(GrpcFrameType.DATA, data=b"four", metadata=(b"a", b"b")), 4),
        (WebSocketFrame(WebSocketOpcode.BINARY, b"four"), 4),
        (WebSocketFrame(WebSocketOpcode.TEXT, b"four"), 4),
        (WebSocketFrame(WebSocketOpcode.CLOSE, b"four"), 0),
        (WebSocketFrame(WebSocketOpcode.PING, b"four"), 0),
        (BodyChunk(b"four"), 4),
        (Trailers((b"a", b"b")), 0),
        (TcpOpen("ssh"), 0),
        (HeadPart(b"four"), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_carried_are_bodies_and_messages(payload: BodyChunk, carried_bytes: int) -> None:
    assert payload.carried_bytes == carried_bytes


def test_what_an_opening_or_a_frame_does_not_say_is_nothing() -> None:
    assert GrpcFrame(GrpcFrameType.TRAILER).status == 0
    assert WebSocketFrame(WebSocketOpcode.TEXT).seq == 0
    assert not TcpOpen("ssh").end
