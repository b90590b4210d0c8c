"""What happens, counted and told to whoever wants to know."""

from __future__ import annotations

from typing import Final

from tunnel.app.attempt import Attempt
from tunnel.domain.claims.claim import CLAIM_RULE, EVERY_CLAIM, group_label
from tunnel.domain.direction import Direction
from tunnel.domain.envelopes import GrpcFrame, HttpRequest, Opening, TcpOpen
from tunnel.domain.error_statuses import GRPC_STATUS, HTTP_STATUS
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.kinds import PROTOCOLS
from tunnel.domain.metrics import OTHER, Counters
from tunnel.domain.refusal import Refusal
from tunnel.domain.request_ids import request_id_of
from tunnel.ports.access_log import AccessLog
from tunnel.ports.clock import Clock
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import (
    AccessLogLost,
    ClientPublished,
    ConfigurationReloaded,
    Event,
    LinkLost,
    MemberEjected,
    MemberReturned,
    RegistrationDenied,
    RequestRefused,
    SessionEnded,
    SessionFailed,
    TargetEjected,
    TargetReturned,
    Telemetry,
    TunnelDetached,
    TunnelResumed,
)

__all__ = ["Ledger"]

_VISITORS_OWN: Final = frozenset({ErrorCode.BAD_REQUEST, ErrorCode.ROUTE_NOT_FOUND, ErrorCode.TOO_LARGE})
"""Failures that tell something of the request and nothing of this server."""

_MAX_TEXT_CHARS: Final = 1024
"""Of a path, or a host, in a record: heads may be larger than whatever reads logs, and thousands of records wait."""

_GOING_AWAY: Final = 1001
_ABNORMAL: Final = 1006
_BAD_GATEWAY: Final = 1014
"""Close codes: of a WebSocket that the server ended, of one that ended without a code (RFC 6455 section 7.1.5), and of
one whose upstream failed."""

_UPSTREAM_LOST: Final = SessionError(
    ErrorCode.UPSTREAM_UNREACHABLE, "the upstream of a WebSocket was lost", detail="it was closed with 1014"
)
"""Only looked at. Even so a WebSocket ends in order, for its visitor is to have all that came before."""


