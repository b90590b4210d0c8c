"""The conversations that are recorded, by name."""

from __future__ import annotations

from typing import Final

import msgspec
from support import acted_upstreams as upstreams
from support import tunnel_events as events
from support.scene import Heard, Pause, Scene

from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    HttpRequest,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.limits import KIB

__all__ = ["SCENES"]

_HOST: Final = (b"host", b"app.test")
_GET: Final = HttpRequest(
    "GET", b"/a%2Fb", b"q=1", host=b"app.test", headers=(*_HOST, b"x-twice", b"1", b"x-twice", b"\xff"), end=True
)
_POST: Final = HttpRequest("POST", b"/upload", host=b"app.test", headers=_HOST)
_EXPECTING: Final = HttpRequest(
    "PUT", b"/file", host=b"app.test", headers=(*_HOST, b"expect", b"100-continue", b"content-length", b"4")
)
_SOCKET: Final = HttpRequest(
    "GET",
    b"/socket",
    host=b"app.test",
    headers=(*_HOST, b"sec-websocket-protocol", b"chat"),
    protocol="websocket",
)
_CALL: Final = GrpcFrame(
    GrpcFrameType.METADATA, "shop.v1.Orders", "Watch", metadata=(b"x-tag", b"1", b"grpc-timeout", b"5S")
)
_ENDS: Final = GrpcFrame(GrpcFrameType.CLOSE)
_SMALL: Final = {"session_window_bytes": 8 * KIB, "session_window_max_bytes": 8 * KIB}

SCENES: Final[dict[str, Scene]] = {
    "http-get": Scene("A request without a body, and its answer in one envelope.", ((_GET, ()),), upstreams.echo),
    "http-upload-trailers": Scene(
        "An upload in pieces with trailers, each echoed.",
        ((_POST, (BodyChunk(b"one"), Heard(3), BodyChunk(b"two"), Heard(6), Trailers((b"x-sum", b"6")))),),
        upstreams.echo,
    ),
    "http-early-response": Scene(
        "The upstream answers before the upload is over, and wants no more of it: stop_sending.",
        ((_POST, (BodyChunk(b"a"), Heard(9), BodyChunk(b"b"), Pause(1), BodyChunk(b"c", end=True))),),
        upstreams.refuse_early,
    ),
    "http-expect-continue": Scene(
        "A visitor that waits for 100 Continue; the body goes out when the upstream reads.",
        ((_EXPECTING, (BodyChunk(b"body", end=True),)),),
        upstreams.count,
    ),
    "http-credit": Scene(
        "An upload of many windows: each side waits for window_update.",
        ((_POST, (*(BodyChunk(bytes([65 + number]) * 1000) for number in range(20)), BodyChunk(end=True))),),
        upstreams.count,
        limits=_SMALL,
    ),
    "http-pieces": Scene(
        "A body larger than the window, said at once and echoed: split into pieces of a quarter of a window.",
        ((_POST, (BodyChunk(b"x" * 20_000, end=True),)),),
        upstreams.echo,
        limits=_SMALL,
    ),
    "http-error": Scene("The upstream cannot be reached: error before any answer.", ((_GET, ()),), upstreams.fail),
    "http-broken-off": Scene("The upstream fails in the middle of its answer.", ((_GET, ()),), upstreams.break_off),
    "http-visitor-leaves": Scene(
        "The visitor leaves: its session is reset.", ((_GET, ()),), upstreams.linger, leaves=True
    ),
    "grpc-unary-whole": Scene(
        "A unary call whose caller says all in one envelope.",
        ((GrpcFrame(GrpcFrameType.WHOLE, "shop.v1.Orders", "Get", metadata=(b"x-tag", b"1"), data=b"a question"), ()),),
        upstreams.unary,
        target="grpc://127.0.0.1:50051",
    ),
    "grpc-streamed": Scene(
        "A call with messages both ways, one of them in two frames, and a status that is not OK.",
        (
            (
                _CALL,
                (
                    GrpcFrame(GrpcFrameType.DATA, data=b"one"),
                    Heard(3),
                    GrpcFrame(GrpcFrameType.DATA, data=b"tw", more=True),
                    GrpcFrame(GrpcFrameType.DATA, data=b"o"),
                    Heard(6),
                    _ENDS,
                ),
            ),
        ),
        upstreams.chat,
        target="grpc://127.0.0.1:50051",
    ),
    "websocket": Scene(
        "Text, a fragmented binary message, and a close with code and reason.",
        (
            (
                _SOCKET,
                (
                    WebSocketFrame(WebSocketOpcode.TEXT, b"hello"),
                    Heard(5),
                    WebSocketFrame(WebSocketOpcode.BINARY, b"\x00\x01", fin=False),
                    WebSocketFrame(WebSocketOpcode.CONTINUATION, b"\x02"),
                    Heard(8),
                    WebSocketFrame(WebSocketOpcode.CLOSE, b"\x03\xe8bye"),
                ),
            ),
        ),
        upstreams.websocket,
    ),
    "tcp-half-close": Scene(
        "The visitor ends its direction; the upstream answers after that, and ends its own.",
        ((TcpOpen("app", peer="192.0.2.1"), (BodyChunk(b"shout "), BodyChunk(b"this", end=True))),),
        upstreams.half_closing,
        target="tcp://127.0.0.1:22",
    ),
    "claim": Scene(
        "A client that claims a host instead of joining a group.",
        ((msgspec.structs.replace(_GET, host=b"app.laptop.test", headers=(b"host", b"app.laptop.test")), ()),),
        upstreams.echo,
        claims=True,
    ),
    "config-push": Scene(
        "While a request is under way, a configuration that the client applies, and one that it rejects.",
        ((_POST, (BodyChunk(b"one"), Heard(3), Pause(4), BodyChunk(b"two", end=True))),),
        upstreams.echo,
        act=events.push,
    ),
    "resume": Scene(
        "The link is lost under a conversation; another resumes the tunnel, and both ends send again what was lost.",
        ((_POST, (BodyChunk(b"one"), Heard(3), Pause(1), BodyChunk(b"two"), Heard(6), BodyChunk(b"!", end=True))),),
        upstreams.echo,
        disturb=events.cut,
    ),
    "resume-answer": Scene(
        "The link is lost under an answer: what the client has said is sent again.",
        ((_GET, ()),),
        upstreams.late,
        disturb=events.cut,
    ),
    "server-goes-away": Scene(
        "The server drains: go_away, and the conversation under way finishes.",
        ((_GET, ()),),
        upstreams.slow,
        act=events.server_leaves,
    ),
    "client-goes-away": Scene(
        "The client drains: go_away, and the conversation under way finishes.",
        ((_GET, ()),),
        upstreams.slow,
        act=events.client_leaves,
    ),
}
