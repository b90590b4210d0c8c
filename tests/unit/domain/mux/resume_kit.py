"""A client and a server whose links come and go: a tunnel, its handshakes, and everything that may become of them.

1. A link is two queues, one each way, and a codec of its own. When it breaks, the end of either queue is lost; what was
   before it may still arrive, at any time, also after another link has taken its place.
2. Each side learns for itself that its link is gone, or does not.
3. The client dials; its registration and the server's answer are frames on the link like any other.
4. A tunnel that is over on both sides is checked and followed by another, within the same budget.

What happened is counted, so that a test can tell whether it tried what it claims to try.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from conversation_kit import Conversations
from msgspec.structs import replace
from mux_kit import CLIENT, CONTROL, SERVER, envelope

from tunnel.adapters.grpc import codec as protobuf
from tunnel.domain import messagepack
from tunnel.domain.envelopes import Close, Envelope, Frame, Register, RegisterResponse, ResumeRequest
from tunnel.domain.identity import Principal
from tunnel.domain.limits import KIB, MAX_FRAME_BYTES, Limits
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.mux.retention import CONTROL_RESERVE_BYTES
from tunnel.domain.resumption import ResumeTicket, Resumption, Verdict
from tunnel.domain.tunnel_state import TunnelState

__all__ = ["CODECS", "IMPOSTURES", "SIDE", "Link", "World", "register"]

SIDE = ("client", "server")
OBJECTS, MESSAGEPACK, PROTOBUF = CODECS = range(3)
_CODECS: dict[int, Callable[[Frame], Frame]] = {
    OBJECTS: lambda frame: frame,
    MESSAGEPACK: lambda frame: messagepack.decode_frame(_small(messagepack.encode_frame(frame))),
    PROTOBUF: lambda frame: protobuf.decode_frame(_small(protobuf.encode_frame(frame))),
}
PRINCIPAL = Principal("laptop", groups=frozenset({"web"}))
IMPOSTURES = ("token", "principal", "client", "group", "instance")
"""What may be wrong with a request to resume."""
MAX_STEPS = 20_000


def _small(encoded: bytes) -> bytes:
    assert len(encoded) <= MAX_FRAME_BYTES
    return encoded


def register(resume: ResumeRequest | None = None, **changed: object) -> Register:
    request = {"client_id": "one", "group_id": "web", "instance_id": b"i" * 16} | changed
    return Register((1,), credential="secret", resume=resume, **request)  # type: ignore[arg-type]


@dataclass(eq=False)
class Link:
    """One link, and which attachment of either side's it is or was."""

    codec: int
    request: Register | None = None
    """The registration that was said on it."""
    wires: tuple[deque[Frame], deque[Frame]] = field(default_factory=lambda: (deque(), deque()))
    """Frames towards each side."""
    broken: bool = False
    """Nothing that is said on it from now on arrives."""
    attachments: list[int] = field(default_factory=lambda: [0, 0])
    """By which number each side knows it; 0 before it was attached there."""
    replayed: list[int] = field(default_factory=lambda: [0, 0])
    """How many frames each side has sent again on it."""

    def say(self, frame: Frame, *, to: int) -> None:
        if not self.broken:
            self.wires[to].append(_CODECS[self.codec](frame))


class FrameLog:
    """What one side framed, and what it has to hand to the link next."""

    def __init__(self) -> None:
        self.framed: dict[int, tuple[Envelope, ...]] = {}
        self.next_seq = 1

    def attached(self, received: int) -> None:
        self.next_seq = received + 1

    def handed(self, frame: Frame) -> bool:
        """A counted frame goes out; whether it is one of before. None is left out, and none ever differs."""
        assert frame.seq == self.next_seq
        self.next_seq += 1
        again = frame.seq in self.framed
        if again:
            assert self.framed[frame.seq] == frame.envelopes
        else:
            assert len(self.framed) == frame.seq - 1
            self.framed[frame.seq] = frame.envelopes
        return again