class Ledger(Telemetry):
    """Keeps account of conversations and of what else happens, and passes on what it is told.

    A conversation is accounted for once, where it entered: it begins by ``begin`` and is over by ``end``.

    Args:
        telemetry: Told of everything, and of each conversation if it wants to be.
        counters: What is counted.
        clock: Time.
        direction: Which way conversations go that enter here.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        counters: Counters,
        clock: Clock,
        direction: Direction = Direction.TO_CLIENT,
    ) -> None:
        self._telemetry = telemetry
        self._counters = counters
        self._clock = clock
        self._direction = direction
        self.access_log: AccessLog | None = None
        """Where records of conversations go; replaced while conversations are under way."""

    def record(self, event: Event) -> None:
        self._count(event)
        self._telemetry.record(event)
        if type(event) is RequestRefused:
            self._refused(event)

    # -- conversations

    def begin(self, head: Opening) -> Attempt:
        """A conversation began; returns what is to be told how it goes."""
        protocol = head.protocol if type(head) is HttpRequest else "grpc" if type(head) is GrpcFrame else "tcp"
        if protocol not in PROTOCOLS:
            # Any word of the peer's; and what is counted by, and told to whoever counts, is bounded.
            protocol = OTHER
        self._counters.started.add(protocol)
        return Attempt(protocol, self._clock, self._direction)

    def end(
        self, stream: Stream, attempt: Attempt, error: SessionError | None = None, *, cancelled: bool = False
    ) -> None:
        """A conversation is over.

        Args:
            stream: The conversation.
            attempt: As ``begin`` returned it.
            error: Why it failed; None: it did not.
            cancelled: Whether nobody was told of that, since there was nobody any more.
        """
        duration_s = self._clock.now() - attempt.began_at
        head = stream.head
        protocol = attempt.protocol
        status = attempt.status
        outcome = "ok"
        if protocol == "websocket" and error is None and status == _BAD_GATEWAY:
            error = _UPSTREAM_LOST
        if error is not None:
            outcome = error.code.value
            if isinstance(error, Refusal) and attempt.answered_at is not None:
                pass  # with the status that it was answered with
            else:
                status = _status(attempt, error.code, cancelled=cancelled, cut_off=stream.cut_off is not None)
            if not cancelled and error.code not in _VISITORS_OWN and not isinstance(error, Refusal):
                self._telemetry.record(SessionFailed(outcome, error.message, error.detail, request_id_of(head)))
        group = attempt.group if attempt.rule != CLAIM_RULE else EVERY_CLAIM
        if attempt.route:
            self._counters.routes.add(attempt.route)
        if attempt.tries > 1:
            self._counters.retries.add(group, attempt.tries - 1)
        received_bytes = attempt.received_bytes + head.carried_bytes
        count = self._counters.session(protocol, group, attempt.rule, outcome, status, attempt.direction)
        count.add(duration_s, received_bytes, attempt.sent_bytes)
        log = self.access_log
        if log is not None and not log.wants():
            log = None
        if log is None and not self._telemetry.wants_sessions:
            return
        method, host, path = _asked(head)
        record = SessionEnded(
            protocol=protocol,
            direction=attempt.direction.value,
            request_id=request_id_of(head),
            peer=stream.peer,
            method=method,
            host=host,
            path=path,
            rule=attempt.rule,
            group=attempt.group,
            member=attempt.member,
            upstream=attempt.upstream or (head.upstream if type(head) is TcpOpen else ""),
            route=attempt.route,
            outcome=outcome,
            status=status,
            duration_s=duration_s,
            first_byte_s=None if attempt.answered_at is None else attempt.answered_at - attempt.began_at,
            received_bytes=received_bytes,
            sent_bytes=attempt.sent_bytes,
            tries=attempt.tries,
        )
        self._tell(record, log)

    def _refused(self, refused: RequestRefused) -> None:
        """Account for what was over before it could begin."""
        self._counters.started.add(refused.protocol)
        self._counters.session(refused.protocol, "", "", refused.code, refused.status, self._direction).add(0.0, 0, 0)
        log = self.access_log
        if log is not None and not log.wants():
            log = None
        if log is not None or self._telemetry.wants_sessions:
            record = SessionEnded(
                protocol=refused.protocol,
                direction=self._direction.value,
                request_id=refused.request_id,
                peer=refused.peer,
                method=refused.method,
                path=refused.path[:_MAX_TEXT_CHARS],
                outcome=refused.code,
                status=refused.status,
                duration_s=0.0,
            )
            self._tell(record, log)

    def _tell(self, record: SessionEnded, log: AccessLog | None) -> None:
        if self._telemetry.wants_sessions:
            self._telemetry.record(record)
        if log is not None:
            log.record(record)
            self.note_lost(log)

    def note_lost(self, log: AccessLog) -> None:
        """Tell of the records that ``log`` has lost, if it is time to."""
        lost = log.lost()
        if lost is not None:
            self._counters.access_log_lost.add("", lost[0])
            self._telemetry.record(AccessLogLost(*lost))

    # -- everything else

    def _count(self, event: Event) -> None:
        counters = self._counters
        match event:
            case ClientPublished(transport=transport):
                counters.tunnels_published.add(transport)
            case TunnelDetached():
                counters.tunnels_detached.add("")
            case TunnelResumed(transport=transport):
                counters.tunnels_resumed.add(transport)
            case LinkLost(end=end):
                counters.links_lost.add(end)
            case MemberEjected(group=name) | TargetEjected(upstream=name):
                counters.ejections.add(group_label(name))
            case MemberReturned(group=name) | TargetReturned(upstream=name):
                counters.returns.add(group_label(name))
            case RegistrationDenied(code=code):
                counters.registrations_denied.add(code)
            case ConfigurationReloaded(error=error):
                counters.reloads.add("failed" if error else "ok")
            case _:
                pass


def _status(attempt: Attempt, code: ErrorCode, *, cancelled: bool, cut_off: bool) -> int:
    """What the visitor of a conversation that failed got."""
    protocol = attempt.protocol
    if protocol == "grpc":
        return GRPC_STATUS[code]
    if protocol == "tcp":
        return 0
    if attempt.answered_at is None:
        return 0 if cancelled else HTTP_STATUS[code]
    if protocol == "websocket":
        return _ABNORMAL if cancelled else _GOING_AWAY if cut_off else _BAD_GATEWAY
    return attempt.status


def _asked(head: Opening) -> tuple[str, str, str]:
    """Method, host and path of what was asked for."""
    if type(head) is HttpRequest:
        return head.method, _text(head.host), _text(head.path)
    if type(head) is GrpcFrame:
        return "POST", "", f"/{head.service}/{head.method}"[:_MAX_TEXT_CHARS]
    return "", "", ""


def _text(raw: bytes) -> str:
    return raw[:_MAX_TEXT_CHARS].decode("ascii", "backslashreplace")
