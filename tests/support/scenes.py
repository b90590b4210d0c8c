"""The conversations that are recorded, by name."""

from __future__ import annotations

from typing import Final

import msgspec
from support import acted_upstreams as upstreams
from support import tunnel_events as events
from support.scene import Heard, Pause, Scene

from tunnel.domain.configuration import ForwardRule
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
from tunnel.domain.rules.rule import Rule

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
_LONG: Final = HttpRequest("GET", b"/long", host=b"app.test", headers=(*_HOST, b"x-long", b"a" * 2000), end=True)
_CHATS: Final = (
    GrpcFrame(GrpcFrameType.DATA, data=b"one"),
    Heard(3),
    GrpcFrame(GrpcFrameType.DATA, data=b"tw", more=True),
    GrpcFrame(GrpcFrameType.DATA, data=b"o"),
    Heard(6),
    _ENDS,
)
_TALKS: Final = (
    WebSocketFrame(WebSocketOpcode.TEXT, b"hello"),
    Heard(5),
    WebSocketFrame(WebSocketOpcode.BINARY, b"\x00\x01", fin=False),
    WebSocketFrame(WebSocketOpcode.CONTINUATION, b"\x02"),
    Heard(8),
    WebSocketFrame(WebSocketOpcode.CLOSE, b"\x03\xe8bye"),
)
_UPLOADS: Final = (BodyChunk(b"one"), Heard(3), BodyChunk(b"two"), Heard(6), Trailers((b"x-sum", b"6")))
_SHOUTS: Final = (BodyChunk(b"shout "), BodyChunk(b"this", end=True))
_FOR_WEB: Final = (ForwardRule(path_prefix="/", groups=("web",), upstream="app"),)
_TCP_FOR_WEB: Final = (ForwardRule(protocol="tcp", groups=("web",), upstream="app"),)
_SMALL: Final = {"session_window_bytes": 8 * KIB, "session_window_max_bytes": 8 * KIB}

SCENES: Final[dict[str, Scene]] = {
    "http-get": Scene("A request without a body, and its answer in one envelope.", ((_GET, ()),), upstreams.echo),
    "http-upload-trailers": Scene(
        "An upload in pieces with trailers, each echoed.",
        ((_POST, _UPLOADS),),
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
                _CHATS,
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
                _TALKS,
            ),
        ),
        upstreams.websocket,
    ),
    "tcp-half-close": Scene(
        "The visitor ends its direction; the upstream answers after that, and ends its own.",
        ((TcpOpen("app", peer="192.0.2.1"), _SHOUTS),),
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
    "http-long-heads": Scene(
        "A request and an answer whose heads are too long for one envelope: head_part.",
        ((_LONG, ()),),
        upstreams.answer_at_length,
        limits=_SMALL,
    ),
    "http-at-once": Scene(
        "Two uploads at the same time, each echoed: sessions that do not wait for each other.",
        (
            (_POST, (BodyChunk(b"one"), Heard(3), Pause(1), BodyChunk(b"two", end=True))),
            (_POST, (BodyChunk(b"three"), Heard(5), BodyChunk(b"four", end=True))),
        ),
        upstreams.echo,
        at_once=True,
    ),
    "grpc-error": Scene(
        "A call that fails before there is any message: a trailer alone, with status, message and details.",
        ((_CALL, (_ENDS,)),),
        upstreams.fail_with_details,
        target="grpc://127.0.0.1:50051",
    ),
    "websocket-refused": Scene(
        "The upstream refuses the handshake, with a status and a body.", ((_SOCKET, ()),), upstreams.refuse_socket
    ),
    "forward-http": Scene(
        "A session that the client opens: an upload in pieces with trailers, echoed by an upstream of the server's.",
        ((_POST, _UPLOADS),),
        upstreams.echo,
        forward=_FOR_WEB,
    ),
    "forward-grpc": Scene(
        "A call that the client opens.",
        ((_CALL, _CHATS),),
        upstreams.chat,
        forward=_FOR_WEB,
        target="grpc://127.0.0.1:50051",
    ),
    "forward-websocket": Scene(
        "A WebSocket that the client opens.", ((_SOCKET, _TALKS),), upstreams.websocket, forward=_FOR_WEB
    ),
    "forward-tcp": Scene(
        "A connection that the client opens to an upstream it names.",
        ((TcpOpen("app", peer="192.0.2.1"), _SHOUTS),),
        upstreams.half_closing,
        forward=_TCP_FOR_WEB,
        target="tcp://127.0.0.1:22",
    ),
    "forward-forbidden": Scene(
        "The client opens a session, and the server serves none of its group: error forbidden.",
        ((_GET, ()),),
        upstreams.echo,
        forward=(),
    ),
    "go-away-crossed": Scene(
        "The client drains while the server opens another session, which is refused: go_away says the last one taken.",
        ((_GET, ()), (_GET, ())),
        upstreams.slow,
        act=events.client_leaves,
        disturb=events.hold_up,
        at_once=True,
    ),
    "config-rejected": Scene(
        "The client rejects the first configuration: the server closes the tunnel.",
        (),
        upstreams.echo,
        settings={"allow_targets": ("10.0.0.0/8",)},
    ),
    "refused-token": Scene(
        "A client with a token that nobody has is refused: error unauthenticated.",
        (),
        upstreams.echo,
        settings={"token": "no such token"},
    ),
    "refused-group": Scene(
        "A client is refused whose token does not let it into the group: error forbidden.",
        (),
        upstreams.echo,
        settings={"group": "api"},
    ),
    "refused-version": Scene(
        "A client is refused that speaks version 2 only: error forbidden.",
        (),
        upstreams.echo,
        disguise=events.speaks_another_version,
    ),
    "superseded": Scene(
        "Another process registers under the client's name: the tunnel is closed.",
        (),
        upstreams.echo,
        act=events.supersede,
    ),
    "revoked": Scene(
        "The client's credential is revoked under a conversation: the tunnel is closed, for good.",
        ((_GET, ()),),
        upstreams.linger,
        act=events.revoke,
    ),
    "config-parts": Scene(
        "A configuration that is too large for one frame.",
        ((_GET, ()),),
        upstreams.echo,
        rules=(Rule(path="/" + "x" * 150_000, upstream="app"),),
    ),
    "resume-forgotten": Scene(
        "A client asks for a tunnel of which the server knows nothing any more, and gets another.",
        ((_GET, ()),),
        upstreams.echo,
        disguise=events.remembers_a_tunnel,
    ),
}
