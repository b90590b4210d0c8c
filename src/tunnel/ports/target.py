"""What handles a conversation, and the conversation as it sees it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from tunnel.domain.envelopes import Opening, SessionPayload
from tunnel.domain.errors import SessionError

__all__ = ["ProxyTarget", "Stream", "UpstreamTarget"]


class Stream(Protocol):
    """One conversation seen from the side that answers it.

    ``receive`` and ``send`` may run at the same time in two tasks, each in at most one. When the conversation dies
    from the far side, whoever runs the target cancels it; so a target need not watch for that.
    """

    peer: str = ""
    """Address of whoever opened it, without port, where an ingress knows it."""

    cut_off: SessionError | None = None
    """What whoever opened it is told when its ingress ends it, set before the target is cancelled; None: it left."""

    @property
    @abstractmethod
    def head(self) -> Opening:
        """The opening. When its ``end`` is set there is nothing to receive."""

    @abstractmethod
    async def receive(self) -> SessionPayload:
        """The next envelope after the head, in order; the last one has ``end`` set. Never called after that.

        Reading is what returns credit to the sender, so an unread conversation slows its sender down and nobody else.
        Cancelling loses nothing.

        Raises:
            SessionError: The conversation was reset; everything that came before has been returned first.
        """

    @abstractmethod
    async def send(self, payload: SessionPayload) -> None:
        """Hand over the next envelope; waits while the other end is not ready for more.

        The envelope with ``end`` may be taken without waiting, since nothing follows it.
        Large bodies may be sent whole: they are split as needed. After an envelope with ``end`` nothing is sent.
        Cancelled before any of it was handed on, nothing was sent; cancelled later, the conversation is reset.

        Raises:
            SendingStopped: The other end wants no more; receiving goes on.
            SessionError: The conversation was reset.
        """

    async def conclude(self, *payloads: SessionPayload) -> None:
        """Hand over the last envelopes at once: few and small, and the very last has ``end`` set.

        To whom it may concern this says what sending one after the other does; a conversation that crosses a link hands
        them to it together. They may all be taken without waiting, since nothing follows them. Cancelled: as ``send``,
        of whichever was under way.

        Raises:
            SendingStopped: The other end wants no more; receiving goes on.
            SessionError: The conversation was reset.
        """
        for payload in payloads:
            await self.send(payload)

    @abstractmethod
    def reset(self, error: SessionError) -> None:
        """End both directions at once, telling the other end ``error``. Idempotent; the first error wins."""


class ProxyTarget(Protocol):
    """Handles conversations: an upstream, a client's tunnel, an application in this process, or a choice of these."""

    @abstractmethod
    async def handle(self, stream: Stream) -> None:
        """Answer one conversation; returns when it is over.

        Returning with input unread means that no more of it is needed. Returning without having sent an envelope with
        ``end`` is reported to the other end as ``internal``. Cancelled when the conversation dies: everything done
        on its behalf is stopped and released before this returns. Runs concurrently with itself.

        Raises:
            SessionError: The conversation failed; its owner tells the other end. Raised before any answer was sent,
                it becomes an error answer, afterwards an abort.
        """


class UpstreamTarget(ProxyTarget, Protocol):
    """A target with connections of its own."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close every connection, idle or not. Conversations under way fail. Idempotent."""
