"""Keeps one tunnel to a server up: dials, registers, carries, and starts anew when it is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio

from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.handshake import FATAL_CODES, PROTOCOL_VERSION, check_limits, deadline, expect, say
from tunnel.app.tunnel import Tunnel, TunnelClosed
from tunnel.domain.backoff import Backoff
from tunnel.domain.configuration import LimitsSettings, Secret
from tunnel.domain.envelopes import ConfigApplied, ConfigRejected, ConfigSyncResponse, Register, RegisterResponse
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId
from tunnel.domain.link_state import LinkInput, LinkLife
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer, TunnelMessage
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory
from tunnel.ports.telemetry import ConnectFailed, LinkLost, Telemetry, TunnelReady
from tunnel.ports.transport import Link, Transport

__all__ = ["Dialer", "Identity"]

_CLOSE_S = 1.0


class Identity:
    """Who this client is to a server.

    Args:
        client_id: Its name.
        group: What it serves.
        instance_id: Random per process.
        credential: Its token.
    """

    def __init__(self, client_id: ClientId, group: GroupId, instance_id: InstanceId, credential: Secret) -> None:
        self.client_id = client_id
        self.group = group
        self.instance_id = instance_id
        self.credential = credential


class Dialer:
    """Runs one tunnel after another, for as long as the server does not refuse for good.

    Args:
        servers: URLs in order of preference; each round starts with the first.
        transports: By URL scheme.
        identity: Who this client is.
        configuration: Takes snapshots, handles conversations.
        limits: Announced to the server.
        clock: Time.
        signals: Finds what tasks wait with on the running event loop.
        random: For jitter.
        telemetry: Told of comings and goings.
        budget: The process's receive windows.
        on_ready: Called with True once the server has published this client, with False when the tunnel is lost.
    """

    def __init__(
        self,
        *,
        servers: Sequence[str],
        transports: Mapping[str, Transport],
        identity: Identity,
        configuration: ClientConfiguration,
        limits: LimitsSettings,
        clock: Clock,
        signals: Callable[[], SignalFactory],
        random: RandomSource,
        telemetry: Telemetry,
        budget: Budget,
        on_ready: Callable[[bool], None],
    ) -> None:
        self._servers = servers
        self._transports = transports
        self._identity = identity
        self._configuration = configuration
        self._limits = limits
        self._clock = clock
        self._signals = signals
        self._random = random
        self._telemetry = telemetry
        self._budget = budget
        self._on_ready = on_ready
        self._tunnel: Tunnel | None = None
        self._draining = False
        self._lasted_s = 0.0

    async def run(self) -> None:
        """Keep a tunnel up until drained or cancelled.

        Raises:
            RegistrationRefused: The server will not have this client.
        """
        backoff = Backoff()
        while not self._draining:
            self._lasted_s = 0.0
            reason = await self._round()
            if self._draining:
                return
            backoff.reset_if_stable(self._lasted_s)
            delay_s = backoff.next_delay_s(self._random)
            if reason is not None:
                self._telemetry.record(ConnectFailed(reason[0], reason[1], delay_s))
            await self._clock.sleep(delay_s)

    async def drain(self, timeout_s: float) -> None:
        """Take no more sessions, let those there finish within ``timeout_s``, then close the tunnel."""
        self._draining = True
        tunnel = self._tunnel
        if tunnel is not None:
            tunnel.go_away("draining")
            with anyio.move_on_after(timeout_s):
                await tunnel.drained()
            tunnel.close("", "the client shut down")
            with anyio.move_on_after(_CLOSE_S):
                await tunnel.ended()

    async def _round(self) -> tuple[str, str] | None:
        """Try the servers in order, and carry the first tunnel that comes up to its end.

        Returns:
            The last server and why it could not be used; None when a tunnel came up.
        """
        failed: tuple[str, str] | None = None
        for url in self._servers:
            if self._draining:
                return failed
            try:
                link = await self._transports[url.partition(":")[0]].connect(url, timeout_s=self._limits.connect_s)
            except LinkError as exc:
                if exc.end is LinkEnd.REFUSED:
                    raise RegistrationRefused(ErrorCode.FORBIDDEN, exc.reason) from exc
                failed = (url, exc.reason)
                continue
            try:
                failed = await self._use(link, url)
            finally:
                with anyio.move_on_after(_CLOSE_S, shield=True):
                    await link.aclose()
                link.abort()
            if failed is None:
                return None
        return failed

    async def _use(self, link: Link, url: str) -> tuple[str, str] | None:
        life = LinkLife()
        try:
            response = await self._register(link, life)
        except RegistrationRefused as exc:
            if exc.code in FATAL_CODES:
                raise
            return url, exc.reason or exc.code.value
        except LinkError as exc:
            if exc.end is LinkEnd.REFUSED:
                raise RegistrationRefused(ErrorCode.FORBIDDEN, exc.reason) from exc
            return url, exc.reason
        if not self._draining:
            await self._carry(link, url, life, response)
        return None

    async def _register(self, link: Link, life: LinkLife) -> RegisterResponse:
        identity = self._identity
        request = Register(
            versions=(PROTOCOL_VERSION,),
            client_id=identity.client_id,
            group_id=identity.group,
            instance_id=identity.instance_id,
            credential=identity.credential.reveal(),
            config_hash=self._configuration.hash,
            limits=self._limits.limits(),
        )
        self._configuration.begin()
        try:
            with deadline(self._limits.handshake_s, "sending register"):
                await say(link, request)
        except LinkError as exc:
            # A server that closed right away may have said why; that is still there to be received.
            if exc.end is not LinkEnd.ENDED:
                raise
        life.on(LinkInput.REGISTER)
        response = await expect(link, RegisterResponse, self._limits.handshake_s)
        check_limits(response.limits)
        life.on(LinkInput.ACCEPTED)
        return response

    async def _carry(self, link: Link, url: str, life: LinkLife, response: RegisterResponse) -> None:
        mux = Multiplexer(
            opens_odd=True,
            local=self._limits.limits(),
            remote=response.limits,
            budget=self._budget,
            now=self._clock.now(),
            settled=False,
        )
        refusal: RegistrationRefused | None = None
        async with anyio.create_task_group() as tasks:
            visit = _Visit(life, self._configuration)
            tunnel = visit.tunnel = self._tunnel = Tunnel(
                mux=mux,
                target=self._configuration,
                tasks=tasks,
                clock=self._clock,
                signals=self._signals(),
                telemetry=self._telemetry,
                on_message=visit.on_message,
                on_go_away=visit.on_go_away,
                on_pong=lambda: self._published(visit, url, response),
            )
            reason = "the client stopped"
            since = self._clock.now()
            try:
                if response.config_hash and response.config_hash == self._configuration.hash:
                    visit.applied(ConfigApplied(0, response.config_hash))
                tasks.start_soon(visit.expect_configuration, self._limits.handshake_s)
                await tunnel.carry(link)
            except TunnelClosed as exc:
                reason = exc.close.message or exc.close.code
                code = ErrorCode.parse(exc.close.code)
                if code in FATAL_CODES:
                    # Raised outside, since a task group wraps what leaves it.
                    refusal = RegistrationRefused(code, reason)
                self._telemetry.record(LinkLost(url, LinkEnd.ENDED.value, reason))
            except LinkError as exc:
                reason = exc.reason
                if exc.end is LinkEnd.REFUSED:
                    refusal = RegistrationRefused(ErrorCode.FORBIDDEN, reason)
                if not self._draining:
                    self._telemetry.record(LinkLost(url, exc.end.value, exc.reason))
            finally:
                self._tunnel = None
                if visit.ready:
                    self._lasted_s = self._clock.now() - since
                    self._on_ready(False)
                tunnel.end(reason)
                tasks.cancel_scope.cancel()
        await self._configuration.discard_replaced()
        if refusal is not None:
            raise refusal

    def _published(self, visit: _Visit, url: str, response: RegisterResponse) -> None:
        if visit.configured and not visit.ready:
            visit.ready = True
            self._telemetry.record(TunnelReady(self._identity.client_id, url, response.tunnel_id))
            self._on_ready(True)


class _Visit:
    """One registered tunnel, as the client sees it."""

    tunnel: Tunnel

    def __init__(self, life: LinkLife, configuration: ClientConfiguration) -> None:
        self._life = life
        self._configuration = configuration
        self.configured = False
        self.ready = False

    def on_message(self, message: TunnelMessage) -> None:
        if not isinstance(message, ConfigSyncResponse):
            raise LinkError(LinkEnd.VIOLATED, f"unexpected {type(message).__name__}")
        answer = self._configuration.take(message)
        if isinstance(answer, ConfigApplied):
            self.applied(answer)
        elif isinstance(answer, ConfigRejected):
            self.tunnel.say(answer)

    async def expect_configuration(self, timeout_s: float) -> None:
        """Close a tunnel whose server does not send a configuration that can be applied."""
        await anyio.sleep(timeout_s)
        if not self.configured:
            self.tunnel.close(ErrorCode.PROTOCOL_ERROR.value, f"no configuration within {timeout_s:g} s")

    def applied(self, answer: ConfigApplied) -> None:
        """Tell the server, and find out when it has heard: from then on it sends sessions."""
        self._life.on(LinkInput.CONFIGURED)
        self.configured = True
        self.tunnel.mux.settle()
        self.tunnel.say(answer)
        self.tunnel.ping()

    def on_go_away(self) -> None:
        """Sessions under way finish; the server closes the tunnel when they have."""
