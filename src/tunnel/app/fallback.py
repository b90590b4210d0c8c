"""The local fallback: while no tunnel is up, a conversation that entered at a client's entry goes directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tunnel.app.accounted_target import Destination
from tunnel.app.attempt import Attempt
from tunnel.app.direct_stream import DirectStream
from tunnel.app.direct_targets import DirectTargets
from tunnel.app.direct_ways import DirectWay, DirectWays
from tunnel.app.marked_stream import MarkedStream
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.hops import has_passed, with_hop
from tunnel.domain.route import Route
from tunnel.ports.target import Stream

__all__ = ["Fallback", "Through"]


class Through(Protocol):
    """The way through the tunnel; ``ServerRoute`` is it."""

    @property
    def up(self) -> bool:
        """Whether a conversation that begins now would be sent at once, and taken."""

    async def handle(self, stream: Stream, attempt: Attempt, leaves: Callable[[ErrorCode], bool] | None = None) -> None:
        """Have one conversation answered; fails rather than waits when ``leaves`` says so of the last try's failure."""


class Fallback:
    """Decides for each conversation by itself, by what is the case when it comes; nothing is remembered.

    1. One that was here before, as a token in its head tells, has gone in a circle and is refused.
    2. While a tunnel is up it goes there. While none is, it goes directly at once, if there is such a way. It does not
       wait: the tunnel may be back in a second, or in an hour. Without such a way it waits or fails as configured.
    3. One that was to go through the tunnel and provably did not goes directly after all: it never reached a link, or
       it was refused by a tunnel that is not up any more. What may have been seen at the other end is never sent again,
       idempotent or not: two ways may lead to two servers.
    4. Where it went it stays. A tunnel that comes back gets the next one, and none is moved.

    Args:
        ways: Where it may go.
        targets: Dialled past the tunnel; this takes them over.
        through: The other way.
        token: This process's own, among hops.
    """

    def __init__(self, ways: DirectWays, targets: DirectTargets, *, through: Through, token: bytes) -> None:
        self._ways = ways
        self._targets = targets
        self._through = through
        self._token = token

    def at(self, entry: str) -> Destination:
        """Where the conversations of one entry go.

        Args:
            entry: Its key, as ``DirectWays`` has it.
        """
        return _AtEntry(self, entry)

    def follow(self, ways: DirectWays) -> None:
        """Go by these from the next conversation on; those under way finish where they are."""
        self._ways = ways
        self._targets.keep_only(ways.policies)

    async def aclose(self) -> None:
        """Close every connection that was dialled past the tunnel; what runs there is cut off. Idempotent."""
        await self._targets.aclose()

    async def handle(self, entry: str, stream: Stream, attempt: Attempt) -> None:
        """Handle one conversation.

        Args:
            entry: The key of the one where it entered.
            stream: The conversation.
            attempt: Its own, told how it goes and which way.

        Raises:
            SessionError: ``loop_detected``; ``no_client``: no tunnel is up, and no direct way is allowed; else as the
                way it went fails.
        """
        ways = self._ways
        head = stream.head
        if has_passed(head, self._token):
            raise SessionError(ErrorCode.LOOP_DETECTED, "the request has been here before", detail=f"entry {entry}")
        attempt.route = Route.TUNNEL
        if not ways.has_any(entry):
            await self._through.handle(stream, attempt)
            return
        way = None if self._through.up else ways.find(entry, head)
        if way is None:

            def leaves(code: ErrorCode) -> bool:
                return self._never_started(attempt, code) and ways.find(entry, head) is not None

            marked = MarkedStream(stream, Route.TUNNEL) if ways.marked else stream
            try:
                await self._through.handle(marked, attempt, leaves)
                return
            except SessionError as exc:
                way = ways.find(entry, head) if self._never_started(attempt, exc.code) else None
                if way is None:
                    raise
        await self._directly(way, stream, attempt, marked=ways.marked)

    def _never_started(self, attempt: Attempt, code: ErrorCode) -> bool:
        return attempt.may_go_elsewhere(code) and not (attempt.started and self._through.up)

    async def _directly(self, way: DirectWay, stream: Stream, attempt: Attempt, *, marked: bool) -> None:
        attempt.route = Route.DIRECT
        attempt.begin()
        direct = DirectStream(stream, with_hop(stream.head, self._token), attempt, marked=marked)
        try:
            await self._targets.handle(way.url, way.policy, direct)
        except SessionError as exc:
            if way.configured or exc.code is not ErrorCode.FORBIDDEN:
                raise
            # What the name has turned out to be is not allowed. To the visitor that is as if there were no direct way.
            raise SessionError(
                ErrorCode.NO_CLIENT, "no tunnel is up", detail=f"fallback.allow does not permit it: {exc.detail}"
            ) from exc


class _AtEntry(Destination):
    def __init__(self, fallback: Fallback, entry: str) -> None:
        self._fallback = fallback
        self._entry = entry

    async def handle(self, stream: Stream, attempt: Attempt) -> None:
        await self._fallback.handle(self._entry, stream, attempt)
