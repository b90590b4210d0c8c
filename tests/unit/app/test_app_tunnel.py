"""A tunnel whose links come and go at awkward moments, driven directly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from support.app_kit import Recorder, until

from tunnel.adapters.clock import AnyioClock
from tunnel.adapters.memory.link import MemoryLink, MemoryPair
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.app.link_work import TunnelClosed
from tunnel.app.session_stream import SessionStream
from tunnel.app.tunnel import Tunnel
from tunnel.app.tunnel_owner import TunnelOwner
from tunnel.domain.envelopes import BodyChunk, Close, HttpRequest
from tunnel.domain.errors import LinkEnd, LinkError, SessionError
from tunnel.domain.limits import Limits
from tunnel.domain.mux.multiplexer import Multiplexer, TunnelMessage

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", end=True)


class Owner(TunnelOwner):
    def __init__(self) -> None:
        self.told: list[str] = []

    def on_message(self, message: TunnelMessage) -> None: ...

    def on_go_away(self) -> None: ...

    def on_pong(self) -> None: ...

    def on_attached(self, *, resumed: bool) -> None:
        self.told.append("resumed" if resumed else "attached")

    def on_detached(self, reason: str) -> None:
        self.told.append("detached")

    def on_ended(self, reason: str) -> None:
        self.told.append("ended")


async def nothing() -> None:
    await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def servers_end(**limits: float) -> AsyncIterator[tuple[Tunnel, Owner, anyio.abc.TaskGroup]]:
    """A tunnel as the server has it, running, with one session under way."""
    known = Limits(**limits)  # type: ignore[arg-type]
    mux = Multiplexer(opens_odd=False, local=known, remote=known, budget=None, now=anyio.current_time())
    owner = Owner()
    tunnel = Tunnel(
        mux=mux, target=None, owner=owner, clock=AnyioClock(), signals=signals_of_running_loop(), telemetry=Recorder()
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tunnel.run)
        yield tunnel, owner, tasks
        tasks.cancel_scope.cancel()


class Gathering(MemoryLink):
    """Waits until four have something to say, however long that takes."""

    async def gather(self, waiting: Callable[[], float]) -> None:
        while waiting() < 4:  # noqa: ASYNC110 - there is nothing else to wait for
            await anyio.sleep(0.001)


@asynccontextmanager
async def attached(link: type[MemoryLink] = MemoryLink) -> AsyncIterator[tuple[Tunnel, MemoryLink]]:
    """The server's end with a link, and the client's end of that link."""
    async with servers_end() as (tunnel, owner, tasks):
        pair = MemoryPair("a")
        pair.server.__class__ = link

        async def carry() -> None:
            await tunnel.carry(pair.server, greet=nothing)

        tasks.start_soon(carry)
        await until(lambda: owner.told)
        await anyio.wait_all_tasks_blocked()
        yield tunnel, pair.client


async def test_frames_leave_before_everybody_has_spoken() -> None:
    async with attached() as (tunnel, link):
        for _ in range(60):
            tunnel.open(GET)
        # Nothing else has run yet.
        first, second = await link.receive(), await link.receive()
        rest = await link.receive()
    assert [len(frame.envelopes) for frame in (first, second, rest)] == [24, 24, 12]
    assert [frame.seq for frame in (first, second, rest)] == [1, 2, 3]
    ids = [envelope.session_id for frame in (first, second, rest) for envelope in frame.envelopes]
    assert ids == [2 * number for number in range(1, 61)]


async def test_nothing_overtakes_the_frame_in_the_writers_hand() -> None:
    async with attached() as (tunnel, link):
        for _ in range(4):
            # More than the link takes at a time: the writer is left waiting with one.
            tunnel.open(GET)
            await anyio.wait_all_tasks_blocked()
        frames = [await link.receive()]
        for _ in range(40):
            tunnel.open(GET)
        while sum(len(frame.envelopes) for frame in frames) < 44:
            frames.append(await link.receive())
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))


async def test_several_go_together_where_messages_are_dear() -> None:
    async with attached(Gathering) as (tunnel, link):
        tunnel.open(GET)
        first = await link.receive()  # nobody is waited for where nothing was sent just now
        for _ in range(3):
            tunnel.open(GET)
        with anyio.move_on_after(0.05) as waiting:
            await link.receive()
        assert waiting.cancelled_caught
        tunnel.open(GET)
        second = await link.receive()
        with anyio.fail_after(5):
            for _ in range(24):
                tunnel.open(GET)
            third = await link.receive()
    assert [len(frame.envelopes) for frame in (first, second, third)] == [1, 4, 24]


async def test_last_words_wait_for_no_company() -> None:
    async with attached(Gathering) as (tunnel, link):
        tunnel.open(GET)
        await link.receive()
        await anyio.sleep(0.01)
        tunnel.close("cancelled", "bye")
        with anyio.fail_after(5):
            frame = await link.receive()
    assert frame.envelopes[0].payload == Close("cancelled", "bye")


async def test_link_that_is_overtaken_as_its_greeting_ends_is_not_attached() -> None:
    async with servers_end() as (tunnel, owner, tasks):
        tunnel.open(GET)
        tunnel.mux.detach(anyio.current_time())
        greeted = anyio.Event()
        ends: list[LinkError] = []

        async def first() -> None:
            ends.append(await tunnel.carry(MemoryPair("a").server, greet=greeted.wait, resume=0))

        async def second() -> None:
            greeted.set()
            await tunnel.carry(MemoryPair("b").server, greet=nothing, resume=0)

        tasks.start_soon(first)
        await anyio.sleep(0.1)
        tasks.start_soon(second)
        await anyio.sleep(0.1)
        assert [end.reason for end in ends] == ["another link took its place"]
        assert owner.told == ["resumed"]
        assert tunnel.mux.attachment == 2


async def test_idle_tunnel_whose_link_is_replaced_goes_on() -> None:
    """Its client may have an opening on its way."""
    async with servers_end() as (tunnel, owner, tasks):
        tasks.start_soon(lambda: tunnel.carry(MemoryPair("a").server, greet=nothing))
        await anyio.sleep(0.1)
        tasks.start_soon(lambda: tunnel.carry(MemoryPair("b").server, greet=nothing, resume=0))
        await anyio.sleep(0.1)
        assert owner.told == ["attached", "detached", "resumed"]
        assert not tunnel.over


async def test_link_that_comes_for_a_tunnel_that_is_over_is_sent_away() -> None:
    async with servers_end() as (tunnel, owner, _tasks):
        tunnel.end("revoked")
        end = await tunnel.carry(MemoryPair("a").server, greet=nothing, resume=0)
        assert (end.end, end.reason) == (LinkEnd.CLOSED, "revoked")
        assert owner.told == ["ended"]


@pytest.mark.parametrize("greeted", [False, True])
async def test_tunnel_that_was_closed_is_over_though_nobody_could_be_told(greeted: bool) -> None:
    """The link breaks under the last words."""
    async with servers_end() as (tunnel, owner, tasks):
        tunnel.open(GET)
        pair = MemoryPair("a")
        pair.stall()
        ends: list[LinkError] = []

        async def carry() -> None:
            ends.append(await tunnel.carry(pair.server, greet=nothing if greeted else anyio.sleep_forever))

        tasks.start_soon(carry)
        await anyio.sleep(0.1)
        tunnel.close("superseded", "another instance has registered")
        if greeted:
            pair.sever()
        else:
            tunnel.mux.detach(anyio.current_time())
            assert tunnel._link is not None
            tunnel._link.abandon(LinkError(LinkEnd.BROKEN, "lost"))
        await anyio.sleep(0.1)
        assert [type(end) for end in ends] == [TunnelClosed]
        assert owner.told[-1] == "ended"
        assert tunnel.over


async def test_tunnel_without_a_link_ends_when_its_time_is_over() -> None:
    async with servers_end(resume_s=3.3) as (tunnel, owner, _tasks):
        tunnel.open(GET)
        tunnel.mux.detach(anyio.current_time())
        tunnel._news.set()
        lost_at = anyio.current_time()
        await tunnel.ended()
        assert anyio.current_time() - lost_at == pytest.approx(3.3, abs=0.01)
        assert owner.told == ["ended"]


class AnotherKind(SessionStream):
    __slots__ = ()


async def test_every_kind_of_stream_is_told_of_frames_and_of_the_end() -> None:
    async with attached() as (tunnel, _):
        stream = AnotherKind(
            tunnel.mux.open(HttpRequest("POST"), anyio.current_time()),
            clock=AnyioClock(),
            signals=signals_of_running_loop(),
            wake_writer=tunnel.wake_writer,
            on_finished=lambda: None,
        )
        with anyio.fail_after(5):
            await stream.send(BodyChunk(b"x"))
        tunnel.end("over")
        with anyio.fail_after(5), pytest.raises(SessionError):
            await stream.receive()
        stream.finish()
