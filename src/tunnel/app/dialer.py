"""Keeps one tunnel to a server up: dials, registers, carries, and goes on with it when its link is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import anyio
from anyio.abc import TaskGroup

from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.client_registration import ClientRegistration, Identity
from tunnel.app.client_visit import ClientVisit
from tunnel.app.handshake import FATAL_CODES
from tunnel.app.link_work import PeerClosed
from tunnel.app.server_addresses import ServerAddresses
from tunnel.app.tunnel import Tunnel
from tunnel.domain.backoff import Backoff
from tunnel.domain.configuration import LimitsSettings
from tunnel.domain.envelopes import RegisterResponse
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.link_state import LinkLife
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import ProxyTarget
from tunnel.ports.telemetry import ConnectFailed, LinkLost, Telemetry
from tunnel.ports.transport import Link, Transport

__all__ = ["Dialer"]

_CLOSE_S: Final = 1.0
_RESUME_PAUSE_S: Final = 2.0
"""Longest pause between attempts while a tunnel waits to be resumed, which it does not for ever."""


class Dialer:
    """Runs one tunnel after another, each over as many links as it takes, until the server refuses for good.

    Args:
        servers: URLs in order of preference; each round starts with the first. While a tunnel waits to be resumed those
            come first at which its server was seen last, and for five seconds no others.
        transports: By URL scheme.
        identity: Who this client is.
        configuration: Takes snapshots.
        target: Handles conversations.
        limits: Announced to the server.
        clock: Time.
        signals: Finds what tasks wait with on the running event loop.
        random: For jitter.
        telemetry: Told of comings and goings.
        budget: The process's receive windows.
        on_ready: Called with True once the server has published this client, with False when the link is lost.
    """

    def __init__(
        self,
        *,
        servers: Sequence[str],
        transports: Mapping[str, Transport],
        identity: Identity,
        configuration: ClientConfiguration,
        target: ProxyTarget,
        limits: LimitsSettings,
        clock: Clock,
        signals: Callable[[], SignalFactory],
        random: RandomSource,
        telemetry: Telemetry,
        budget: Budget,
        on_ready: Callable[[bool], None],
    ) -> None:
        self._addresses = ServerAddresses(servers)
        self._transports = transports
        self._client_id = identity.client_id
        self._configuration = configuration
        self._target = target
        self._limits = limits
        self._registration = ClientRegistration(identity, configuration, limits=limits, telemetry=telemetry)
        self._clock = clock
        self._signals = signals
        self._random = random
        self._telemetry = telemetry
        self._budget = budget
        self._on_ready = on_ready
        self._tasks: TaskGroup | None = None
        self._visit: ClientVisit | None = None
        self._draining = False
        self._lasted_s = 0.0
        self.failures: Final[dict[str, str]] = {}
        """The servers that were tried in vain since there was a link, and why each could not be used last."""

    def dial_with(self, transports: Mapping[str, Transport]) -> None:
        """Use these for links from now on; that there is goes on."""
        self._transports = transports

    async def reaches(self, url: str) -> bool:
        """Whether the server at ``url`` takes a link, which is closed at once."""
        try:
            link = await self._connect(url)
        except LinkError:
            return False
        try:
            await _close(link)
        finally:
            link.abort()
        return True

    @property
    def visit(self) -> ClientVisit | None:
        """The tunnel there is, with a link or without; None while there is none."""
        visit = self._visit
        return None if visit is None or visit.tunnel.over else visit

    async def run(self) -> None:
        """Keep a tunnel up until drained or cancelled.

        Raises:
            RegistrationRefused: The server will not have this client.
        """
        refusal: RegistrationRefused | None = None
        try:
            async with anyio.create_task_group() as self._tasks:
                try:
                    await self._keep_up()
                except RegistrationRefused as exc:
                    # Raised outside, since a task group wraps what leaves it.
                    refusal = exc
                self._tasks.cancel_scope.cancel()
        finally:
            if self._visit is not None:
                self._visit.tunnel.end("the client stopped")
        if refusal is not None:
            raise refusal

    async def drain(self, timeout_s: float) -> None:
        """Take and open no more sessions, let those there finish within ``timeout_s``, then close the tunnel."""
        await self.finish(timeout_s)
        visit = self._visit
        if visit is not None and not visit.tunnel.over:
            visit.tunnel.close("", "the client shut down")
            with anyio.move_on_after(_CLOSE_S):
                await visit.tunnel.ended()

    async def finish(self, timeout_s: float) -> None:
        """Take and open no more sessions, and return when those there have finished, or ``timeout_s`` is over."""
        self._draining = True
        visit = self._visit
        if visit is not None and not visit.tunnel.over:
            visit.tunnel.go_away("draining")
            with anyio.move_on_after(timeout_s):
                await visit.tunnel.drained()

    # -- rounds

    async def _keep_up(self) -> None:
        backoff = Backoff()
        while self._wanted:
            self._lasted_s = 0.0
            failed = await self._round()
            if not self._wanted:
                return
            visit = self._detached
            if failed:
                backoff.failed()
            elif backoff.lost(self._lasted_s) and visit is not None:
                # Whatever ended the link does not do so often.
                continue
            delay_s = backoff.delay_s(self._random)
            if visit is not None and not visit.tunnel.mux.drained:
                delay_s = min(delay_s, _RESUME_PAUSE_S * self._random.random())
            if failed:
                self._telemetry.record(ConnectFailed(failed, self.failures[failed], delay_s))
            await self._clock.sleep(delay_s)

    @property
    def _wanted(self) -> bool:
        """Whether a link is: while draining only for what has to be finished on it."""
        return not self._draining or self._detached is not None

    @property
    def _detached(self) -> ClientVisit | None:
        """The tunnel that waits to be resumed."""
        visit = self._visit
        return visit if visit is not None and visit.tunnel.mux.detached else None

    def _where(self) -> tuple[str, ...]:
        visit = self._detached
        if visit is None:
            return self._addresses.in_order()
        return self._addresses.of(visit.server_id, lost_for_s=self._clock.now() - visit.lost_at)

    async def _round(self) -> str:
        """Try the servers in order, and carry the first link that comes up to its end.

        Those that are passed over for the next are told of at once: nobody else says why a client is not where it
        would rather be.

        Returns:
            The last server, which could not be used either; empty when a link came up.
        """
        failed = ""
        for url in self._where():
            if not self._wanted:
                return failed
            if failed:
                self._telemetry.record(ConnectFailed(failed, self.failures[failed], 0.0))
            try:
                link = await self._connect(url)
            except LinkError as exc:
                if exc.end is LinkEnd.REFUSED:
                    raise RegistrationRefused(ErrorCode.FORBIDDEN, exc.reason) from exc
                failed, self.failures[url] = url, exc.reason
                continue
            try:
                reason = await self._use(link, url)
            finally:
                link.abort()
            if reason is None:
                return ""
            failed, self.failures[url] = url, reason
        return failed

    async def _connect(self, url: str) -> Link:
        return await self._transports[url.partition(":")[0]].connect(url, timeout_s=self._limits.connect_s)

    async def _use(self, link: Link, url: str) -> str | None:
        """Register, and carry the link to its end; why not, when the server did not take it."""
        life = LinkLife()
        try:
            detached = self._detached
            # A client that drains finishes what it has; registered anew, it would displace its successor.
            resume = None if detached is None else detached.next_attempt(only=self._draining)
            response = await self._registration.ask(link, life, resume)
            visit = self._taken(response, url)
        except RegistrationRefused as exc:
            if exc.code in FATAL_CODES:
                raise
            if self._draining and exc.code is ErrorCode.REFUSED and self._visit is not None:
                self._visit.tunnel.end(exc.reason)
            return exc.reason or exc.code.value
        except LinkError as exc:
            if exc.end is LinkEnd.REFUSED:
                raise RegistrationRefused(ErrorCode.FORBIDDEN, exc.reason) from exc
            return exc.reason
        self.failures.clear()
        if visit is not None:
            await self._carry(link, url, life, response, visit)
        else:
            await _close(link)
        return None

    def _taken(self, response: RegisterResponse, url: str) -> ClientVisit | None:
        """The tunnel that the server's answer is about, new or resumed; None when none is wanted any more.

        Raises:
            LinkError: ``VIOLATED``: the server resumed what it was not asked for, or what is over by now.
        """
        self._addresses.answered(url, response.server_id)
        visit = self._visit
        if response.resumed:
            if visit is None or visit.tunnel_id != response.tunnel_id or not visit.tunnel.mux.detached:
                raise LinkError(LinkEnd.VIOLATED, "the server resumed another tunnel, or one that is over")
            return visit
        if visit is not None:
            visit.tunnel.end("the server has forgotten the tunnel")
        if self._draining:
            return None
        return self._begin(response)

    def _begin(self, response: RegisterResponse) -> ClientVisit:
        visit = self._visit = ClientVisit(
            response,
            client_id=self._client_id,
            configuration=self._configuration,
            clock=self._clock,
            telemetry=self._telemetry,
            on_ready=self._on_ready,
        )
        mux = Multiplexer(
            opens_odd=True,
            local=self._limits.limits(),
            remote=response.limits,
            budget=self._budget,
            now=self._clock.now(),
            settled=False,
        )
        visit.tunnel = Tunnel(
            mux=mux,
            target=self._target,
            owner=visit,
            clock=self._clock,
            signals=self._signals(),
            telemetry=self._telemetry,
        )
        assert self._tasks is not None, "not running"
        self._tasks.start_soon(visit.tunnel.run)
        return visit

    async def _carry(
        self, link: Link, url: str, life: LinkLife, response: RegisterResponse, visit: ClientVisit
    ) -> None:
        since = self._clock.now()
        end = await visit.carry(link, life, response, url=url, timeout_s=self._limits.handshake_s)
        self._lasted_s = self._clock.now() - since
        if not self._draining and end.end is not LinkEnd.CLOSED:
            self._telemetry.record(LinkLost(url, end.end.value, end.reason))
        if end.end in (LinkEnd.CLOSED, LinkEnd.VIOLATED) or isinstance(end, PeerClosed):
            # Something was said that ought to arrive. What is broken is not worth a wait.
            await _close(link)
        if end.end is LinkEnd.REFUSED:
            raise RegistrationRefused(ErrorCode.FORBIDDEN, end.reason)
        if isinstance(end, PeerClosed):
            code = ErrorCode.parse(end.close.code)
            if code in FATAL_CODES:
                raise RegistrationRefused(code, end.reason)


async def _close(link: Link) -> None:
    with anyio.move_on_after(_CLOSE_S, shield=True):
        await link.aclose()
