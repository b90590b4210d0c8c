"""One end of a tunnel without its input and output: frames come in, frames go out, sessions live in between.

The caller moves frames, tells the time and wakes handlers. Nothing here blocks, and a peer's mistake is a result, never
an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tunnel.domain.envelopes import (
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Envelope,
    Frame,
    GoAway,
    Opening,
    Ping,
    Pong,
    UnknownPayload,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import COST_OVERHEAD_BYTES, MAX_TEXT_CHARS, Limits
from tunnel.domain.mux.acknowledgement import Acknowledgement
from tunnel.domain.mux.attachments import Attachments
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.heartbeat import Heartbeat
from tunnel.domain.mux.inbox import DATA, Inbox, Received, TunnelMessage
from tunnel.domain.mux.outbound import ControlOverflow, Outbound
from tunnel.domain.mux.pacing import LinkPacing
from tunnel.domain.mux.session import Session
from tunnel.domain.mux.session_table import PeerMistake, SessionTable
from tunnel.domain.tunnel_state import TRANSITIONS, TunnelInput, TunnelState

__all__ = ["ControlOverflow", "Multiplexer", "Received", "TunnelMessage"]

_ATTACHED: Final = TunnelState.ATTACHED
_ENDED: Final = TunnelState.ENDED
# Looking up a member of an enum is slow, and every frame needs it.

_MAX_GO_AWAYS: Final = 8
"""How often a peer may say go_away, which costs a look at every session each time. Once is enough."""


class Multiplexer:
    """Sessions, windows and numbered frames of one end of one tunnel, which is attached to a link from the start.

    Args:
        opens_odd: True on the client, whose sessions have odd ids.
        local: The limits this end announced, and enforces.
        remote: The limits the peer announced, and this end respects.
        budget: The process's budget of receive windows; None for no more than the tunnel's own.
        now: Seconds, by the clock that every later ``now`` is of.
        accepts: Whether the peer may open sessions; when not, each is reset with ``forbidden`` and nothing else comes
            of it.
        keeps_idle: Whether this end keeps the tunnel without a link even when nothing goes on inside. A client's always
            does, not knowing what was on its way.
        settled: False when sessions of the peer's are its mistake until ``settle`` is called.
    """

    def __init__(
        self,
        *,
        opens_odd: bool,
        local: Limits,
        remote: Limits,
        budget: Budget | None,
        now: float,
        accepts: bool = True,
        keeps_idle: bool = False,
        settled: bool = True,
    ) -> None:
        self.state: TunnelState = _ATTACHED
        self.detached = False
        """Whether there is no link, and another may come."""
        self._acknowledgement = Acknowledgement(remote.replay_window_bytes)
        self._pacing = LinkPacing(now)
        self._heartbeat = Heartbeat(local.heartbeat_s, now)
        self._out = Outbound(
            next_id=1 if opens_odd else 2,
            max_sessions=local.max_sessions + remote.max_sessions,
            replay_window_bytes=local.replay_window_bytes,
            acknowledgement=self._acknowledgement,
            pacing=self._pacing,
        )
        self._sessions = SessionTable(
            peer_parity=0 if opens_odd else 1,
            local=local,
            remote=remote,
            budget=budget,
            outbound=self._out,
            pacing=self._pacing,
            accepts=accepts,
            settled=settled,
        )
        self._inbox = Inbox(self._sessions, self._out, local, now)
        self._attachments = Attachments(min(local.resume_s, remote.resume_s), keeps_idle=keeps_idle or opens_odd)
        self._go_aways = 0
        self.opening_cost = remote.chunk_cost
        """Largest cost of an opening; larger heads are split."""
        self._control: dict[type, Callable[[Envelope, Received, float], None]] = {
            **self._inbox.control,
            GoAway: self._on_go_away,
        }

    # -- what the application asks for

    def open(self, head: Opening, now: float, cost: int | None = None) -> Session:
        """A new session, its opening waiting to be framed.

        Args:
            head: Of a cost of at most ``opening_cost``.
            now: Seconds.
            cost: Of ``head``, where the caller knows it already.

        Raises:
            SessionError: ``refused`` when no session may be opened any more, ``overloaded`` when as many are open as
                the peer takes, the receive budget is used up or too many sessions were reset of late, ``too_large``
                when no frame holds so many header fields. Nothing was sent.
        """
        if self.state is not _ATTACHED:
            raise SessionError(ErrorCode.REFUSED, "the tunnel takes no new conversations")
        return self._sessions.open(head, head.cost if cost is None else cost, now)

    def send(self, message: TunnelMessage) -> None:
        """Queue a message of the tunnel itself. Without effect while detached: the next handshake says what counts."""
        if not self.detached:
            self._out.uncounted(message)

    def ping(self, now: float) -> None:
        """Ask the peer for a sign of life now, not at the next heartbeat. Without effect while detached."""
        if not self.detached:
            self._out.uncounted(Ping(self._heartbeat.ping(now)))

    def settle(self) -> None:
        """The configuration is settled: from now on the peer may open sessions."""
        self._sessions.settled = True

    def go_away(self, code: str) -> None:
        """Take no more sessions of the peer's, and open none; those there are finish. Idempotent."""
        sessions = self._sessions
        if sessions.last_accepted is None and self.state is not _ENDED:
            sessions.last_accepted = sessions.high_water
            self._out.go_away(GoAway(sessions.high_water, code))
            self.state = TRANSITIONS[self.state, TunnelInput.GO_AWAY]

    def close(self, code: str, message: str) -> None:
        """Queue the end of the tunnel; ``end`` follows once it was sent."""
        self._out.uncounted(Close(code, message))

    def end(self, reason: str) -> list[Session]:
        """End the tunnel here: what was never handed to a link is ``refused``, all else ``peer_lost``, once each.

        Returns:
            The sessions that this ended, whose handlers have to be told.
        """
        self.state = TRANSITIONS[self.state, TunnelInput.ENDED]
        self.detached = False
        ended = self._sessions.end(reason)
        self._out.clear()
        return ended

    # -- links come and go

    def detach(self, now: float, *, replaced: bool = False) -> str | None:
        """The link was lost, or another is about to take its place: nothing that it still brings counts.

        Sessions go on as far as they can without a link, and none can be opened.

        Args:
            now: Seconds.
            replaced: Whether another link is there to be attached; even the server then keeps a tunnel in which nothing
                is under way, because something may be on its way from the client.

        Returns:
            Why the tunnel has to end, which is the caller's to do; None when it is kept until ``expires``.
        """
        retention = self._out.retention
        # An opening of the peer's may have been lost with the link; then only the peer knows of it.
        idle = self.drained and not (self._sessions.accepts and self._sessions.last_accepted is None)
        self.state = TRANSITIONS[self.state, TunnelInput.LINK_LOST]
        self.detached = True
        self._out.detached()
        return self._attachments.lose(
            now, acked=retention.acked, waiting=bool(len(retention)), idle=idle, replaced=replaced
        )

    def attach(self, received: int, now: float) -> str | None:
        """Go on, on another link: what the peer has not received is sent again before anything new.

        Args:
            received: The highest ``seq`` that the peer says it has taken in.
            now: Seconds.

        Returns:
            What is wrong with ``received``: the tunnel has to end; None when it is attached.

        Source: docs/reference/protocol.md, resume.
        """
        retention = self._out.retention
        if not retention.acked <= received <= retention.sent:
            return f"frame {received} was said to be the last received, out of {retention.acked} to {retention.sent}"
        self.state = TRANSITIONS[self.state, TunnelInput.RESUMED]
        self.detached = False
        self._attachments.attach()
        retention.acknowledge(received)
        retention.attached()
        self._pacing.restart(now)
        self._acknowledgement.told()
        self._heartbeat.restart(now, unacknowledged=bool(len(retention)))
        self._sessions.attached(now)
        return None

    @property
    def attachment(self) -> int:
        """Number of the link attached now, from 1; 0 while detached."""
        return self._attachments.current

    @property
    def received(self) -> int:
        """The highest ``seq`` taken in: what the peer need not send again."""
        return self._acknowledgement.received

    @property
    def expires(self) -> float:
        """While detached: when the tunnel is given up."""
        return self._attachments.expires

    # -- what the application watches

    @property
    def session_count(self) -> int:
        """Sessions not finished yet, of both sides."""
        return len(self._sessions)

    @property
    def reserved_bytes(self) -> int:
        """Credit promised to the peer, all sessions together."""
        return self._sessions.reserved_bytes

    @property
    def retained_frames(self) -> int:
        """Frames sent and not acknowledged."""
        return len(self._out.retention)

    @property
    def retained_bytes(self) -> int:
        """Cost of those frames, control included."""
        retention = self._out.retention
        return retention.cost + retention.control_cost

    @property
    def queued(self) -> int:
        """Openings, messages and sessions that wait for the next frame; sessions without credit do not."""
        return self._out.queued

    @property
    def measured_round_trip_s(self) -> float | None:
        """The shortest round trip of late on the attached link; None before the first was measured."""
        return self._pacing.round_trip_s if self._pacing.known and not self.detached else None

    def sessions(self) -> tuple[Session, ...]:
        """The sessions that are not finished, of both sides; only to be looked at."""
        return self._sessions.all()

    @property
    def round_trip_s(self) -> float:
        """The shortest round trip of late."""
        return self._pacing.round_trip_s

    def accept(self, *, accepts: bool) -> None:
        """Take openings of the peer's from now on, or none; as ``accepts`` at the start. Those there go on."""
        self._sessions.accepts = accepts

    @property
    def drained(self) -> bool:
        """Whether no session is left, and all that was said of them has been acknowledged."""
        return not len(self._sessions) and self._out.idle

    # -- frames in

    def receive(self, frame: Frame, now: float, attachment: int | None = None) -> Received:
        """Take in a frame: whole, or not at all when it is a duplicate or came late.

        Args:
            frame: As it came.
            now: Seconds.
            attachment: Which link brought it, as ``attachment`` was when that was attached; None for the one attached
                now. What any other brings is dropped.
        """
        received = Received()
        current = self._attachments.current
        if self.state is _ENDED or not current or (attachment is not None and attachment != current):
            return received
        try:
            if frame.ack > self._out.retention.acked:
                self._on_ack(frame.ack, now)
            if frame.seq:
                self._take_counted(frame, received, now)
            else:
                for envelope in frame.envelopes:
                    self._take_uncounted(envelope, received, now)
            self._heartbeat.heard(now)
        except PeerMistake as mistake:
            received.violation = str(mistake)
        return received

    def _take_counted(self, frame: Frame, received: Received, now: float) -> None:
        acknowledgement = self._acknowledgement
        if frame.seq <= acknowledgement.received:
            return
        if frame.seq != acknowledgement.received + 1:
            raise PeerMistake(f"frame {frame.seq} came after {acknowledgement.received}")
        cost = 0
        for envelope in frame.envelopes:
            kind = type(envelope.payload)
            if kind in DATA:
                cost += self._inbox.data(envelope, received, now)
                continue
            handler = self._control.get(kind)
            if handler is None:
                raise PeerMistake(f"a {kind.__name__} came counted")
            cost += COST_OVERHEAD_BYTES
            handler(envelope, received, now)
        acknowledgement.took(cost, now)

    def _take_uncounted(self, envelope: Envelope, received: Received, now: float) -> None:
        match envelope.payload:
            case Ping(nonce):
                self._out.pong(Pong(nonce))
            case Pong(nonce):
                sample = self._heartbeat.pong(nonce, now)
                if sample is not None:
                    received.pong = True
                    self._pacing.round_trip(sample, now)
            case Close(code, text):
                received.closed = Close(code[:MAX_TEXT_CHARS], text[:MAX_TEXT_CHARS])
            case ConfigRejected(version, hash_, why):
                received.messages.append(ConfigRejected(version, hash_, why[:MAX_TEXT_CHARS]))
            case ConfigSyncResponse() | ConfigApplied() as message:
                received.messages.append(message)
            case UnknownPayload():
                self._inbox.unknown(envelope, received, now)
            case _:
                raise PeerMistake(f"a {type(envelope.payload).__name__} came uncounted")

    def _on_ack(self, ack: int, now: float) -> None:
        retention = self._out.retention
        if ack > retention.handed:
            raise PeerMistake(f"frame {ack} was acknowledged, {retention.handed} was the last one sent")
        before = retention.cost + retention.control_cost
        last = retention.acknowledge(ack)
        if last is not None:
            self._pacing.acknowledged(
                before - retention.cost - retention.control_cost,
                sent_at=last.sent_at,
                delivered_before=last.delivered_before,
                now=now,
            )
            self._heartbeat.progress(now, unacknowledged=retention.acked != retention.sent)

    def _on_go_away(self, envelope: Envelope, received: Received, now: float) -> None:
        payload = envelope.payload
        assert isinstance(payload, GoAway)
        self._go_aways += 1
        if self._go_aways > _MAX_GO_AWAYS:
            raise PeerMistake("go_away came again and again")
        if self.state is not _ENDED:
            self.state = TRANSITIONS[self.state, TunnelInput.GO_AWAY]
            received.going_away = True
            error = SessionError(ErrorCode.REFUSED, "the peer takes no new conversations")
            received.changed += self._sessions.refuse_above(payload.last_session_id, error)

    # -- frames out

    @property
    def framed(self) -> list[Session]:
        """Sessions of which all that waited was framed; the caller empties the list."""
        return self._out.framed

    @property
    def sendable(self) -> bool:
        """Whether ``next_frame`` may have something; False is certain."""
        return not self.detached and self._out.pending

    @property
    def worth_a_frame(self) -> bool:
        """Whether ``next_frame`` had better be called now than when everybody has spoken.

        A large chunk is worth one while there is nobody else, who would find the link full of such chunks.
        """
        return self._out.crowded or (self._out.bulky and self.session_count == 1)

    @property
    def waiting(self) -> int:
        """Sessions that have something to say with the next frame."""
        return self._out.waiting

    def next_frame(self, now: float) -> Frame | None:
        """The frame to hand to the link next, None when nothing may go now.

        Raises:
            ControlOverflow: The tunnel has to end: the peer does not acknowledge.
        """
        if self.detached:
            return None
        out = self._out
        retention = out.retention
        idle = retention.acked == retention.sent
        frame = out.next_frame(now, alone=len(self._sessions) == 1)
        if out.opened:
            for session in out.opened:
                self._sessions.opened(session)
            out.opened.clear()
        if idle and retention.acked != retention.sent:
            self._heartbeat.progress(now, unacknowledged=True)
        return frame

    def tick(self, now: float) -> str | None:
        """Time passed; why the link is dead, None while it lives. ``sendable`` may have become true.

        Without effect while detached: what could not come without a link is not late.
        """
        if self.detached:
            return None
        self._acknowledgement.tick(now)
        self._sessions.tick(now)
        dead = self._heartbeat.tick(now)
        if dead is None and self._heartbeat.ping_due:
            self._out.uncounted(Ping(self._heartbeat.ping(now)))
        return dead

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do next."""
        deadline = self._heartbeat.deadline
        for due in (self._acknowledgement.deadline, self._sessions.deadline):
            if due is not None and due < deadline:
                deadline = due
        return deadline
