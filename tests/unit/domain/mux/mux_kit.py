"""Two multiplexers joined by an in-order link that is moved step by step, and frames written by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tunnel.domain.envelopes import (
    KIND_OF,
    Envelope,
    Error,
    Frame,
    GoAway,
    HttpRequest,
    Payload,
    StopSending,
    UnknownPayload,
    WindowUpdate,
)
from tunnel.domain.limits import MIB, Limits
from tunnel.domain.messagepack import decode_frame, encode_frame
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer, Received
from tunnel.domain.mux.pacing import MOST_ALLOWANCE_BYTES
from tunnel.domain.mux.session import Session

__all__ = ["CLIENT", "CONTROL", "GET", "POST", "SERVER", "Ends", "counted", "envelope", "multiplexer", "uncounted"]

CLIENT, SERVER = 0, 1
CONTROL = (WindowUpdate, StopSending, Error, GoAway)
GET = HttpRequest("GET", end=True)
POST = HttpRequest("POST")


def envelope(session_id: int, payload: Payload | UnknownPayload) -> Envelope:
    return Envelope(session_id, KIND_OF.get(type(payload), 99), payload)


def counted(seq: int, *content: tuple[int, Payload | UnknownPayload], ack: int = 0) -> Frame:
    return Frame(tuple(envelope(*item) for item in content), ack, seq)


def uncounted(*payloads: Payload | UnknownPayload, ack: int = 0) -> Frame:
    return Frame(tuple(envelope(0, payload) for payload in payloads), ack)


def multiplexer(
    *, opens_odd: bool = False, local: Limits | None = None, remote: Limits | None = None, budget: Budget | None = None
) -> Multiplexer:
    """One end, by default the server's, to be fed by hand; its clock starts at 0."""
    return Multiplexer(
        opens_odd=opens_odd, local=local or Limits(), remote=remote or local or Limits(), budget=budget, now=0.0
    )


def widen(mux: Multiplexer) -> None:
    """Let a mebibyte be on its way, as on a link that has delivered much."""
    mux._pacing.limit = MIB
    mux._pacing._allowance = MOST_ALLOWANCE_BYTES


class Ends:
    """A client (0) and a server (1); frames wait on the link, which is a wide one, until they are delivered."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        server_limits: Limits | None = None,
        budget: Budget | None = None,
        encoded: bool = False,
    ) -> None:
        limits = limits or Limits()
        both = (limits, server_limits or limits)
        self.now = 0.0
        self.encoded = encoded
        self.muxes = tuple(
            Multiplexer(opens_odd=side == CLIENT, local=both[side], remote=both[1 - side], budget=budget, now=0.0)
            for side in (CLIENT, SERVER)
        )
        for mux in self.muxes:
            widen(mux)
        self.wires: tuple[deque[Frame], deque[Frame]] = (deque(), deque())
        """Frames towards each side."""

    @property
    def client(self) -> Multiplexer:
        return self.muxes[CLIENT]

    @property
    def server(self) -> Multiplexer:
        return self.muxes[SERVER]

    def send(self, side: int) -> Frame | None:
        """Put the next frame of ``side`` on the link."""
        mux = self.muxes[side]
        frame = mux.next_frame(self.now)
        mux.framed.clear()
        if frame is not None:
            self.wires[1 - side].append(decode_frame(encode_frame(frame)) if self.encoded else frame)
        return frame

    def send_all(self, side: int) -> list[Frame]:
        return list(iter(lambda: self.send(side), None))

    def deliver(self, side: int) -> Received:
        """Take the oldest frame on its way to ``side`` from the link."""
        received = self.muxes[side].receive(self.wires[side].popleft(), self.now)
        assert received.violation is None
        return received

    def move(self) -> tuple[list[Received], list[Received]]:
        """Move frames both ways until none is left; what each side received."""
        received: tuple[list[Received], list[Received]] = ([], [])
        moved = True
        while moved:
            moved = False
            for side in (CLIENT, SERVER):
                moved = bool(self.send_all(side)) or moved
                while self.wires[1 - side]:
                    received[1 - side].append(self.deliver(1 - side))
        return received

    def settle(self) -> None:
        """Move frames until everything is acknowledged."""
        self.move()
        for _ in range(2):
            self.now += 0.06
            for mux in self.muxes:
                assert mux.tick(self.now) is None
            self.move()

    def open(self, head: HttpRequest, *, side: int = CLIENT) -> tuple[Session, Session]:
        """A session open at both ends: as its opener has it, and as the other end does."""
        session = self.muxes[side].open(head, self.now)
        (opened,) = opened_in(self.move()[1 - side])
        return session, opened


def opened_in(received: Iterable[Received]) -> list[Session]:
    return [session for each in received for session in each.opened]
