"""What every transport must do, as one class of tests over a harness that knows how to make links of one kind.

To put a transport under the contract, subclass both::

    class SmokeSignalHarness(TransportHarness):
        scheme = "smoke"
        capabilities = TransportCapabilities(buffered_bytes=1 << 20)

        def listener(self) -> Listener: ...
        def transport(self) -> Transport: ...
        def nobody_url(self) -> str: ...
        async def sever(self, link: Link) -> None: ...

    class TestSmokeSignals(TransportContract):
        @pytest.fixture
        def harness(self) -> TransportHarness:
            return SmokeSignalHarness()

Socket transports on asyncio get ``sever`` and ``nobody_url`` from ``support.sockets.SocketHarness``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    ConfigSyncRequest,
    ConfigSyncResponse,
    Envelope,
    Error,
    Frame,
    GrpcFrame,
    HttpRequest,
    HttpResponse,
    Payload,
    Ping,
    Register,
    RegisterResponse,
    ResumeRequest,
    Trailers,
    WebSocketFrame,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, ListenError, RegistrationRefused
from tunnel.domain.identity import PeerInfo
from tunnel.domain.limits import MAX_FRAME_BYTES
from tunnel.domain.messagepack import encode_frame
from tunnel.ports.transport import Link, LinkService, Listener, Transport

DEADLINE_S = 20.0
"""Longest any one test may take; a hang is a failure, never a wait."""

CLOSE_S = 2.0
"""An ``aclose`` must return within a second; the rest is for a busy machine."""


@dataclass(frozen=True)
class TransportCapabilities:
    """What the contract needs to know about a transport.

    Args:
        buffered_bytes: Most that a sender may hand over to a peer that does not read, what the operating system
            buffers included, before ``send`` waits.
        quiet_s: A sender that gets nothing handed over for this long is blocked.
    """

    buffered_bytes: int
    quiet_s: float = 0.3


class HeldLinks(LinkService):
    """A service that holds every link open until it is let go, and hands it to the test."""

    def __init__(self) -> None:
        self._links: deque[Link] = deque()
        self._came_in = anyio.Event()
        self._let_go = anyio.Event()

    async def proxy(self, link: Link) -> None:
        self._links.append(link)
        self._came_in.set()
        await self._let_go.wait()

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        raise RegistrationRefused(ErrorCode.UNAUTHENTICATED, "nobody may")

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        raise RegistrationRefused(ErrorCode.UNAUTHENTICATED, "nobody may")

    async def link(self) -> Link:
        """The next link that came in."""
        while not self._links:
            self._came_in = anyio.Event()
            await self._came_in.wait()
        return self._links.popleft()

    def let_go(self) -> None:
        """Return from ``proxy`` on every link."""
        self._let_go.set()


@dataclass
class Clogged:
    """A pair whose ``sender`` is blocked because ``receiver`` does not read.

    A pump keeps sending frames numbered by ``seq`` from 1 until ``enough`` is set; ``handed_over`` counts the sends
    that returned, ``end`` is what stopped it otherwise.
    """

    sender: Link
    receiver: Link
    frame_bytes: int
    handed_over: int = 0
    enough: bool = False
    end: LinkEnd | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    stopped: anyio.Event = field(default_factory=anyio.Event)

    async def pump(self) -> None:
        try:
            with self.scope:
                while not self.enough:
                    await self.sender.send(chunk_frame(self.handed_over + 1, self.frame_bytes))
                    self.handed_over += 1
        except LinkError as exc:
            self.end = exc.end
        finally:
            self.stopped.set()


class TransportHarness(ABC):
    """Makes links of one transport."""

    scheme: str
    """``PeerInfo.transport`` of its links."""
    capabilities: TransportCapabilities

    @abstractmethod
    def listener(self) -> Listener:
        """A new listener that is not bound, on an address of its own."""

    @abstractmethod
    def listener_at(self, address: str) -> Listener:
        """A new listener that is not bound, on the address another one has."""

    @abstractmethod
    def transport(self) -> Transport:
        """A new transport."""

    @abstractmethod
    def nobody_url(self) -> str:
        """A URL at which nobody listens."""

    @abstractmethod
    async def sever(self, link: Link) -> None:
        """Break the connection under a link of ``connected_pair``, as a failing network does."""

    def url(self, listener: Listener) -> str:
        """Where clients reach a bound listener."""
        return f"{self.scheme}://{listener.address}"

    async def connect(self, listener: Listener) -> Link:
        return await self.transport().connect(self.url(listener), timeout_s=DEADLINE_S / 2)

    @asynccontextmanager
    async def serve(self, service: LinkService) -> AsyncIterator[Listener]:
        """A listener that accepts, stopped at the end."""
        listener = self.listener()
        listener.bind()
        started = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, service, started.set)
            try:
                await started.wait()
                yield listener
            finally:
                listener.stop()

    @asynccontextmanager
    async def connected_pair(self) -> AsyncIterator[tuple[Link, Link]]:
        """Both ends of one link: the client's and the server's."""
        held = HeldLinks()
        with anyio.fail_after(DEADLINE_S):
            async with self.serve(held) as listener:
                client = await self.connect(listener)
                try:
                    yield client, await held.link()
                finally:
                    client.abort()

    @asynccontextmanager
    async def clogged_pair(self, *, from_server: bool = False, frame_bytes: int = 64 * 1024) -> AsyncIterator[Clogged]:
        """A pair whose one side cannot send any more, because the other does not read."""
        async with self.connected_pair() as (client, server), anyio.create_task_group() as tasks:
            sender, receiver = (server, client) if from_server else (client, server)
            clogged = Clogged(sender, receiver, frame_bytes)
            tasks.start_soon(clogged.pump)
            await self._blocked(clogged)
            try:
                yield clogged
            finally:
                clogged.scope.cancel()

    async def _blocked(self, clogged: Clogged) -> None:
        # Nothing but quiet shows that a sender is blocked.
        before = -1
        while before != clogged.handed_over:
            before = clogged.handed_over
            await anyio.sleep(self.capabilities.quiet_s)
        assert not clogged.stopped.is_set(), clogged.end


def chunk_frame(seq: int, size_bytes: int = 10) -> Frame:
    payload = BodyChunk(seq.to_bytes(8, "big") * (size_bytes // 8 or 1))
    return Frame((Envelope(1, KIND_OF[BodyChunk], payload),), seq=seq)


def largest_frame(*, seq: int = 1) -> Frame:
    """A frame of exactly ``MAX_FRAME_BYTES`` as MessagePack."""

    def of(body_bytes: int) -> Frame:
        return Frame((Envelope(1, KIND_OF[BodyChunk], BodyChunk(bytes(body_bytes))),), seq=seq)

    overhead_bytes = len(encode_frame(of(200_000))) - 200_000
    frame = of(MAX_FRAME_BYTES - overhead_bytes)
    assert len(encode_frame(frame)) == MAX_FRAME_BYTES
    return frame


def varied_frame(seq: int) -> Frame:
    resume = ResumeRequest("tunnel", b"\x00token", 3, 2**64 - 1)
    payloads: tuple[Payload, ...] = (
        HttpRequest(
            "GET", b"/a%2fb", b"q=1", b"host.test", (b"set-cookie", b"a", b"set-cookie", b"\xff"), b"body", True
        ),
        HttpResponse(200, (b"x", b"y"), b"answer"),
        GrpcFrame(1, "pkg.Service", "Method", (b"k-bin", b"\x00")),
        WebSocketFrame(2, b"\x00\x01"),
        Trailers((b"grpc-status", b"0")),
        Error("refused", "no", "détail"),
        WindowUpdate(65_536),
        Register((1,), "client", "group", b"\x01" * 16, "credential", resume=resume),
        Ping(7),
    )
    envelopes = (Envelope(number, KIND_OF[type(payload)], payload) for number, payload in enumerate(payloads))
    return Frame(tuple(envelopes), ack=2**64 - 1, seq=seq)


async def end_of(call: Callable[[], object]) -> LinkEnd:
    """How a call that must fail did."""
    with pytest.raises(LinkError) as caught:
        await call()  # type: ignore[misc]
    assert caught.value.reason
    return caught.value.end


async def receive_until_end(link: Link) -> tuple[list[Frame], LinkEnd]:
    frames: list[Frame] = []
    while True:
        try:
            frames.append(await link.receive())
        except LinkError as exc:
            return frames, exc.end


async def send_until_end(link: Link) -> LinkEnd:
    while True:
        try:
            await link.send(chunk_frame(1))
        except LinkError as exc:
            return exc.end
        await anyio.lowlevel.checkpoint()


class TransportContract:
    """The tests. Subclasses give a ``harness`` fixture, and may narrow ``anyio_backend``."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def harness(self) -> TransportHarness:
        raise NotImplementedError

    @pytest.fixture(params=[False, True], ids=["from-client", "from-server"])
    def from_server(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param)

    # Frames

    @pytest.mark.rule("W1")
    async def test_frames_arrive_whole_and_in_order(self, harness: TransportHarness, from_server: bool) -> None:
        sizes = (1, 100, 5_000, 70_000, 1, 200_000)
        frames = [chunk_frame(seq, sizes[seq % len(sizes)]) for seq in range(1, 301)]
        async with harness.connected_pair() as pair, anyio.create_task_group() as tasks:
            sender, receiver = reversed(pair) if from_server else pair

            async def send_all() -> None:
                for frame in frames:
                    await sender.send(frame)

            tasks.start_soon(send_all)
            assert [await receiver.receive() for _ in frames] == frames

    @pytest.mark.rule("W1")
    async def test_both_directions_run_at_once(self, harness: TransportHarness) -> None:
        frames = [chunk_frame(seq, 60_000) for seq in range(1, 201)]
        received: dict[int, list[Frame]] = {}

        async def send_all(link: Link) -> None:
            for frame in frames:
                await link.send(frame)

        async def receive_all(index: int, link: Link) -> None:
            received[index] = [await link.receive() for _ in frames]

        async with harness.connected_pair() as pair, anyio.create_task_group() as tasks:
            for index, link in enumerate(pair):
                tasks.start_soon(send_all, link)
                tasks.start_soon(receive_all, index, link)
        assert received == {0: frames, 1: frames}

    @pytest.mark.rule("W1")
    async def test_frames_pushed_and_sent_arrive_in_one_order(
        self, harness: TransportHarness, from_server: bool
    ) -> None:
        frames = [chunk_frame(seq, 20_000) for seq in range(1, 201)]
        pushed = 0
        async with harness.connected_pair() as pair, anyio.create_task_group() as tasks:
            sender, receiver = reversed(pair) if from_server else pair

            async def send_all() -> None:
                nonlocal pushed
                for frame in frames:
                    if frame.seq % 3 and sender.ready:
                        sender.push(frame)
                        pushed += 1
                    else:
                        await sender.send(frame)

            tasks.start_soon(send_all)
            assert [await receiver.receive() for _ in frames] == frames
        assert pushed

    async def test_every_field_of_a_frame_arrives(self, harness: TransportHarness, from_server: bool) -> None:
        async with harness.connected_pair() as pair:
            sender, receiver = reversed(pair) if from_server else pair
            await sender.send(varied_frame(2**64 - 1))
            assert await receiver.receive() == varied_frame(2**64 - 1)

    async def test_empty_frame_arrives(self, harness: TransportHarness, from_server: bool) -> None:
        async with harness.connected_pair() as pair:
            sender, receiver = reversed(pair) if from_server else pair
            await sender.send(Frame(()))
            await sender.send(Frame((), ack=5))
            assert await receiver.receive() == Frame(())
            assert await receiver.receive() == Frame((), ack=5)

    async def test_largest_frame_arrives(self, harness: TransportHarness, from_server: bool) -> None:
        frame = largest_frame()
        async with harness.connected_pair() as pair, anyio.create_task_group() as tasks:
            sender, receiver = reversed(pair) if from_server else pair
            tasks.start_soon(sender.send, frame)
            assert await receiver.receive() == frame

    # Ends

    async def test_nothing_is_lost_before_an_orderly_end(self, harness: TransportHarness, from_server: bool) -> None:
        frames = [chunk_frame(seq, 1000) for seq in range(1, 51)]
        async with harness.connected_pair() as pair, anyio.create_task_group() as tasks:
            sender, receiver = reversed(pair) if from_server else pair

            async def send_all_and_close() -> None:
                for frame in frames:
                    await sender.send(frame)
                await sender.aclose()

            tasks.start_soon(send_all_and_close)
            assert await receive_until_end(receiver) == (frames, LinkEnd.ENDED)
            assert await end_of(receiver.receive) is LinkEnd.ENDED
            assert await send_until_end(receiver) is LinkEnd.ENDED

    async def test_frames_are_delivered_although_sending_has_failed(self, harness: TransportHarness) -> None:
        async with harness.connected_pair() as (client, server), anyio.create_task_group() as tasks:
            await client.send(chunk_frame(1))
            await client.send(chunk_frame(2))
            tasks.start_soon(client.aclose)
            assert await send_until_end(server) is LinkEnd.ENDED
            assert await receive_until_end(server) == ([chunk_frame(1), chunk_frame(2)], LinkEnd.ENDED)

    async def test_nothing_works_after_close(self, harness: TransportHarness, from_server: bool) -> None:
        async with harness.connected_pair() as pair:
            closer = pair[from_server]
            await closer.aclose()
            assert await end_of(closer.receive) is LinkEnd.CLOSED
            assert await end_of(lambda: closer.send(chunk_frame(1))) is LinkEnd.CLOSED

    async def test_close_is_idempotent(self, harness: TransportHarness, from_server: bool) -> None:
        async with harness.connected_pair() as pair:
            closer, other = pair[from_server], pair[not from_server]
            with anyio.fail_after(CLOSE_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(closer.aclose)
                    tasks.start_soon(closer.aclose)
                await closer.aclose()
                closer.abort()
                await other.aclose()

    async def test_close_wakes_both_receivers(self, harness: TransportHarness, from_server: bool) -> None:
        ends: dict[str, LinkEnd] = {}

        async def receive(side: str, link: Link) -> None:
            ends[side] = await end_of(link.receive)

        async with harness.connected_pair() as pair:
            closer, other = pair[from_server], pair[not from_server]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive, "closer", closer)
                tasks.start_soon(receive, "other", other)
                await anyio.wait_all_tasks_blocked()
                with anyio.fail_after(CLOSE_S):
                    await closer.aclose()
        assert ends == {"closer": LinkEnd.CLOSED, "other": LinkEnd.ENDED}

    async def test_abort_is_broken_to_the_peer(self, harness: TransportHarness, from_server: bool) -> None:
        async with harness.connected_pair() as pair:
            aborter, other = pair[from_server], pair[not from_server]
            aborter.abort()
            aborter.abort()
            assert await end_of(aborter.receive) is LinkEnd.CLOSED
            assert await end_of(lambda: aborter.send(chunk_frame(1))) is LinkEnd.CLOSED
            assert await end_of(other.receive) is LinkEnd.BROKEN
            assert await end_of(other.receive) is LinkEnd.BROKEN
            assert await send_until_end(other) is LinkEnd.BROKEN
            await aborter.aclose()

    @pytest.mark.rule("L2")
    async def test_severed_link_is_broken_to_both(self, harness: TransportHarness) -> None:
        ends: list[LinkEnd] = []

        async def receive(link: Link) -> None:
            ends.append(await end_of(link.receive))

        async with harness.connected_pair() as pair:
            async with anyio.create_task_group() as tasks:
                for link in pair:
                    tasks.start_soon(receive, link)
                await anyio.wait_all_tasks_blocked()
                await harness.sever(pair[0])
            assert ends == [LinkEnd.BROKEN, LinkEnd.BROKEN]
            for link in pair:
                assert await send_until_end(link) is LinkEnd.BROKEN
                assert await end_of(link.receive) is LinkEnd.BROKEN

    async def test_close_after_a_break_returns(self, harness: TransportHarness) -> None:
        async with harness.connected_pair() as pair:
            await harness.sever(pair[0])
            with anyio.fail_after(CLOSE_S):
                for link in pair:
                    await link.aclose()

    # Backpressure

    async def test_sender_waits_for_a_peer_that_does_not_read(
        self, harness: TransportHarness, from_server: bool
    ) -> None:
        async with harness.clogged_pair(from_server=from_server) as clogged:
            bytes_in_flight = clogged.handed_over * clogged.frame_bytes
            assert bytes_in_flight <= harness.capabilities.buffered_bytes
            for seq in range(1, clogged.handed_over + 50):
                assert (await clogged.receiver.receive()).seq == seq
            assert not clogged.stopped.is_set()

    async def test_link_whose_peer_does_not_read_stops_being_ready_within_bounds(
        self, harness: TransportHarness, from_server: bool
    ) -> None:
        async with harness.connected_pair() as pair:
            sender, receiver = reversed(pair) if from_server else pair
            pushed = quiet = 0
            with anyio.fail_after(DEADLINE_S):
                # The transport's own tasks need their turns, and moving bytes needs the system's.
                while quiet < 50:
                    if sender.ready:
                        pushed += 1
                        quiet = 0
                        sender.push(chunk_frame(pushed, 16_384))
                    else:
                        quiet += 1
                        await anyio.sleep(harness.capabilities.quiet_s / 50)
            assert pushed
            assert pushed * 16_384 <= harness.capabilities.buffered_bytes
            for seq in range(1, pushed + 1):
                assert (await receiver.receive()).seq == seq

    async def test_link_that_ended_is_not_ready(self, harness: TransportHarness) -> None:
        async with harness.connected_pair() as (client, server):
            await server.aclose()
            await end_of(client.receive)
            for link in (client, server):
                await send_until_end(link)
                assert not link.ready

    async def test_small_frames_are_bounded_too(self, harness: TransportHarness) -> None:
        async with harness.clogged_pair(frame_bytes=4096) as clogged:
            assert clogged.handed_over * clogged.frame_bytes <= harness.capabilities.buffered_bytes

    async def test_clogged_direction_does_not_block_the_other(
        self, harness: TransportHarness, from_server: bool
    ) -> None:
        async with harness.clogged_pair(from_server=from_server) as clogged:
            for seq in range(1, 20):
                await clogged.receiver.send(chunk_frame(seq))
                assert await clogged.sender.receive() == chunk_frame(seq)

    async def test_close_wakes_a_blocked_sender(self, harness: TransportHarness, from_server: bool) -> None:
        async with harness.clogged_pair(from_server=from_server) as clogged:
            with anyio.fail_after(CLOSE_S):
                await clogged.sender.aclose()
                await clogged.stopped.wait()
            assert clogged.end is LinkEnd.CLOSED

    async def test_close_of_the_receiver_wakes_a_blocked_sender(
        self, harness: TransportHarness, from_server: bool
    ) -> None:
        async with harness.clogged_pair(from_server=from_server) as clogged:
            with anyio.fail_after(CLOSE_S):
                await clogged.receiver.aclose()
                await clogged.stopped.wait()
            assert clogged.end in (LinkEnd.ENDED, LinkEnd.BROKEN)

    async def test_break_wakes_a_blocked_sender(self, harness: TransportHarness) -> None:
        async with harness.clogged_pair() as clogged:
            await harness.sever(clogged.sender)
            with anyio.fail_after(CLOSE_S):
                await clogged.stopped.wait()
            assert clogged.end is LinkEnd.BROKEN

    # Cancellation

    @pytest.mark.rule("W9")
    async def test_cancelled_receive_leaves_the_link_usable(self, harness: TransportHarness) -> None:
        async with harness.connected_pair() as (client, server):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.receive)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            await client.send(chunk_frame(1))
            assert await server.receive() == chunk_frame(1)
            await server.send(chunk_frame(2))
            assert await client.receive() == chunk_frame(2)

    @pytest.mark.rule("W9")
    async def test_receive_cancelled_while_frames_come_loses_none(self, harness: TransportHarness) -> None:
        received: list[int] = []

        async def receive(link: Link) -> None:
            received.append((await link.receive()).seq)

        async with harness.connected_pair() as (client, server):
            for seq in range(1, 101):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(receive, server)
                    await anyio.lowlevel.checkpoint()
                    await client.send(chunk_frame(seq))
                    for _ in range(seq % 9):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                if len(received) < seq - 2:
                    await receive(server)
            while len(received) < 100:
                await receive(server)
        assert received == list(range(1, 101))

    @pytest.mark.rule("W9")
    async def test_cancelled_blocked_send_repeats_and_reorders_nothing(
        self, harness: TransportHarness, from_server: bool
    ) -> None:
        async with harness.clogged_pair(from_server=from_server) as clogged:
            clogged.scope.cancel()
            await clogged.stopped.wait()
            next_seq = clogged.handed_over + 2
            received: list[int] = []

            async def send_more() -> None:
                for seq in range(next_seq, next_seq + 20):
                    await clogged.sender.send(chunk_frame(seq, clogged.frame_bytes))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send_more)
                while not received or received[-1] < next_seq + 19:
                    received.append((await clogged.receiver.receive()).seq)
        certain = [*range(1, next_seq - 1), *range(next_seq, next_seq + 20)]
        assert received in (certain, sorted([*certain, next_seq - 1]))

    async def test_sends_cancelled_again_and_again_stay_bounded(self, harness: TransportHarness) -> None:
        async with harness.clogged_pair(frame_bytes=256) as clogged:
            clogged.scope.cancel()
            await clogged.stopped.wait()
            first = clogged.handed_over + 2
            frame_bytes = 200_000
            tries = harness.capabilities.buffered_bytes // frame_bytes + 20
            for seq in range(first, first + tries):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(clogged.sender.send, chunk_frame(seq, frame_bytes))
                    await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
            last = first + tries
            received: list[int] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(clogged.sender.send, chunk_frame(last, 8))
                while not received or received[-1] < last:
                    received.append((await clogged.receiver.receive()).seq)
            assert received == sorted(set(received))
            assert len([seq for seq in received if seq >= first]) < tries

    # Listeners and transports

    async def test_connecting_to_nobody_is_unreachable(self, harness: TransportHarness) -> None:
        with anyio.fail_after(DEADLINE_S):
            end = await end_of(lambda: harness.transport().connect(harness.nobody_url(), timeout_s=5))
        assert end is LinkEnd.UNREACHABLE

    async def test_each_end_tells_its_peer(self, harness: TransportHarness) -> None:
        async with harness.connected_pair() as (client, server):
            assert client.peer.transport == harness.scheme
            assert server.peer.transport == harness.scheme

    async def test_taken_address_is_a_listen_error(self, harness: TransportHarness) -> None:
        first = harness.listener()
        first.bind()
        with pytest.raises(ListenError):
            harness.listener_at(first.address).bind()
        first.stop()
        again = harness.listener_at(first.address)
        again.bind()
        again.stop()

    async def test_listener_that_was_stopped_before_it_serves_returns(self, harness: TransportHarness) -> None:
        listener = harness.listener()
        listener.bind()
        listener.stop()
        with anyio.fail_after(CLOSE_S):
            await listener.serve(HeldLinks(), lambda: None)

    async def test_several_links_do_not_mix(self, harness: TransportHarness) -> None:
        held = HeldLinks()
        with anyio.fail_after(DEADLINE_S):
            async with harness.serve(held) as listener:
                pairs = []
                for _ in range(3):
                    client = await harness.connect(listener)
                    pairs.append((client, await held.link()))
                for seq, (client, _) in enumerate(pairs, 1):
                    await client.send(chunk_frame(seq))
                for seq, (_, server) in enumerate(pairs, 1):
                    assert await server.receive() == chunk_frame(seq)
                for client, _ in pairs:
                    await client.aclose()

    async def test_stopping_the_listener_ends_its_links(self, harness: TransportHarness) -> None:
        held = HeldLinks()
        with anyio.fail_after(DEADLINE_S):
            async with harness.serve(held) as listener:
                client = await harness.connect(listener)
                server = await held.link()
                url = harness.url(listener)
                listener.stop()
                assert await end_of(client.receive) in (LinkEnd.BROKEN, LinkEnd.ENDED)
            assert await end_of(server.receive) in (LinkEnd.BROKEN, LinkEnd.CLOSED)
            assert await end_of(lambda: harness.transport().connect(url, timeout_s=1)) is LinkEnd.UNREACHABLE
            await client.aclose()

    async def test_cancelling_serve_closes_everything(self, harness: TransportHarness) -> None:
        held = HeldLinks()
        listener = harness.listener()
        listener.bind()
        started = anyio.Event()
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, held, started.set)
                await started.wait()
                client = await harness.connect(listener)
                await held.link()
                tasks.cancel_scope.cancel()
            assert await end_of(client.receive) in (LinkEnd.BROKEN, LinkEnd.ENDED)
            await client.aclose()

    async def test_link_is_closed_when_its_service_returns(self, harness: TransportHarness) -> None:
        held = HeldLinks()
        with anyio.fail_after(DEADLINE_S):
            async with harness.serve(held) as listener:
                client = await harness.connect(listener)
                server = await held.link()
                await server.send(chunk_frame(1))
                held.let_go()
                assert await receive_until_end(client) == ([chunk_frame(1)], LinkEnd.ENDED)
                await client.aclose()

    async def test_service_that_fails_breaks_its_own_link_only(self, harness: TransportHarness) -> None:
        class OnceFailing(HeldLinks):
            failed = False

            async def proxy(self, link: Link) -> None:
                if not self.failed:
                    self.failed = True
                    raise ValueError("a bug in the service")
                await super().proxy(link)

        held = OnceFailing()
        with anyio.fail_after(DEADLINE_S):
            async with harness.serve(held) as listener:
                failing = await harness.connect(listener)
                assert await end_of(failing.receive) is LinkEnd.BROKEN
                client = await harness.connect(listener)
                await client.send(chunk_frame(1))
                assert await (await held.link()).receive() == chunk_frame(1)
                await client.aclose()
                await failing.aclose()

    async def test_no_task_is_left(self, harness: TransportHarness) -> None:
        before = {task.id for task in anyio.get_running_tasks()}
        async with harness.clogged_pair() as clogged:
            await clogged.receiver.aclose()
            await clogged.sender.aclose()
        async with harness.connected_pair() as (client, server):
            server.abort()
            client.abort()
        left = [task for task in anyio.get_running_tasks() if task.id not in before]
        assert left == []
