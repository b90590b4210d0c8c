"""Transports that are broken on purpose: the in-memory one, but for a few lines each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import anyio
import anyio.lowlevel
from support.memory_harness import MemoryHarness

from tunnel.adapters.memory.link import MemoryLink, MemoryPair
from tunnel.adapters.memory.listener import MemoryListener
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.adapters.memory.transport import MemoryTransport
from tunnel.domain.envelopes import Envelope, Error, Frame, Trailers
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.messagepack import encode_frame
from tunnel.ports.transport import Listener, Transport
from tunnel.testing.contract import Rule
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import Mutant
from tunnel.testing.transport import TRANSPORT

__all__ = ["MUTANTS", "TWINS", "Harness"]


class _Network(MemoryNetwork):
    """Makes its links of another class."""

    def __init__(self, link: type[MemoryLink]) -> None:
        super().__init__()
        self._link = link

    def dial(self, name: str) -> MemoryLink:
        accept = self._acceptors.get(name)
        if accept is None:
            raise LinkError(LinkEnd.UNREACHABLE, "nobody listens")
        pair = MemoryPair(name)
        up, down = pair._lanes
        pair.client = self._link(PeerInfo("memory", name), outgoing=up, incoming=down)
        pair.server = self._link(PeerInfo("memory"), outgoing=down, incoming=up)
        self._pairs[pair] = None
        accept(pair)
        return pair.client


class Harness(MemoryHarness):
    """The in-memory transport with one of its classes replaced."""

    def __init__(
        self,
        link: type[MemoryLink] = MemoryLink,
        listener: type[MemoryListener] = MemoryListener,
        transport: type[MemoryTransport] = MemoryTransport,
    ) -> None:
        super().__init__()
        self.network = _Network(link)
        self._listener = listener
        self._transport = transport

    def listener_at(self, address: str) -> Listener:
        return self._listener(address, self.network)

    def transport(self) -> Transport:
        return self._transport(self.network)


class Nameless(MemoryLink):
    @property
    def peer(self) -> PeerInfo:
        return PeerInfo("")


class Lossy(MemoryLink):
    async def send(self, frame: Frame) -> None:
        if frame.seq % 7:
            await super().send(frame)


class LossyAfterManyFrames(MemoryLink):
    async def send(self, frame: Frame) -> None:
        if frame.seq != 256:
            await super().send(frame)


class Duplicating(MemoryLink):
    async def send(self, frame: Frame) -> None:
        await super().send(frame)
        if frame.seq == 256:
            await super().send(frame)


class Reordering(MemoryLink):
    async def send(self, frame: Frame) -> None:
        await super().send(frame)
        if len(self._outgoing.frames) == 2 and frame.seq > 200:
            self._outgoing.frames.reverse()


class Merging(MemoryLink):
    async def receive(self) -> Frame:
        frame = await super().receive()
        if self._incoming.frames and frame.seq > 200:
            return Frame(frame.envelopes + (await super().receive()).envelopes, seq=frame.seq)
        return frame


class Truncating(MemoryLink):
    async def send(self, frame: Frame) -> None:
        kept: tuple[Envelope, ...] = tuple(each for each in frame.envelopes if not isinstance(each.payload, Trailers))
        await super().send(frame if len(kept) == len(frame.envelopes) else Frame(kept, frame.ack, frame.seq))


class DeafToEmptyFrames(MemoryLink):
    async def send(self, frame: Frame) -> None:
        if frame.envelopes:
            await super().send(frame)


class Small(MemoryLink):
    async def send(self, frame: Frame) -> None:
        if len(encode_frame(frame)) > 250_000:
            raise LinkError(LinkEnd.VIOLATED, "too large")
        await super().send(frame)


class HalfDuplex(MemoryLink):
    receiving = False

    async def receive(self) -> Frame:
        self.receiving = True
        try:
            return await super().receive()
        finally:
            self.receiving = False

    async def send(self, frame: Frame) -> None:
        while self.receiving:  # noqa: ASYNC110
            await anyio.sleep(0.1)
        await super().send(frame)


class PushingAhead(MemoryLink):
    sent = False

    async def send(self, frame: Frame) -> None:
        await super().send(frame)
        self.sent = True

    def push(self, frame: Frame) -> None:
        super().push(frame)
        if self.sent and len(self._outgoing.frames) == 2:
            self._outgoing.frames.reverse()
        self.sent = False


class LosingTheLast(MemoryLink):
    async def aclose(self) -> None:
        if self._outgoing.frames and self._outgoing.frames[-1][1].seq > 30:
            self._outgoing.frames.pop()
        await super().aclose()


class SlowToSaySo(MemoryLink):
    async def receive(self) -> Frame:
        if self._incoming.receiver_end is LinkEnd.CLOSED:
            await anyio.sleep(3)
        return await super().receive()


class ClosingOnce(MemoryLink):
    closing = False

    async def aclose(self) -> None:
        if self.closing:
            await anyio.sleep_forever()
        self.closing = True
        await super().aclose()
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self.closing = False


class NotWakingItself(MemoryLink):
    async def aclose(self) -> None:
        readable, self._incoming._readable = self._incoming._readable, None
        await super().aclose()
        self._incoming._readable = readable


class AbortingInOrder(MemoryLink):
    def abort(self) -> None:
        self._close(peer_sees=LinkEnd.ENDED)


class NotWakingItselfOnAbort(MemoryLink):
    def abort(self) -> None:
        readable, self._incoming._readable = self._incoming._readable, None
        super().abort()
        self._incoming._readable = readable


class WaitingWhenSevered(MemoryLink):
    async def receive(self) -> Frame:
        waits = self._incoming.receiver_end is None
        try:
            return await super().receive()
        except LinkError as exc:
            if waits and exc.end is self._incoming.sender_end is LinkEnd.BROKEN:
                await anyio.sleep_forever()
            raise


class EndedWhenSevered(MemoryLink):
    async def receive(self) -> Frame:
        try:
            return await super().receive()
        except LinkError as exc:
            end = LinkEnd.ENDED if exc.end is LinkEnd.BROKEN else exc.end
            raise LinkError(end, exc.reason) from exc


class BrokenWhenEnded(MemoryLink):
    async def receive(self) -> Frame:
        try:
            return await super().receive()
        except LinkError as exc:
            end = LinkEnd.BROKEN if exc.end is LinkEnd.ENDED else exc.end
            raise LinkError(end, exc.reason) from exc


class WaitingForAnAnswer(MemoryLink):
    async def aclose(self) -> None:
        if self._incoming.sender_end is LinkEnd.BROKEN:
            await anyio.sleep(5)
        await super().aclose()


class Unbounded(MemoryLink):
    async def send(self, frame: Frame) -> None:
        if self._outgoing.sender_end is None:
            await anyio.lowlevel.checkpoint()
            self._outgoing.push(frame)
        else:
            await super().send(frame)


class TakingSmallFrames(MemoryLink):
    async def send(self, frame: Frame) -> None:
        small = len(encode_frame(frame)) < 5000
        self._outgoing.capacity_frames = 100 if small else 2
        await super().send(frame)


class GatheringForEver(MemoryLink):
    async def gather(self, waiting: Callable[[], float]) -> None:
        while waiting() < 4 and self._incoming.receiver_end is None:  # noqa: ASYNC110
            await anyio.sleep(0.1)


class AlwaysReady(MemoryLink):
    @property
    def ready(self) -> bool:
        return True


class ReadyAfterTheEnd(MemoryLink):
    @property
    def ready(self) -> bool:
        return len(self._outgoing.frames) < self._outgoing.capacity_frames


class HeldUp(MemoryLink):
    sending = False

    async def send(self, frame: Frame) -> None:
        self.sending = True
        try:
            await super().send(frame)
        finally:
            self.sending = False

    async def receive(self) -> Frame:
        frame = await super().receive()
        while self.sending and len(encode_frame(frame)) < 100:  # noqa: ASYNC110
            await anyio.sleep(1)
        return frame


class NotWakingASender(MemoryLink):
    async def aclose(self) -> None:
        writable, self._outgoing._writable = self._outgoing._writable, None
        await super().aclose()
        self._outgoing._writable = writable


class LosingWhenCancelled(MemoryLink):
    async def receive(self) -> Frame:
        try:
            return await super().receive()
        except anyio.get_cancelled_exc_class():
            if self._incoming.frames:
                self._incoming.frames.popleft()
            raise


class DeafToCancellation(MemoryLink):
    async def receive(self) -> Frame:
        with anyio.CancelScope(shield=True):
            return await super().receive()


class SendingInParts(MemoryLink):
    async def send(self, frame: Frame) -> None:
        try:
            await super().send(frame)
        except anyio.get_cancelled_exc_class():
            if 60_000 < len(encode_frame(frame)) < 70_000:
                self._outgoing.frames.pop()
            raise


class QueueingCancelledSends(MemoryLink):
    async def send(self, frame: Frame) -> None:
        try:
            await super().send(frame)
        except anyio.get_cancelled_exc_class():
            self._outgoing.push(frame)
            raise


class ClosingAtLast(MemoryLink):
    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        await super().aclose()


class Mixing(MemoryTransport):
    async def connect(self, url: str, *, timeout_s: float) -> MemoryLink:
        link = await super().connect(url, timeout_s=timeout_s)
        pairs = [pair for pair in self._network.pairs() if pair.client.peer == link.peer]
        if len(pairs) == 3:
            link._outgoing = pairs[0].client._outgoing
        return link


class LinkLeaving(MemoryTransport):
    async def connect(self, url: str, *, timeout_s: float) -> MemoryLink:
        link = await super().connect(url, timeout_s=timeout_s)
        await anyio.lowlevel.checkpoint()
        return link


class AddressKeeping(MemoryListener):
    def _release(self) -> None:
        if self._tasks is None and self._stopped:
            super()._release()


class WrongCode(MemoryTransport):
    async def connect(self, url: str, *, timeout_s: float) -> MemoryLink:
        try:
            return await super().connect(url, timeout_s=timeout_s)
        except LinkError as exc:
            end = LinkEnd.BROKEN if "nobody" in url else exc.end
            raise LinkError(end, exc.reason) from exc


class Patient(MemoryTransport):
    async def connect(self, url: str, *, timeout_s: float) -> MemoryLink:
        if "listener" in url:
            await anyio.sleep(0 if self._network._acceptors else timeout_s + 5)
        return await super().connect(url, timeout_s=timeout_s)


class Judging(MemoryLink):
    async def receive(self) -> Frame:
        frame = await super().receive()
        if any(isinstance(each.payload, Error) and each.payload.code == "forbidden" for each in frame.envelopes):
            raise LinkError(LinkEnd.REFUSED, "forbidden")
        return frame


class Sharing(MemoryListener):
    def bind(self) -> None:
        self._network.release(self._name)
        super().bind()


class NotStopping(MemoryListener):
    def stop(self) -> None:
        if self._tasks is not None:
            super().stop()
        else:
            self._release()


class FailingInOrder(MemoryListener):
    async def serve(self, service, started) -> None:  # type: ignore[no-untyped-def]
        await super().serve(_Forgiving(service), started)


class _Forgiving:
    def __init__(self, service) -> None:  # type: ignore[no-untyped-def]
        self._service = service

    async def proxy(self, link: MemoryLink) -> None:
        try:
            await self._service.proxy(link)
        except ValueError:
            await link.aclose()


class Dropping(MemoryListener):
    async def serve(self, service, started) -> None:  # type: ignore[no-untyped-def]
        await super().serve(_Dropping(service), started)


class _Dropping:
    def __init__(self, service) -> None:  # type: ignore[no-untyped-def]
        self._service = service

    async def proxy(self, link: MemoryLink) -> None:
        await self._service.proxy(link)
        link.abort()


class DescriptorLeaking(MemoryLink):
    async def aclose(self) -> None:
        await super().aclose()
        if self._incoming.sender_end is LinkEnd.BROKEN:
            _leaked.append(open("/dev/null"))  # noqa: SIM115, ASYNC230


_leaked: list[object] = []


class LosingTheAnswer(MemoryLink):
    lossy = False

    async def send(self, frame: Frame) -> None:
        await super().send(frame)
        self.lossy = len(encode_frame(frame)) > 66_000

    async def receive(self) -> Frame:
        frame = await super().receive()
        lost, self.lossy = self.lossy, False
        return await super().receive() if lost else frame


_RULES: Final = {rule.id: rule for rule in TRANSPORT.rules}


def _rules(*ids: str) -> frozenset[Rule]:
    return frozenset(_RULES[f"T-{each}"] for each in ids)


def _mutant(name: str, rule: str, *others: str, **replaced: type) -> Mutant:
    (first,) = _rules(rule)
    return Mutant(name, TRANSPORT, first, partial(Harness, **replaced), VIRTUAL, _rules(*others))


TWINS: Final = (Harness,)

MUTANTS: Final = (
    _mutant("does not tell its peer", "PEER", link=Nameless),
    _mutant(
        "loses every seventh frame",
        "ORDER",
        "EMPTY",
        "DUPLEX",
        "PUSH",
        "LAST",
        "BOUND",
        "ASIDE",
        "CANCEL-RECEIVE",
        "CANCEL-SEND",
        "REFUSAL",
        link=Lossy,
    ),
    _mutant("loses the 256th frame", "ORDER", link=LossyAfterManyFrames),
    _mutant("sends the 256th frame twice", "ORDER", link=Duplicating),
    _mutant("exchanges frames from the 200th on", "ORDER", link=Reordering),
    _mutant("makes one frame of two", "ORDER", link=Merging),
    _mutant("drops envelopes of a kind", "FIELDS", link=Truncating),
    _mutant("drops frames without envelopes", "EMPTY", link=DeafToEmptyFrames),
    _mutant("refuses frames of the largest size", "LARGEST", link=Small),
    _mutant("does not send while it waits to receive", "DUPLEX", link=HalfDuplex),
    _mutant("lets pushed frames overtake", "PUSH", link=PushingAhead),
    _mutant("mixes its third link with the first", "SEPARATE", transport=Mixing),
    _mutant("loses the last frame before a close", "LAST", link=LosingTheLast),
    _mutant("tells an orderly end as broken", "LAST", "WAKE", "RETURN", "ANY-ORDER", link=BrokenWhenEnded),
    _mutant("takes seconds to say that it is closed", "CLOSED", link=SlowToSaySo),
    _mutant("can be closed once", "AGAIN", link=ClosingOnce),
    _mutant("leaves its own receiver waiting on close", "WAKE", link=NotWakingItself),
    _mutant("leaves its own receiver waiting on abort", "ABORT", link=NotWakingItselfOnAbort),
    _mutant("aborts as if in order", "ABORT", "FAIL", "ANY-ORDER", link=AbortingInOrder),
    _mutant("leaves receivers waiting when severed", "SEVER", link=WaitingWhenSevered),
    _mutant("tells a severed link as ended", "ABORT", "SEVER", "FAIL", "ANY-ORDER", link=EndedWhenSevered),
    _mutant("waits for an answer of the dead", "BURY", link=WaitingForAnAnswer),
    _mutant(
        "takes whatever it is given",
        "BOUND",
        "ASIDE",
        "UNCLOG",
        "CANCEL-SEND",
        "CANCEL-BOUND",
        "NOTHING-LEFT",
        link=Unbounded,
    ),
    _mutant("takes a hundred small frames", "BOUND", link=TakingSmallFrames),
    _mutant("is always ready", "READY", link=AlwaysReady),
    _mutant("is ready after the end", "READY", link=ReadyAfterTheEnd),
    _mutant("gathers until there is enough", "GATHER", link=GatheringForEver),
    _mutant("does not receive while a send waits", "ASIDE", link=HeldUp),
    _mutant("leaves its own sender waiting on close", "UNCLOG", link=NotWakingASender),
    _mutant("loses a frame when receive is cancelled", "CANCEL-RECEIVE", link=LosingWhenCancelled),
    _mutant("cannot be cancelled", "CANCEL-RECEIVE", "ANY-ORDER", link=DeafToCancellation),
    _mutant("loses frames when send is cancelled", "CANCEL-SEND", link=SendingInParts),
    _mutant("queues the frames of cancelled sends", "CANCEL-BOUND", link=QueueingCancelledSends),
    _mutant("stays open when close is cancelled", "CANCEL-CLOSE", link=ClosingAtLast),
    _mutant("leaves a link when connect is cancelled", "CANCEL-CONNECT", transport=LinkLeaving),
    _mutant("keeps its address when serve is cancelled", "CANCEL-SERVE", listener=AddressKeeping),
    _mutant("tells nobody as broken", "NOBODY", transport=WrongCode),
    _mutant("connects longer than it may", "TIMEOUT", transport=Patient),
    _mutant("takes a refusal for one of its own", "REFUSAL", link=Judging),
    _mutant("shares its address", "ADDRESS", listener=Sharing),
    _mutant("forgets a stop before it serves", "STOP", listener=NotStopping),
    _mutant("drops a link whose service returns", "RETURN", listener=Dropping),
    _mutant("ends in order when its service fails", "FAIL", listener=FailingInOrder),
    _mutant("leaks a descriptor on close", "NOTHING-LEFT", link=DescriptorLeaking),
    _mutant("loses an answer to a large frame", "ANY-ORDER", link=LosingTheAnswer),
)
