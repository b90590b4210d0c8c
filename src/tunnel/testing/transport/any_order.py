"""Whatever is done to a pair, in whatever order, against a model of what must come of it.

The model of one direction is what was sent and not yet received, and how each end has ended, if it has:

1. A frame is *sure* once its ``send`` returned, and *possible* when that was cancelled.
2. A receiver gets frames in order; it may miss possible ones, never sure ones, until something ended the link.
3. After an orderly close all sure frames come, and then the end. After an abort or a break some may be lost, from some
   frame on.
4. A side that closed or aborted receives nothing more. It is told so, or how the link had ended before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Final

import anyio
import anyio.lowlevel

from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.ports.transport import Link
from tunnel.testing.transport import rules
from tunnel.testing.transport.ends import expect
from tunnel.testing.transport.frames import chunk_frame
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.programs import Action, Side, Step, programs
from tunnel.testing.transport.rules import TRANSPORT

__all__: list[str] = []

ROOM_FRAMES: Final = 2
"""Frames that every transport takes although nobody reads; with more under way a sender may have to wait."""


class _Lane:
    """The model of one direction."""

    def __init__(self) -> None:
        self.under_way: deque[tuple[int, bool]] = deque()
        """Numbers in the order sent, each with whether it is sure."""
        self.sent = 0
        self.lossy = False
        """Whether what is under way may be lost: after an abort or a break."""

    def number(self) -> int:
        self.sent += 1
        return self.sent

    def arrived(self, seq: int) -> None:
        """See that ``seq`` may come now."""
        while self.under_way:
            number, sure = self.under_way.popleft()
            if number == seq:
                return
            assert not sure, f"frame {seq} arrived instead of {number}"
        raise AssertionError(f"frame {seq} arrived, which was not under way")

    @property
    def sure(self) -> bool:
        """Whether a frame must come."""
        return any(sure for _, sure in self.under_way) and not self.lossy


class _Run:
    """One pair going through one program."""

    def __init__(self, harness: TransportHarness, client: Link, server: Link) -> None:
        self._harness = harness
        self._links = {Side.CLIENT: client, Side.SERVER: server}
        self._lanes = {Side.CLIENT: _Lane(), Side.SERVER: _Lane()}
        """By who sends."""
        self._closed: set[Side] = set()
        self._told: dict[Side, frozenset[LinkEnd]] = {}
        """What a side may be told now that the link has ended; nothing while it has not."""

    async def step(self, step: Step) -> None:
        link = self._links[step.side]
        match step.action:
            case Action.SEND:
                await self._send(step.side, step.size_bytes)
            case Action.CANCEL_SEND:
                await self._cancel_send(step)
            case Action.RECEIVE if not self._told and not self._lanes[step.side.other].sure:
                return
            case Action.RECEIVE:
                await self._receive(step.side)
            case Action.CANCEL_RECEIVE:
                await self._cancel_receive(step)
            case Action.CLOSE:
                await link.aclose()
                self._ended(step.side, LinkEnd.ENDED)
            case Action.ABORT:
                link.abort()
                self._ended(step.side, LinkEnd.BROKEN)
            case Action.SEVER:
                await self._harness.sever(self._links[Side.CLIENT])
                self._severed()

    async def drain(self) -> None:
        """Receive all that must come, and then the end if there was one."""
        for side in Side:
            while self._lanes[side.other].sure and side not in self._closed:
                await self._receive(side)
            if self._told:
                await self._receive_end(side)

    async def _send(self, side: Side, size_bytes: int) -> None:
        lane = self._lanes[side]
        while not self._told and len(lane.under_way) >= ROOM_FRAMES and lane.sure:
            await self._receive(side.other)
        if self._told:
            return await self._send_after_end(side, size_bytes)
        seq = lane.number()
        await self._links[side].send(chunk_frame(seq, size_bytes))
        lane.under_way.append((seq, True))
        return None

    async def _send_after_end(self, side: Side, size_bytes: int) -> None:
        # A side that has not closed may learn of the end late; what it sends meanwhile is lost, or comes before an end.
        lane = self._lanes[side]
        with anyio.move_on_after(self._harness.capabilities.quiet_s):
            seq = lane.number()
            lane.under_way.append((seq, False))
            try:
                await self._links[side].send(chunk_frame(seq, size_bytes))
            except LinkError as exc:
                self._expect_end(side, exc.end)
                return
            assert side not in self._closed, "a side that has closed could send"

    async def _cancel_send(self, step: Step) -> None:
        if self._told or not self._harness.capabilities.survives_cancelled_send:
            return
        lane = self._lanes[step.side]
        seq = lane.number()
        done: list[None] = []

        async def send() -> None:
            await self._links[step.side].send(chunk_frame(seq, step.size_bytes))
            done.append(None)

        await _cancelled(send, step.turns)
        lane.under_way.append((seq, bool(done)))

    async def _receive(self, side: Side) -> None:
        try:
            frame = await self._links[side].receive()
        except LinkError as exc:
            self._expect_end(side, exc.end)
            lost = [number for number, sure in self._lanes[side.other].under_way if sure]
            assert side in self._closed or self._lanes[side.other].lossy or not lost, f"{lost} lost before the end"
            self._lanes[side.other].under_way.clear()
            return
        assert side not in self._closed, "a side that has closed received a frame"
        self._lanes[side.other].arrived(frame.seq)

    async def _cancel_receive(self, step: Step) -> None:
        async def receive() -> None:
            await self._receive(step.side)

        await _cancelled(receive, step.turns)

    async def _receive_end(self, side: Side) -> None:
        while True:
            try:
                frame = await self._links[side].receive()
            except LinkError as exc:
                self._expect_end(side, exc.end)
                return
            assert side not in self._closed, "a side that has closed received a frame"
            self._lanes[side.other].arrived(frame.seq)

    def _ended(self, side: Side, peer_sees: LinkEnd) -> None:
        first = not self._told
        unread = bool(self._lanes[side.other].under_way)
        self._closed.add(side)
        # Who closes what has ended already may go on saying how.
        self._told[side] = self._told.get(side, frozenset()) | {LinkEnd.CLOSED}
        if first:
            # What a closing side leaves unread may reset the connection before its word of closing arrives.
            reset = peer_sees is LinkEnd.BROKEN or unread
            self._lanes[side].lossy = reset
            self._told[side.other] = frozenset({peer_sees, LinkEnd.BROKEN} if reset else {peer_sees})
        elif peer_sees is LinkEnd.BROKEN or side.other not in self._closed:
            self._may_break(side.other)
        self._lanes[side.other].lossy = True

    def _severed(self) -> None:
        for side in Side:
            if side not in self._told:
                self._told[side] = frozenset({LinkEnd.BROKEN})
            self._may_break(side)

    def _may_break(self, side: Side) -> None:
        self._lanes[side.other].lossy = True
        if side not in self._closed:
            self._told[side] |= {LinkEnd.BROKEN}

    def _expect_end(self, side: Side, end: LinkEnd) -> None:
        assert self._told, f"{end.value} although nothing ended the link"
        expect(end, *self._told[side], when=f"to the {side.value}")


async def _cancelled(call: Callable[[], Coroutine[None, None, None]], turns: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


@TRANSPORT.shows(rules.ANY_ORDER, drawn=programs())
async def pairs_follow_the_model(harness: TransportHarness, program: list[Step]) -> None:
    async with harness.connected_pair() as (client, server):
        run = _Run(harness, client, server)
        for step in program:
            await run.step(step)
        await run.drain()
