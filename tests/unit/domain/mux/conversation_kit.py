"""Conversations as their handlers have them: what is said, what is heard, and what both sides are told of the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, SessionPayload, Trailers
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import Limits
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer, Received
from tunnel.domain.mux.pieces import split
from tunnel.domain.mux.session import Session
from tunnel.domain.mux.session_state import SessionState
from tunnel.domain.tunnel_state import TunnelState

__all__ = ["Conversation", "Conversations", "Handler"]


def fields(number: int, size: int) -> tuple[bytes, ...]:
    return (b"n", b"v" * size) * number


@dataclass(eq=False)
class Handler:
    """One side of a conversation: what it means to say, and what it was told."""

    session: Session
    opener: bool
    plan: list[SessionPayload] = field(default_factory=list)
    answered: bool = False
    said_heads: list[SessionPayload] = field(default_factory=list)
    said: bytearray = field(default_factory=bytearray)
    heard_heads: list[SessionPayload] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    heard_end: bool = False
    errors: int = 0
    finished: bool = False
    stopped_reading: bool = False

    @property
    def may_say(self) -> bool:
        states = (SessionState.OPEN, SessionState.REMOTE_ENDED)
        return not self.finished and self.session.state in states and self.session.pending is None

    def say(self, payload: SessionPayload, limit: int) -> None:
        """Plan to send ``payload``, and remember what has to arrive."""
        self.plan += split(payload, limit)
        if isinstance(payload, BodyChunk):
            self.said += payload.data
        elif isinstance(payload, HttpResponse):
            self.said_heads.append(HttpResponse(payload.status, payload.headers))
            self.said += payload.body
        else:
            self.said_heads.append(payload)

    def hear(self, payload: SessionPayload) -> None:
        assert not self.heard_end
        if isinstance(payload, BodyChunk):
            self.heard += payload.data
        elif isinstance(payload, HttpResponse):
            self.heard_heads.append(HttpResponse(payload.status, payload.headers))
            self.heard += payload.body
        else:
            assert isinstance(payload, Trailers)
            self.heard_heads.append(payload)
        self.heard_end = payload.end

    @property
    def quiet_end(self) -> bool:
        """Whether both directions ended by themselves."""
        return self.session.state is SessionState.CLOSED and self.session.error is None


@dataclass(eq=False)
class Conversation:
    opener: int
    head: HttpRequest
    handlers: list[Handler | None]


class Conversations:
    """All conversations of a tunnel, those that are over included.

    Args:
        muxes: The client's end and the server's.
        limits: That both announced.
        budget: That both share.
        now: Tells the time.
    """

    def __init__(
        self, muxes: tuple[Multiplexer, ...], *, limits: Limits, budget: Budget, now: Callable[[], float]
    ) -> None:
        self.muxes = muxes
        self.limits = limits
        self.budget = budget
        self.now = now
        self.all: dict[bytes, Conversation] = {}
        self._names = count()

    def __len__(self) -> int:
        return len(self.all)

    def handlers(self, side: int) -> list[Handler]:
        """Handlers of ``side`` that are not finished."""
        all_handlers = (conversation.handlers[side] for conversation in self.all.values())
        return [handler for handler in all_handlers if handler is not None and not handler.finished]

    def pick(self, side: int, pick: int) -> Handler | None:
        handlers = self.handlers(side)
        return handlers[pick % len(handlers)] if handlers else None

    # -- what handlers do

    def open(self, side: int, size: int, fields_: tuple[int, int], *, whole: bool) -> None:
        mux = self.muxes[side]
        name = b"/%d" % next(self._names)
        head = HttpRequest("POST", name, headers=fields(*fields_))
        body = b"b" * size
        payload = HttpRequest("POST", name, headers=head.headers, body=body, end=True) if whole else head
        first, *rest = split(payload, mux.opening_cost)
        refusal = self.expected_refusal(side)
        try:
            session = mux.open(first, self.now())
        except SessionError as exc:
            code = exc.code
        else:
            code = None
        assert code == refusal
        if code is not None:
            return
        handler = Handler(session, opener=True, plan=rest)
        if whole:
            handler.said += body
        handlers: list[Handler | None] = [None, None]
        handlers[side] = handler
        self.all[name] = Conversation(side, head, handlers)

    def expected_refusal(self, side: int) -> ErrorCode | None:
        mux = self.muxes[side]
        # A session whose last envelope still waits counts though its handler is done.
        sessions = [*mux._sessions._sessions.values(), *mux._sessions._unopened]
        mine = sum(session.opened_here for session in sessions)
        if mux.state is not TunnelState.ATTACHED:
            return ErrorCode.REFUSED
        if mine >= self.limits.max_sessions:
            return ErrorCode.OVERLOADED
        window = self.limits.session_window_bytes
        if mux.reserved_bytes + window > self.limits.tunnel_receive_bytes:
            return ErrorCode.OVERLOADED
        return ErrorCode.OVERLOADED if self.budget.reserved_bytes + window > self.budget.limit_bytes else None

    def answer(self, handler: Handler, size: int, fields_: tuple[int, int], *, end: bool) -> None:
        if handler.opener or handler.answered:
            return
        handler.answered = True
        handler.say(HttpResponse(200, fields(*fields_), b"a" * size, end), handler.session.send_window.chunk_cost)

    def say_more(self, handler: Handler, size: int, end: str) -> None:
        """Plan ``size`` bytes of body, ended by nothing, by the ``body`` itself, or by ``trailers``."""
        session = handler.session
        if not (handler.opener or handler.answered) or (handler.plan and handler.plan[-1].end):
            return
        if session.state not in (SessionState.UNOPENED, SessionState.OPEN, SessionState.REMOTE_ENDED):
            return
        if session.pending is not None and session.pending.end:
            return
        limit = session.send_window.chunk_cost
        data = bytes((len(handler.said) + i) % 251 for i in range(min(size, 200))) * max(1, size // 200)
        if size or end == "body":
            handler.say(BodyChunk(data[:size], end=end == "body"), limit)
        if end == "trailers":
            handler.say(Trailers(fields(2, 3000)), limit)
        self.offer(handler)

    def offer(self, handler: Handler) -> bool:
        """Say what is next in the plan, if it can be; whether it was."""
        session = handler.session
        if not handler.plan or session.pending is not None or session.state is SessionState.UNOPENED:
            return False
        expected = session.error or session.stopped
        assert handler.may_say or expected is not None
        raised: Exception | None = None
        try:
            said = self._last_few(handler)
            if not said:
                session.offer(handler.plan[0])
                said = 1
        except (SessionError, SendingStopped) as exc:
            raised = exc
            handler.plan.clear()
        else:
            del handler.plan[:said]
        assert raised is expected
        return raised is None

    def _last_few(self, handler: Handler) -> int:
        """How many were said together: the last two or three, where they may be, in every other conversation."""
        plan = handler.plan
        if len(plan) not in (2, 3) or not plan[-1].end or handler.session.id % 4 > 1:
            return 0
        return len(plan) if handler.session.offer_last(tuple(plan)) else 0

    def read(self, handler: Handler) -> bool:
        """Take what is next; whether there was something."""
        session = handler.session
        readable = session.readable
        payload = raised = None
        try:
            payload = session.take(self.now())
        except SessionError as exc:
            raised = exc
        assert raised is None or raised is session.error
        assert (payload is not None or raised is not None) == readable
        if payload is not None:
            handler.hear(payload)
        return payload is not None

    def reset(self, handler: Handler) -> None:
        before = handler.session.state
        # One of its own: an error that is raised holds on to whatever was going on.
        handler.session.reset(SessionError(ErrorCode.CANCELLED, "enough", detail="of this"))
        if before is not SessionState.CLOSED:
            handler.errors += 1
        assert handler.session.state is SessionState.CLOSED

    def withdraw(self, handler: Handler) -> None:
        session = handler.session
        ahead, waiting, unopened = session.ahead, session.pending, session.state is SessionState.UNOPENED
        assert session.withdraw() == (waiting is not None)
        assert session.pending is None
        if unopened and waiting is not None:
            handler.errors += 1
            assert session.state is SessionState.CLOSED
        elif waiting is not None:
            handler.plan[:0] = (*ahead, waiting)

    def stop_receiving(self, handler: Handler) -> None:
        if handler.session.state is SessionState.UNOPENED:
            return
        if handler.session.state in (SessionState.OPEN, SessionState.LOCAL_ENDED):
            handler.stopped_reading = True
        handler.session.stop_receiving("enough")
        assert handler.session.state is not SessionState.OPEN

    def finish(self, side: int, handler: Handler) -> None:
        mux = self.muxes[side]
        session = handler.session
        before = mux.session_count
        last = session.pending
        waits = last is not None and last.end and session.state is not SessionState.UNOPENED
        session.finish()
        handler.finished = True
        if waits:
            # The slot is free once the end was framed.
            assert session.state is SessionState.REMOTE_ENDED
            assert mux.session_count == before
        else:
            assert session.state is SessionState.CLOSED
            assert session.receive_window is None
            assert mux.session_count == before - 1

    # -- what they are told

    def received(self, side: int, received: Received) -> None:
        """A frame arrived at ``side``."""
        told = {id(session) for session in received.changed}
        for handler in self.handlers(side):
            if id(handler.session) in told and handler.session.error is not None and not handler.errors:
                handler.errors += 1
        for session in received.opened:
            assert not session.opened_here
            head = session.head
            assert isinstance(head, HttpRequest)
            conversation = self.all[head.path]
            assert conversation.handlers[side] is None
            assert conversation.opener != side
            assert (head.method, head.headers) == (conversation.head.method, conversation.head.headers)
            handler = Handler(session, opener=False, heard_end=head.end)
            handler.heard += head.body
            handler.errors += session.error is not None
            conversation.handlers[side] = handler

    def end(self, side: int) -> None:
        """The tunnel is over at ``side``."""
        mux = self.muxes[side]
        open_before = [h for h in self.handlers(side) if h.session.state is not SessionState.CLOSED]
        unopened = [h for h in open_before if h.session.state is SessionState.UNOPENED]
        ended = mux.end("gone")
        assert {id(s) for s in ended} == {id(h.session) for h in open_before}
        assert len(ended) == len(open_before)
        for handler in open_before:
            handler.errors += 1
            expected = ErrorCode.REFUSED if handler in unopened else ErrorCode.PEER_LOST
            assert handler.session.error is not None
            assert handler.session.error.code is expected
        assert mux.end("gone") == []
        assert not mux.sendable

    # -- what must hold at any time

    def check_credit(self) -> None:
        """Credit is never negative."""
        for mux in self.muxes:
            for session in mux._sessions._sessions.values():
                assert session.send_window.credit >= 0
                if session.receive_window is not None:
                    assert session.receive_window.credit >= 0

    def check_budgets(self) -> None:
        """Budgets hold what the windows sum to."""
        for mux in self.muxes:
            table = mux._sessions
            sessions = [*table._sessions.values(), *table._unopened]
            windows = sum(session.receive_window.size for session in sessions if session.receive_window is not None)
            assert mux.reserved_bytes == windows <= self.limits.tunnel_receive_bytes
        assert self.budget.reserved_bytes == sum(mux.reserved_bytes for mux in self.muxes)

    def check_errors(self) -> None:
        """Every handler was told of its error, and once; it is one that honest ends can come to."""
        for side, mux in enumerate(self.muxes):
            for handler in self.handlers(side):
                error = handler.session.error
                assert handler.errors == (error is not None)
                assert error is None or error.code not in (ErrorCode.FLOW_CONTROL, ErrorCode.PROTOCOL_ERROR)
                assert error is None or error.code is not ErrorCode.PEER_LOST or mux.state is TunnelState.ENDED

    def check_heard(self) -> None:
        """Nothing arrives that was not said, and no end before all of it."""
        for conversation in self.all.values():
            one, other = conversation.handlers
            if one is None or other is None:
                continue
            for speaker, listener in ((one, other), (other, one)):
                assert speaker.said.startswith(listener.heard)
                assert speaker.said_heads[: len(listener.heard_heads)] == listener.heard_heads
                if listener.heard_end:
                    assert len(speaker.said) == len(listener.heard)
                    assert len(speaker.said_heads) == len(listener.heard_heads)

    # -- what must come of it

    def check_outcomes(self) -> None:
        """Everything was said that could be: all of it arrived, or both sides know of an end."""
        for conversation in self.all.values():
            self._check_outcome(conversation)

    def _check_outcome(self, conversation: Conversation) -> None:
        handlers = conversation.handlers
        if None in handlers:
            opener = handlers[conversation.opener]
            assert opener is not None
            # Never opened, or not taken: its opener has been told, unless it did not stay to hear or wanted no answer.
            assert opener.finished or opener.session.error is not None or (opener.stopped_reading and opener.quiet_end)
            return
        for speaker, listener in ((handlers[0], handlers[1]), (handlers[1], handlers[0])):
            assert speaker is not None
            assert listener is not None
            if speaker.finished or speaker.session.error is not None:
                assert listener.finished or listener.session.state is SessionState.CLOSED or speaker.quiet_end
            if listener.finished or listener.stopped_reading:
                continue
            if speaker.session.error is None and listener.session.error is None and speaker.session.stopped is None:
                assert listener.heard == speaker.said
                assert listener.heard_heads == speaker.said_heads
                _check_windows(speaker, listener)


def _check_windows(speaker: Handler, listener: Handler) -> None:
    window = listener.session.receive_window
    if window is not None and listener.session.state in (SessionState.OPEN, SessionState.LOCAL_ENDED):
        assert window.credit == speaker.session.send_window.credit
        assert window.credit * 2 > window.size
