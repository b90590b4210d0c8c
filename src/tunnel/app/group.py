"""The clients that serve the same things, as one target."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio

from tunnel.app.accounted_target import Destination
from tunnel.app.attempt import Attempt
from tunnel.app.balancer import Balancer
from tunnel.app.tunnel import Tunnel
from tunnel.app.tunnel_target import TunnelTarget
from tunnel.domain.balancing import Strategy
from tunnel.domain.configuration import GroupSettings
from tunnel.domain.envelopes import Opening
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.health import MEMBER_FAILURES, Permit
from tunnel.domain.random_source import RandomSource
from tunnel.domain.registry import GroupMember, Registry, Selectable
from tunnel.domain.retries import RetryBudget
from tunnel.ports.clock import Clock
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import MemberEjected, MemberReturned, Telemetry

__all__ = ["Group"]

_ATTEMPTS: Final = 3
"""Clients asked at most. A third one that fails says more of the request or the group than of the clients."""

_Member = GroupMember[Tunnel]
_Selectable = Selectable[Tunnel]


class Group(Destination):
    """Gives each conversation to one of its clients; holds it while there is none, for as long as configured.

    How a conversation finds its client:

    1. The strategy chooses among the clients that are not ejected; the client's least busy tunnel carries it.
    2. Should it fail in a way that allows another try (``tunnel.domain.retries``), another client is chosen likewise,
       or when there is none, another tunnel of one asked before: a client that dials anew has two for a while. There
       are up to three tries in all, and each sends what the one before had sent again from the start.
    3. Tries that reached a link are bounded by the group's retry budget. Those that did not have cost nobody anything.
    4. When nobody else can be asked, it fails as its last try did; one that was refused fails for want of a client. It
       waits before, for somebody else to arrive, unless a client was there and had no room: then it is ``overloaded``
       at once, since waiting is for groups without clients, and a queue before full ones only lets them fall behind.

    Args:
        name: As configured.
        settings: As configured.
        strategy: Chooses among the clients.
        registry: Who is there.
        random: For the strategy.
        telemetry: Told of clients that are ejected and return.
        clock: Time.
    """

    def __init__(
        self,
        name: str,
        settings: GroupSettings,
        strategy: Strategy,
        registry: Registry[Tunnel],
        random: RandomSource,
        *,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self.name = name
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._roster = registry.roster(name)
        self._roster.weigh(settings.weights)
        self._balancer: Balancer[_Member] = Balancer(
            settings,
            strategy,
            self._roster.watch,
            everybody=lambda: self._roster.candidates,
            random=random,
            clock=clock,
            on_ejected=self._on_ejected,
            on_returned=self._on_returned,
        )
        self._retries: RetryBudget | None = None
        self._waiting = 0
        self._arrival: anyio.Event | None = None
        self._removed = False

    def follow(self, settings: GroupSettings, strategy: Strategy | None) -> None:
        """Go by other settings from the next request on. Requests that wait go on waiting, as long as they were told.

        Args:
            settings: As configured by now.
            strategy: Chooses among the clients from now on; None: the one before.
        """
        self._settings = settings
        self._roster.weigh(settings.weights)
        self._balancer.follow(settings, strategy)

    def remove(self) -> None:
        """There is no such group any more: requests that wait get ``no_client``."""
        self._removed = True
        self.arrived()

    @property
    def waiting(self) -> int:
        """Requests that wait for a client."""
        return self._waiting

    def arrived(self) -> None:
        """A client of this group can be selected now."""
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    async def handle(self, stream: Stream, attempt: Attempt) -> None:
        """Have a client answer one conversation.

        Args:
            stream: The conversation.
            attempt: Its own, not used before; told how it goes.

        Raises:
            SessionError: ``no_client``; ``overloaded``: too many wait already; else as the last client failed.
        """
        head = stream.head
        retries = self._retries
        if retries is None:
            retries = self._retries = RetryBudget(self._clock.now())
        retries.requests += 1
        balancer = self._balancer
        attempt.group = self.name
        tried: tuple[_Selectable, ...] = ()
        failure: SessionError | None = None
        while True:
            member = self._choose(head, tried) or await self._wait(head, tried, failure)
            permit = balancer.admit(member)
            attempt.member = member.name
            selected = member.pick(tried)
            if permit is not member.health.permit:
                attempt.on_answer = partial(self._probe_answered, member, permit, attempt)
            lease = selected.acquire()
            try:
                await TunnelTarget(selected.tunnel, attempt).handle(stream)
            except SessionError as exc:
                self._failed(selected, permit, exc.code)
                tried = (*tried, selected)
                if len(tried) == _ATTEMPTS or not self._may_retry(attempt, head, exc.code, retries):
                    raise
                attempt.on_answer = None
                if failure is None or failure.code is not ErrorCode.OVERLOADED:
                    failure = exc
            except BaseException:
                balancer.undecided(member, permit)
                raise
            else:
                balancer.succeeded(member, permit, status=attempt.verdict)
                return
            finally:
                lease.release()

    # -- choosing

    def _choose(self, head: Opening, tried: tuple[_Selectable, ...]) -> _Member | None:
        candidates = self._roster.candidates
        if tried:
            asked = {each.owner for each in tried}
            candidates = tuple(each for each in candidates if each not in asked) or tuple(
                each for each in candidates if any(tunnel not in tried for tunnel in each.published)
            )
        return self._balancer.choose(candidates, head) if candidates else None

    async def _wait(self, head: Opening, tried: tuple[_Selectable, ...], failure: SessionError | None) -> _Member:
        """A client, as soon as there is one that can be asked.

        Raises:
            SessionError: There was none in time, or there is no room for waiting; or a client has no room for more.
        """
        if failure is not None and failure.code is ErrorCode.OVERLOADED:
            raise failure
        chosen = None
        full = self._waiting >= self._settings.max_waiting
        if self._settings.wait_for_client_s > 0 and not full:
            self._waiting += 1
            try:
                with anyio.move_on_after(self._settings.wait_for_client_s):
                    while chosen is None and not self._removed:
                        if self._arrival is None:
                            self._arrival = anyio.Event()
                        await self._arrival.wait()
                        chosen = self._choose(head, tried)
            finally:
                self._waiting -= 1
        if chosen is not None:
            return chosen
        if failure is not None and failure.code is not ErrorCode.REFUSED:
            raise failure
        if self._settings.wait_for_client_s > 0 and full:
            raise SessionError(ErrorCode.OVERLOADED, "too many requests wait for a client", detail=f"group {self.name}")
        raise SessionError(ErrorCode.NO_CLIENT, "no client is connected", detail=f"group {self.name}")

    def _may_retry(self, attempt: Attempt, head: Opening, code: ErrorCode, retries: RetryBudget) -> bool:
        if not attempt.may_begin_again(head, code):
            return False
        return not attempt.started or retries.spend(self._clock.now())

    # -- learning

    def _failed(self, selected: _Selectable, permit: Permit, code: ErrorCode) -> None:
        member = selected.owner
        speaks = code in MEMBER_FAILURES
        if code is ErrorCode.PEER_LOST:
            # Said once by all the sessions that were lost together; a probe speaks for itself.
            first = selected.note_loss()
            speaks = first or permit is not member.health.permit
        if speaks:
            self._balancer.failed(member, permit, code.value)
        else:
            self._balancer.undecided(member, permit)

    def _probe_answered(self, member: _Member, permit: Permit, attempt: Attempt) -> None:
        self._balancer.succeeded(member, permit, status=attempt.verdict)

    def _on_ejected(self, member: _Member, reason: str) -> None:
        self._telemetry.record(MemberEjected(self.name, member.name, reason, member.health.ejection_s))

    def _on_returned(self, member: _Member) -> None:
        self._telemetry.record(MemberReturned(self.name, member.name))
