"""Where conversations begin here: each is given to where it is to go, and accounted for."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final, Protocol

from tunnel.app.attempt import Attempt
from tunnel.app.ledger import Ledger
from tunnel.domain.envelopes import Opening
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.refusal import Refusal
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["AccountedTarget", "Destination"]

_LEFT: Final = SessionError(ErrorCode.CANCELLED, "the visitor left")
_FAILED: Final = SessionError(ErrorCode.INTERNAL, "the request could not be handled")
"""Only looked at, never raised."""


class Destination(Protocol):
    """Where a conversation may go: a group of clients, a server, an upstream."""

    @abstractmethod
    async def handle(self, stream: Stream, attempt: Attempt) -> None:
        """Have one conversation answered.

        Args:
            stream: The conversation.
            attempt: Its own, not used before; told how it goes.

        Raises:
            SessionError: It failed.
        """


class AccountedTarget(ProxyTarget):
    """Gives each conversation to the destination found for it; whatever becomes of it is told to the ledger, once.

    Args:
        ledger: Keeps account.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @abstractmethod
    def find(self, head: Opening, attempt: Attempt) -> Destination:
        """Where a conversation goes, through middleware if it is to.

        Notes in ``attempt`` by which rule, where there are rules.

        Raises:
            SessionError: There is none.
        """

    async def handle(self, stream: Stream) -> None:
        ledger = self._ledger
        head = stream.head
        attempt = ledger.begin(head)
        try:
            await self.find(head, attempt).handle(stream, attempt)
        except Refusal as exc:
            ledger.end(stream, attempt, exc)
            if attempt.answered_at is None:
                raise
            return
        except SessionError as exc:
            ledger.end(stream, attempt, stream.cut_off or exc)
            raise
        except SendingStopped:
            ledger.end(stream, attempt, _LEFT, cancelled=True)
            raise
        except Exception:
            ledger.end(stream, attempt, _FAILED)
            raise
        except BaseException:
            cut_off = stream.cut_off
            ledger.end(stream, attempt, cut_off or _LEFT, cancelled=cut_off is None)
            raise
        ledger.end(stream, attempt)
