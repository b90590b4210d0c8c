"""Where conversations enter: each is given to its group, and accounted for."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from tunnel.app.attempt import Attempt
from tunnel.app.group import Group
from tunnel.app.guarded_group import GuardedGroup
from tunnel.app.ledger import Ledger
from tunnel.domain.envelopes import Opening
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.refusal import Refusal
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["AccountedTarget"]

_LEFT: Final = SessionError(ErrorCode.CANCELLED, "the visitor left")
_FAILED: Final = SessionError(ErrorCode.INTERNAL, "the request could not be handled")
"""Only looked at, never raised."""


class AccountedTarget(ProxyTarget):
    """Gives each conversation to the group that is found for it; whatever becomes of it is told to the ledger, once.

    Args:
        ledger: Keeps account.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @abstractmethod
    def find(self, head: Opening, attempt: Attempt) -> Group | GuardedGroup:
        """The group for a conversation, behind middleware if it is to go through any.

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
        except Exception:
            ledger.end(stream, attempt, _FAILED)
            raise
        except BaseException:
            cut_off = stream.cut_off
            ledger.end(stream, attempt, cut_off or _LEFT, cancelled=cut_off is None)
            raise
        ledger.end(stream, attempt)
