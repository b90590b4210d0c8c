"""A conversation that sends: when it waits, and what cancelling it leaves."""

from __future__ import annotations

import anyio
import pytest
from support.app_kit import until
from unit.domain.mux.mux_kit import POST, SERVER, Ends, opened_in

from tunnel.adapters.clock import AnyioClock
from tunnel.adapters.signals.anyio_signal import AnyioSignal
from tunnel.app.session_stream import SessionStream
from tunnel.domain.envelopes import BodyChunk
from tunnel.domain.errors import ErrorCode, SendingStopped
from tunnel.domain.limits import KIB, Limits
from tunnel.domain.mux.session import Session

pytestmark = pytest.mark.anyio

CHUNK = BodyChunk(b"chunk")
LARGE = BodyChunk(b"x" * 5000)
"""Three envelopes on a session of an eight-kibibyte window."""
VAST = BodyChunk(b"x" * 12_000)
"""More than the window takes."""


class Sending:
    """A client's conversation whose frames go when the test says so."""

    def __init__(self) -> None:
        self.ends = Ends(Limits(session_window_bytes=8 * KIB))
        self.session = self.ends.client.open(POST, 0.0)
        self.peer: Session = opened_in(self.ends.move()[SERVER])[0]
        self.stream = SessionStream(
            self.session, clock=AnyioClock(), signals=AnyioSignal, wake_writer=lambda: None, on_finished=lambda: None
        )
        self.sent = False
        self.scope = anyio.CancelScope()

    async def send(self, payload: BodyChunk) -> None:
        with self.scope:
            await self.stream.send(payload)
            self.sent = True

    def frame(self) -> None:
        """Let what waits be framed, delivered and read."""
        self.ends.send(0)
        self.stream.framed()
        self.ends.deliver(SERVER)

    def arrived(self) -> list[object]:
        return list(iter(lambda: self.peer.take(0.0), None))


@pytest.fixture
async def sending(anyio_backend: object) -> Sending:
    return Sending()


@pytest.mark.rule("N7")
async def test_sending_returns_once_the_chunk_is_in_a_frame(sending: Sending) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sending.send, CHUNK)
        await anyio.sleep(1)
        assert not sending.sent
        sending.frame()
        await until(lambda: sending.sent, within_s=0.1)
    assert sending.arrived() == [CHUNK]


@pytest.mark.rule("N8")
async def test_sending_the_end_waits_for_nothing(sending: Sending) -> None:
    with anyio.fail_after(0.1):
        await sending.send(BodyChunk(b"last", end=True))

    assert sending.sent
    assert sending.session.pending is not None
    sending.frame()
    assert sending.arrived() == [BodyChunk(b"last", end=True)]


@pytest.mark.rule("N9")
@pytest.mark.parametrize("payload", [CHUNK, LARGE])
async def test_sending_cancelled_before_anything_was_framed_leaves_no_trace(
    sending: Sending, payload: BodyChunk
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sending.send, payload)
        await anyio.sleep(1)
        sending.scope.cancel()

    assert not sending.sent
    assert sending.session.error is None
    assert sending.ends.send(0) is None
    sending.scope = anyio.CancelScope()
    await sending.send(BodyChunk(b"other", end=True))
    sending.frame()
    assert sending.arrived() == [BodyChunk(b"other", end=True)]


@pytest.mark.rule("N10")
async def test_sending_cancelled_amid_its_pieces_resets(sending: Sending) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sending.send, VAST)
        await anyio.sleep(1)
        sending.frame()
        await anyio.sleep(1)
        assert sending.session.pending is not None
        sending.scope.cancel()

    assert sending.session.error is not None
    assert sending.session.error.code is ErrorCode.CANCELLED
    sending.frame()
    assert sending.peer.error is not None
    assert sending.peer.error.code is ErrorCode.CANCELLED


@pytest.mark.rule("N10")
async def test_sending_stopped_amid_its_pieces_says_so_and_sends_no_more(sending: Sending) -> None:
    async def send() -> None:
        with pytest.raises(SendingStopped):
            await sending.stream.send(VAST)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.sleep(1)
        sending.frame()
        assert sending.session.pending is not None
        sending.peer.stop_receiving("enough")
        sending.ends.move()
        sending.stream.changed()
    assert sending.session.pending is None


@pytest.mark.parametrize("payload", [LARGE, VAST])
async def test_end_in_pieces_waits_until_all_of_it_is_framed(sending: Sending, payload: BodyChunk) -> None:
    whole = BodyChunk(payload.data, end=True)
    arrived: list[object] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sending.send, whole)
        await anyio.sleep(1)
        for _ in range(3):
            sending.ends.move()
            sending.stream.framed()
            arrived += sending.arrived()  # and returns its credit
            await anyio.sleep(1)
        assert sending.sent
    assert b"".join(each.data for each in arrived) == whole.data  # type: ignore[attr-defined]
    assert [each.end for each in arrived] == [False] * (len(arrived) - 1) + [True]  # type: ignore[attr-defined]


# -- the last envelopes

END = BodyChunk(b"last", end=True)


@pytest.mark.rule("N8")
async def test_concluding_waits_for_nothing_and_takes_one_frame(sending: Sending) -> None:
    with anyio.fail_after(0.1):
        await sending.stream.conclude(CHUNK, END)

    sending.frame()
    assert sending.session.pending is None
    assert sending.arrived() == [CHUNK, END]


async def test_concluding_with_more_than_a_chunk_sends_one_after_the_other(sending: Sending) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sending.stream.conclude, LARGE, END)
        for _ in range(2):
            await anyio.sleep(1)
            sending.frame()

    assert b"".join(chunk.data for chunk in sending.arrived() if isinstance(chunk, BodyChunk)) == LARGE.data + END.data


async def test_concluding_waits_until_what_was_queued_before_is_framed(sending: Sending) -> None:
    sending.session.offer(CHUNK)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sending.stream.conclude, BodyChunk(b"second"), END)
        for _ in range(3):
            await anyio.sleep(1)
            sending.frame()

    assert sending.arrived() == [CHUNK, BodyChunk(b"second"), END]


async def test_concluding_is_refused_when_the_other_end_wants_no_more(sending: Sending) -> None:
    sending.peer.stop_receiving("enough")
    sending.ends.move()
    with pytest.raises(SendingStopped):
        await sending.stream.conclude(CHUNK, END)


async def test_the_end_is_received_ahead_of_asking_only_when_it_is_there() -> None:
    receiving = Sending()
    assert receiving.stream.take_end() is None
    receiving.peer.offer(END)
    receiving.ends.move()
    assert receiving.stream.take_end() == END
    assert receiving.stream.take_end() is None
