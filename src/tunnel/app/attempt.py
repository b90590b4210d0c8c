"""How far a conversation got, and what is kept to begin it again with somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tunnel.domain.direction import Direction
from tunnel.domain.envelopes import (
    GrpcFrame,
    HttpRequest,
    HttpResponse,
    Opening,
    SessionPayload,
    WebSocketFrame,
)
from tunnel.domain.errors import ErrorCode
from tunnel.domain.health import http_status
from tunnel.domain.limits import KIB
from tunnel.domain.retries import IDEMPOTENT_METHODS, may_begin_again
from tunnel.ports.clock import Clock

__all__ = ["Attempt"]

_HELD_COST: Final = 64 * KIB
"""What a request may hold back. Source: docs/reference/protocol.md, going away."""

_NO_CLOSE_CODE: Final = 1005
"""Of a WebSocket that was closed without a code. Source: RFC 6455 section 7.1.5."""


class Attempt:
    """One conversation over all tries at handling it.

    What is read from the visitor is held until somebody must have seen it: until the first envelope of the answer, or
    until credit comes back; and as long as it is little enough. While all of it is held, it can be sent again.

    It also knows what is told of the conversation when it is over.

    Args:
        protocol: ``http``, ``grpc``, ``websocket`` or ``tcp``.
        clock: Time.
        direction: Which way it goes.
    """

    __slots__ = (
        "_clock",
        "_held_cost",
        "_intact",
        "answered_at",
        "began_at",
        "direction",
        "group",
        "held",
        "member",
        "on_answer",
        "protocol",
        "received_bytes",
        "route",
        "rule",
        "sent_bytes",
        "started",
        "status",
        "tries",
        "upstream",
    )

    def __init__(self, protocol: str, clock: Clock, direction: Direction = Direction.TO_CLIENT) -> None:
        self.protocol = protocol
        self.direction = direction
        self._clock = clock
        self.began_at = clock.now()
        """The clock's time."""
        self.answered_at: float | None = None
        """When the first of the answer had been handed to the visitor."""
        self.rule = ""
        """By which its way was found; empty: by none."""
        self.group = ""
        """Which was to handle it; to the server: whose client opened it."""
        self.member = ""
        """The client that was asked last; to the server: that opened it."""
        self.upstream = ""
        """That was chosen here; empty: none."""
        self.route = ""
        """Which way it went from an entry, ``tunnel`` or ``direct``; empty elsewhere."""
        self.tries = 0
        """How many times a client was asked."""
        self.received_bytes = 0
        """From the visitor, after the head: of bodies and messages."""
        self.sent_bytes = 0
        """Handed to the visitor, likewise."""
        self.held: tuple[SessionPayload, ...] = ()
        """What was read beyond the head, in order: to be sent first by the next try."""
        self.started = False
        """Whether the last try was handed to a link."""
        self.status = 0
        """Of the answer, when it is one of HTTP and has begun; of one that ended as gRPC or WebSocket does, theirs."""
        self.on_answer: Callable[[], None] | None = None
        """Called when the answer begins."""
        self._held_cost = 0
        self._intact = True

    @property
    def verdict(self) -> int:
        """The status by which its client is judged: that of a gRPC call as the one of HTTP which says the same."""
        return http_status(self.status) if self.protocol == "grpc" else self.status

    def begin(self) -> None:
        """Another try."""
        self.started = False
        self.tries += 1

    def hold(self, payload: SessionPayload) -> None:
        """``payload`` was read from the visitor."""
        self.received_bytes += payload.carried_bytes
        if not self._intact:
            return
        self._held_cost += payload.cost
        if self._held_cost > _HELD_COST:
            self.let_go()
        else:
            self.held += (payload,)

    def let_go(self) -> None:
        """What was held cannot be sent again."""
        self._intact = False
        self.held = ()

    def answer(self, payload: SessionPayload) -> None:
        """The first envelope of the answer came."""
        self.let_go()
        if type(payload) is HttpResponse or (type(payload) is GrpcFrame and payload.end):
            self.status = payload.status
        if self.on_answer is not None:
            self.on_answer()

    def answered(self, payload: SessionPayload) -> None:
        """The first envelope of the answer was handed to the visitor."""
        self.answered_at = self._clock.now()
        self.sent_bytes += payload.carried_bytes

    def end(self, payload: SessionPayload) -> None:
        """The last envelope of the answer was handed to the visitor."""
        if type(payload) is GrpcFrame:
            self.status = payload.status
        elif type(payload) is WebSocketFrame:
            self.status = int.from_bytes(payload.payload[:2], "big") or _NO_CLOSE_CODE

    def fail(self, *, started: bool, credited: bool) -> None:
        """The try failed.

        Args:
            started: Whether it was handed to a link.
            credited: Whether the other end returned credit.
        """
        self.started = started
        if credited:
            self.let_go()

    def may_go_elsewhere(self, code: ErrorCode) -> bool:
        """Whether nobody can have acted on it, after the last try failed with ``code``: it never began there."""
        return self._intact and may_begin_again(code, started=self.started, idempotent=False)

    def may_begin_again(self, head: Opening, code: ErrorCode) -> bool:
        """Whether another member may be asked, after the last try failed with ``code``.

        Args:
            head: Of the conversation.
            code: How the last try failed.
        """
        if not self._intact:
            return False
        # An upgraded connection is not the GET that asked for it.
        idempotent = isinstance(head, HttpRequest) and head.protocol == "http" and head.method in IDEMPOTENT_METHODS
        return may_begin_again(code, started=self.started, idempotent=idempotent)
