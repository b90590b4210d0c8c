"""Moving frames between two processes over one connection: a link."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

from tunnel.domain.envelopes import (
    ConfigSyncRequest,
    ConfigSyncResponse,
    Frame,
    Register,
    RegisterResponse,
)
from tunnel.domain.identity import PeerInfo

__all__ = ["Link", "LinkService", "Listener", "Transport"]


class Link(Protocol):
    """One connection that carries whole frames, in order, both ways.

    ``send`` and ``receive`` may run at the same time in two tasks, each in at most one. Cancelling either leaves the
    link usable, or broken so that the next call says so; a frame is never delivered in part. Frames reach the peer in
    the order sent, none twice, and none is lost unless the link ends. Bytes taken in and not yet delivered to the
    peer are bounded (two frames above what the operating system buffers): beyond that ``send`` waits.
    """

    @property
    @abstractmethod
    def peer(self) -> PeerInfo:
        """The far end."""

    @abstractmethod
    async def send(self, frame: Frame) -> None:
        """Hand one frame over; waits while the transport cannot take more.

        Raises:
            LinkError: The link ended.
        """

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether a frame handed over now would be on its way at once.

        False while ``send`` would wait, or what was sent before still waits behind this interface, and once the link
        has ended. A transport that cannot tell says False.
        """

    @abstractmethod
    def push(self, frame: Frame) -> None:
        """Hand one frame over without waiting: what ``send`` does, for a caller that cannot wait.

        Only called while ``ready``, and while no ``send`` is under way. Should the link end over it, the next ``send``
        and ``receive`` say so.
        """

    async def gather(self, waiting: Callable[[], float]) -> None:
        """Return when the next frame had better be made: at once, unless a transport says otherwise.

        One on which a message costs much whatever is in it does, so that several conversations go in one. Called by who
        sends, between two frames; ``push`` may be called meanwhile. Returns after some rounds of the event loop at
        most, also when the link has ended. Cancelled, nothing has changed.

        Args:
            waiting: How many conversations have something to say, infinitely many when it is urgent; asked in each
                round.
        """
        return

    @abstractmethod
    async def receive(self) -> Frame:
        """The next frame. Frames received before the peer's orderly end are returned before that end is raised.

        Raises:
            LinkError: The link ended; its ``end`` tells an orderly end from a broken one. Raised again by every later
                call. A peer's malformed or oversized frame is ``LinkEnd.VIOLATED``.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close; frames already handed over are still delivered where the transport can. Idempotent.

        Returns within a second even when the peer is gone. Wakes a blocked ``send`` and ``receive`` of this side with
        ``LinkEnd.CLOSED``; the peer sees ``LinkEnd.ENDED`` after the last frame.
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection at once, without waiting for anything. Idempotent."""


class LinkService(Protocol):
    """What a server does with those who come in. Called by listeners, each call in a task of the listener's."""

    @abstractmethod
    async def proxy(self, link: Link) -> None:
        """Serve a link for its whole life; the listener closes it when this returns or raises."""

    @abstractmethod
    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        """Authenticate and negotiate without changing anything.

        Raises:
            RegistrationRefused: With the reason a registration on a link would be given.
        """

    @abstractmethod
    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        """The configuration this client would get.

        Raises:
            RegistrationRefused: With the reason a registration on a link would be given.
        """


class Listener(Protocol):
    """A bound address on which clients' links come in."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it listens, ``host:port`` with the real port, or the transport's own form."""

    @abstractmethod
    def bind(self) -> None:
        """Take the address, so that errors show before anything runs.

        Raises:
            ListenError: It cannot be had.
        """

    @abstractmethod
    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        """Accept links until ``stop`` is called or this is cancelled; calls ``started`` once it accepts.

        Everything it opened is closed when it returns.
        """

    @abstractmethod
    def stop(self) -> None:
        """Accept no more links, drop those that are open, and let ``serve`` return. Safe before ``serve``."""


class Transport(Protocol):
    """The dialling side of one kind of link, chosen by the scheme of a server URL."""

    @abstractmethod
    async def connect(self, url: str, *, timeout_s: float) -> Link:
        """Open a link to ``url``.

        Args:
            url: As configured, for example ``grpc://host:7000``.
            timeout_s: Seconds for everything up to a usable link.

        Raises:
            LinkError: ``LinkEnd.UNREACHABLE`` when there is no such peer or it does not speak this transport;
                ``LinkEnd.REFUSED`` when it refuses on transport level for good.
        """
