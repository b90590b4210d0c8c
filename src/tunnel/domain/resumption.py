"""Continuing a tunnel on another link: what each side has to remember for it, and the server's verdict.

Source: docs/reference/protocol.md, resume.
"""

from __future__ import annotations

import hmac
from enum import Enum, auto

from tunnel.domain.envelopes import Register, ResumeRequest
from tunnel.domain.identity import Principal

__all__ = ["ResumeTicket", "Resumption", "Verdict"]


class Verdict(Enum):
    """What becomes of a request to resume."""

    ACCEPTED = auto()
    STALE = auto()
    """A later attempt has been accepted: the link it came on is closed, and nothing else happens."""
    UNKNOWN = auto()
    """Not this client's tunnel, or not its token: registered as if nothing had been asked."""


class Resumption:
    """The server's: who may come back for a tunnel, and how often that has happened.

    Args:
        token: 256 random bits that only the client and this process know.
        principal: Whose credential registered the tunnel.
        request: With which the tunnel was registered; its claim, if any, as it was granted.
    """

    __slots__ = ("_client_id", "_instance_id", "_principal", "_serves", "attempt", "token")

    def __init__(self, token: bytes, principal: Principal, request: Register) -> None:
        self.token = token
        self.attempt = 0
        """The last one accepted."""
        self._principal = principal.name
        self._client_id = request.client_id
        self._serves = (request.group_id, request.claim)
        self._instance_id = request.instance_id

    def judge(self, request: Register, principal: Principal) -> Verdict:
        """Whether ``request`` continues this tunnel; takes note of an attempt that is accepted.

        Args:
            request: Freshly authenticated, with ``resume``; its claim as it would be granted now.
            principal: Whose credential it came with.
        """
        resume = request.resume
        assert resume is not None
        ours = (self._principal, self._client_id, self._serves, self._instance_id)
        theirs = (principal.name, request.client_id, (request.group_id, request.claim), request.instance_id)
        # The token is compared last and in constant time, so that nothing can be learnt from how long a refusal takes.
        if ours != theirs or not hmac.compare_digest(self.token, resume.resume_token):
            return Verdict.UNKNOWN
        if resume.attempt <= self.attempt:
            return Verdict.STALE
        self.attempt = resume.attempt
        return Verdict.ACCEPTED


class ResumeTicket:
    """The client's: what proves that a tunnel is its own, and where it may be continued.

    Args:
        tunnel_id: As the server named it.
        token: As the server gave it.
        server_id: Which server process has the other end.
    """

    __slots__ = ("_attempt", "_token", "server_id", "tunnel_id")

    def __init__(self, *, tunnel_id: str, token: bytes, server_id: str) -> None:
        self.tunnel_id = tunnel_id
        self.server_id = server_id
        self._token = token
        self._attempt = 0

    def next_attempt(self, received: int, *, only: bool = False) -> ResumeRequest:
        """What to ask the server next; no two attempts are numbered alike, whatever became of the one before.

        Args:
            received: The highest ``seq`` taken in.
            only: Whether no other tunnel is wanted in its place.
        """
        self._attempt += 1
        return ResumeRequest(self.tunnel_id, self._token, self._attempt, received, only)