class World:
    """Both ends of a tunnel, and the links between them.

    Args:
        limits: Of both sides.
        process_bytes: Receive windows that both may promise together.
        server_resume_s: When the server keeps a tunnel for another time than ``limits`` say.
    """

    def __init__(self, limits: Limits, *, process_bytes: int, server_resume_s: float | None = None) -> None:
        self.limits = limits
        self._server_resume_s = limits.resume_s if server_resume_s is None else server_resume_s
        self.budget = Budget(process_bytes)
        self.now = 0.0
        self.seen: Counter[str] = Counter()
        """What happened, and how often."""
        self._tunnels = 0
        self.begin()

    def begin(self) -> None:
        """Another tunnel, attached on both sides."""
        limits = self.limits
        both = (limits, replace(limits, resume_s=self._server_resume_s))
        self.muxes = tuple(
            Multiplexer(
                opens_odd=side == CLIENT, local=both[side], remote=both[1 - side], budget=self.budget, now=self.now
            )
            for side in (CLIENT, SERVER)
        )
        self.talks = Conversations(self.muxes, limits=limits, budget=self.budget, now=lambda: self.now)
        self._tunnels += 1
        token = b"%032d" % self._tunnels
        self.ticket = ResumeTicket(tunnel_id=f"tunnel-{self._tunnels}", token=token, server_id="server")
        self.resumption = Resumption(token, PRINCIPAL, register())
        self.logs = (FrameLog(), FrameLog())
        link = Link(OBJECTS, attachments=[1, 1])
        self.current: list[Link | None] = [link, link]
        """The link that each side takes to be the tunnel's."""
        self.links = [link]
        """Those that may still bring something."""
        self.dialling: Link | None = None
        """On which the client waits for an answer."""
        self.greeting: Link | None = None
        """On which the server has answered, or is about to, and that it has not attached yet."""
        self._asked = 0
        """What the request to resume said to have been received on the other side."""
        self._said = False
        """Whether the server has answered on the link it is about to attach."""
        self.over = [False, False]
        self._acked = [0, 0]
        self._codec = OBJECTS

    # -- what is

    @property
    def busy(self) -> bool:
        """Whether any conversation is under way."""
        return any(mux.session_count for mux in self.muxes)

    def saw(self, event: str) -> None:
        self.seen[event] += 1

    def saw_busy(self, event: str) -> None:
        """Count what is only worth counting while conversations are under way."""
        if self.busy:
            self.seen[event] += 1

    def detached(self, side: int) -> bool:
        return self.muxes[side].detached

    # -- frames

    def send(self, side: int) -> Frame | None:
        """Let ``side`` hand its next frame to its link."""
        mux = self.muxes[side]
        out = mux._out
        was_sendable = mux.sendable
        frame = mux.next_frame(self.now)
        mux.framed.clear()
        if frame is None:
            if out.retention.again is not None and not mux.detached:
                self.saw_busy("replay held back by the pacing")
            return None
        assert was_sendable
        assert not self.over[side]
        assert not mux.detached
        assert frame.ack == mux.received
        if frame.seq:
            again = self.logs[side].handed(frame)
            retained = next(kept for kept in out.retention._frames if kept.frame.seq == frame.seq)
            alone = retained.cost == out.retention.cost or retained.cost + retained.control_cost == out.pacing.in_flight
            if retained.cost and not alone:
                assert out.pacing.in_flight - retained.control_cost <= out.pacing.limit
        else:
            again = False
            assert not any(isinstance(each.payload, CONTROL) or each.session_id for each in frame.envelopes)
        link = self.current[side]
        assert link is not None
        if again:
            link.replayed[side] += 1
            self.saw("frame sent again")
        if link.broken:
            self.saw_busy(f"{SIDE[side]} talked into a link that was gone")
        link.say(frame, to=1 - side)
        return frame

    def arriving(self, link: Link, side: int) -> bool:
        """Whether ``side`` would take a frame from ``link`` now; the server begins to when it has attached it."""
        return bool(link.wires[side]) and not (side == SERVER and link is self.greeting)

    def deliver(self, link: Link, side: int) -> None:
        """Take the oldest frame on its way to ``side`` from ``link``."""
        frame = link.wires[side].popleft()
        payload = frame.envelopes[0].payload if frame.envelopes else None
        if isinstance(payload, Register):
            self._registered(link, payload)
        elif isinstance(payload, RegisterResponse):
            self._answered(link, payload)
        else:
            self._received(link, side, frame)

    def _received(self, link: Link, side: int, frame: Frame) -> None:
        mux = self.muxes[side]
        if not link.attachments[side]:
            # Its registration was answered too late, or overtaken: nobody listens there.
            assert link is not self.dialling
            return
        late = self.current[side] is not link
        before = _facts(mux)
        received = mux.receive(frame, self.now, link.attachments[side])
        assert received.violation is None, received.violation
        if late or self.over[side]:
            assert _facts(mux) == before
            assert not [*received.opened, *received.changed, *received.messages]
            assert received.closed is None
            if late and frame.seq:
                self.saw_busy(f"late frame at the {SIDE[side]}")
                if frame.seq > mux.received and not mux.detached:
                    self.saw(f"late frame at the {SIDE[side]}, not received before")
            return
        self.talks.received(side, received)
        if received.going_away:
            self.saw("go_away received")
        if received.closed is not None:
            self.saw_busy("closed")
            self._end(side)

    # -- handshakes

    def dial(self, codec: int) -> None:
        """The client registers on a new link, and waits for nothing that it has asked before."""
        assert self.detached(CLIENT)
        self.give_up_dialling()
        link = self.dialling = Link(codec)
        link.request = register(self.ticket.next_attempt(self.muxes[CLIENT].received))
        self.links.append(link)
        self._say_register(link, link.request)

    def give_up_dialling(self) -> None:
        link, self.dialling = self.dialling, None
        if link is not None:
            self.saw_busy("waited for an answer in vain")
            link.broken = True

    def say_again(self, link: Link, codec: int) -> None:
        """What was said on ``link`` comes once more, on another."""
        assert link.request is not None
        copy = Link(codec, request=link.request)
        self.links.append(copy)
        self._say_register(copy, link.request)

    def _say_register(self, link: Link, request: Register) -> None:
        link.say(Frame((envelope(0, request),)), to=SERVER)

    def impostor(self, what: str) -> None:
        """Somebody else asks for the tunnel."""
        resume = self.ticket.next_attempt(0)
        principal = PRINCIPAL
        changed: dict[str, object] = {}
        match what:
            case "token":
                resume = ResumeRequest(resume.tunnel_id, b"guessed" * 4, 2**40, resume.received)
            case "principal":
                principal = Principal("other", groups=frozenset({"web"}))
            case "client":
                changed["client_id"] = "two"
            case "group":
                changed["group_id"] = "db"
            case "instance":
                changed["instance_id"] = b"j" * 16
        before = self.resumption.attempt
        assert self.resumption.judge(register(resume, **changed), principal) is Verdict.UNKNOWN
        assert self.resumption.attempt == before
        self.saw_busy(f"impostor: {what}")

    def _registered(self, link: Link, request: Register) -> None:
        """A registration came to the server."""
        if self.over[SERVER]:
            self._refuse(link)
            return
        match self.resumption.judge(request, PRINCIPAL):
            case Verdict.STALE:
                self.saw_busy("stale attempt")
                link.broken = True
                link.wires[CLIENT].clear()
            case Verdict.ACCEPTED:
                self._accept(link, request)
            case Verdict.UNKNOWN:
                raise AssertionError("the client's own request was not recognized")

    def _accept(self, link: Link, request: Register) -> None:
        assert request.resume is not None
        if not self.detached(SERVER):
            self.saw_busy("fenced")
            self._lost(SERVER, replaced=True)
            if self.over[SERVER]:
                self._refuse(link)
                return
        if self.greeting is not None:
            self.saw_busy("overtaken while it was answered")
        self.greeting, self._asked, self._said = link, request.resume.received, False

    def greet(self) -> None:
        """The server answers the registration it has accepted; and the next time attaches its link."""
        link = self.greeting
        assert link is not None
        if not self._said:
            self._said = True
            response = self._response(resumed=True, received=self.muxes[SERVER].received)
            link.say(Frame((envelope(0, response),)), to=CLIENT)
        else:
            self.greeting = None
            self._attach(SERVER, link, self._asked)

    def give_up_greeting(self) -> None:
        """The server finds the link gone that it is about to attach."""
        link, self.greeting = self.greeting, None
        if link is not None:
            self.saw_busy("lost while it was answered")
            link.broken = True

    def _refuse(self, link: Link) -> None:
        link.say(Frame((envelope(0, self._response(resumed=False, received=0)),)), to=CLIENT)

    def _response(self, *, resumed: bool, received: int) -> RegisterResponse:
        return RegisterResponse(self.ticket.tunnel_id, b"", "server", 1, resumed=resumed, received=received)

    def _answered(self, link: Link, response: RegisterResponse) -> None:
        """The server's answer came to the client."""
        if link is not self.dialling:
            # It has given up waiting for it.
            self.saw_busy("answer came too late")
            return
        self.dialling = None
        if response.resumed:
            self._attach(CLIENT, link, response.received)
        else:
            self.saw_busy("not resumed")
            assert self.over[SERVER]
            self._end(CLIENT)

    def _attach(self, side: int, link: Link, received: int) -> None:
        mux = self.muxes[side]
        retention = mux._out.retention
        if side == CLIENT and link.codec != self._codec:
            self.saw_busy("codec changed")
            self._codec = link.codec
        if received < retention.sent and received > retention.acked:
            self.saw("received said more than was acknowledged")
        assert mux.attach(received, self.now) is None
        self.logs[side].attached(received)
        link.attachments[side] = mux.attachment
        self.current[side] = link
        if len(retention):
            self.saw_busy(f"{SIDE[side]} attached with frames to send again")
        if mux.state is TunnelState.DRAINING:
            self.saw_busy("attached while draining")
        self.saw_busy(f"{SIDE[side]} attached")
        self.links = [each for each in self.links if any(each.wires) or each in (self.greeting, *self.current)]

    # -- losses

    def cut(self, link: Link, keep: tuple[int, int]) -> None:
        """``link`` breaks; of what is on its way to each side only the first ``keep`` frames arrive."""
        if link is self.dialling:
            if link.wires[SERVER] and not keep[SERVER]:
                self.saw_busy("register lost")
            elif link.wires[SERVER]:
                self.saw_busy("register arrives on a broken link")
            if link.wires[CLIENT] and not keep[CLIENT]:
                self.saw_busy("response lost")
            elif len(link.wires[CLIENT]) > 1 and keep[CLIENT] == 1:
                self.saw_busy("response arrives, frames lost")
        for side in (CLIENT, SERVER):
            wire = link.wires[side]
            lost = [frame for frame in list(wire)[keep[side] :] if frame.seq]
            if lost and link.attachments[1 - side]:
                self.saw_busy(f"frames towards the {SIDE[side]} lost")
            if link is self.current[side]:
                retention = self.muxes[side]._out.retention
                if retention.again is not None:
                    self.saw_busy(
                        "lost before anything was sent again" if not link.replayed[side] else "lost amid replay"
                    )
                if retention.room < 16 * KIB:
                    self.saw_busy("lost with a full replay window")
                sessions = self.muxes[side]._sessions._sessions.values()
                if any(s.pending is not None and s.pending_cost > s.send_window.credit for s in sessions):
                    self.saw_busy("lost with a window exhausted")
            while len(wire) > keep[side]:
                wire.pop()
        link.broken = True

    def notice(self, side: int) -> None:
        """``side`` finds that its link is gone, or takes it to be, and closes its half."""
        link = self.current[side]
        if self.over[side] or link is None or self.detached(side):
            return
        if self.current[1 - side] is link:
            self.saw_busy(f"{SIDE[side]} noticed first")
        link.broken = True
        self._lost(side)

    def _lost(self, side: int, *, replaced: bool = False) -> None:
        mux = self.muxes[side]
        self.current[side] = None
        reason = mux.detach(self.now, replaced=replaced)
        if reason is None:
            assert mux.expires >= self.now
            return
        if reason == "nothing was under way":
            assert side == SERVER
            assert not replaced
            assert not mux.session_count
            assert not mux.retained_frames
        elif reason != "resuming is off":
            assert "in a row" in reason
        self.saw(reason.lstrip("0123456789 "))
        self._end(side)

    def close(self, side: int) -> None:
        """``side`` says goodbye and ends the tunnel."""
        mux = self.muxes[side]
        if self.over[side]:
            return
        if not mux.detached:
            mux.close("", "enough")
            while (frame := self.send(side)) is None or not isinstance(frame.envelopes[0].payload, Close):
                assert frame is not None
        self._end(side)

    def _end(self, side: int) -> None:
        self.talks.end(side)
        self.over[side] = True
        link, self.current[side] = self.current[side], None
        if link is not None:
            link.broken = True
        if side == SERVER:
            self.give_up_greeting()
        else:
            self.give_up_dialling()

    def pass_time(self, seconds: float) -> None:
        """Time passes; both sides do what is due by then."""
        self.now += seconds
        for side, mux in enumerate(self.muxes):
            if self.over[side]:
                continue
            if not mux.detached:
                if mux.tick(self.now) is not None:
                    self.saw_busy(f"link dead by its heartbeat at the {SIDE[side]}")
                    self.notice(side)
            elif self.now >= mux.expires:
                self.saw_busy(f"expired at the {SIDE[side]}")
                if not self.over[1 - side]:
                    self.saw_busy(f"expired at the {SIDE[side]} alone")
                self._end(side)

    # -- what must hold at any time

    def check(self) -> None:
        """Everything that must hold after every step."""
        self.talks.check_credit()
        self.talks.check_budgets()
        self.talks.check_errors()
        self.talks.check_heard()
        for side in (CLIENT, SERVER):
            self._check_side(side)

    def _check_side(self, side: int) -> None:
        mux, peer = self.muxes[side], self.muxes[1 - side]
        retention, pacing = mux._out.retention, mux._out.pacing
        assert 0 <= retention.cost <= self.limits.replay_window_bytes
        assert 0 <= retention.control_cost <= CONTROL_RESERVE_BYTES
        assert mux.session_count <= 2 * self.limits.max_sessions
        if self.over[side]:
            assert mux.state is TunnelState.ENDED
            assert not mux.sendable
            return
        assert (mux.attachment == 0) == mux.detached == (self.current[side] is None)
        assert retention.acked >= self._acked[side]
        self._acked[side] = retention.acked
        if not self.over[1 - side]:
            assert retention.acked <= peer.received <= retention.sent
        if mux.detached:
            assert not mux.sendable
            assert mux.next_frame(self.now) is None
            return
        handed = [kept for kept in retention._frames if kept.frame.seq <= retention.handed]
        assert pacing.in_flight == sum(kept.cost + kept.control_cost for kept in handed)
        assert len(retention) == retention.sent - retention.acked

    # -- what must come of it

    def settle(self) -> None:
        """No more losses: go on, on one good link, until nothing is left to be said; or until the tunnel is over."""
        for _ in range(MAX_STEPS):
            if all(self.over):
                break
            if self.greeting is not None:
                self.greet()
            elif self._good:
                if self._exchange():
                    break
            else:
                self._mend()
            self.check()
        else:
            raise AssertionError("it does not come to an end")
        for side in (CLIENT, SERVER):
            for handler in self.talks.handlers(side):
                while self.talks.read(handler):
                    pass
        self.check()
        self.talks.check_outcomes()

    @property
    def _good(self) -> bool:
        """Whether both sides are attached to the same link, and it works."""
        client, server = self.current
        return client is not None and client is server and not client.broken

    def _mend(self) -> None:
        if self.over[CLIENT]:
            # Nobody asks for it any more.
            self.notice(SERVER)
            if not self.over[SERVER]:
                self.pass_time(max(0.0, self.muxes[SERVER].expires - self.now))
            return
        if self.dialling is None or self.dialling.broken:
            self.notice(CLIENT)
            if not self.over[CLIENT]:
                self.dial(MESSAGEPACK)
            return
        link = self.dialling
        for side in (SERVER, CLIENT):
            if self.arriving(link, side):
                self.deliver(link, side)
                return
        raise AssertionError("a registration was not answered")

    def _exchange(self) -> bool:
        """Everybody says and hears what there is; whether nothing is left."""
        for _ in range(3):
            moved = False
            for side in (CLIENT, SERVER):
                for handler in self.talks.handlers(side):
                    moved |= self.talks.offer(handler)
                while self.send(side) is not None:
                    moved = True
                link = self.current[side]
                while link is not None and self.arriving(link, 1 - side):
                    self.deliver(link, 1 - side)
                for handler in self.talks.handlers(1 - side):
                    while self.talks.read(handler):
                        moved = True
            self.pass_time(0.06)
            if moved or not self._good:
                return False
        return True

    def finish(self) -> None:
        """End every conversation, and see that nothing is left of any."""
        for side in (CLIENT, SERVER):
            for handler in self.talks.handlers(side):
                self.talks.finish(side, handler)
        self.settle()
        for side, mux in enumerate(self.muxes):
            assert mux.session_count == 0
            assert mux.reserved_bytes == 0
            assert mux.retained_frames == 0
            assert mux.drained or self.over[side]
            assert not mux._out._ring
            assert not mux._sessions._unopened
            assert not mux._sessions._unfinished
        assert self.budget.reserved_bytes == 0
        # All that was said is large, and would stay until the garbage is collected.
        self.talks.all.clear()
        for log in self.logs:
            log.framed.clear()

    def renew(self) -> None:
        """A tunnel that is over everywhere is checked, and followed by another."""
        if all(self.over):
            self.saw("tunnel over")
            self.settle()
            self.finish()
            self.begin()


def _facts(mux: Multiplexer) -> tuple[object, ...]:
    """Everything about one end that a frame can change."""
    retention = mux._out.retention
    return (
        mux.state,
        mux.received,
        retention.acked,
        len(retention),
        mux._out.pacing.in_flight,
        mux._heartbeat._heard,
        mux._acknowledgement._frames,
        mux._out._pong,
        mux.session_count,
        mux.reserved_bytes,
    )
