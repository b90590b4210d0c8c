"""One tunnel as the client keeps it, from its registration to its end, over however many links."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.tunnel import Tunnel
from tunnel.app.tunnel_owner import TunnelOwner
from tunnel.domain.envelopes import ConfigApplied, ConfigRejected, ConfigSyncResponse, RegisterResponse, ResumeRequest
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError
from tunnel.domain.identity import ClientId
from tunnel.domain.link_state import LinkInput, LinkLife, LinkState
from tunnel.domain.mux.multiplexer import TunnelMessage
from tunnel.domain.resumption import ResumeTicket
from tunnel.ports.clock import Clock
from tunnel.ports.telemetry import Telemetry, TunnelDetached, TunnelReady, TunnelResumed
from tunnel.ports.transport import Link

__all__ = ["ClientVisit"]


class ClientVisit(TunnelOwner):
    """A tunnel's configuration, whether the server sends sessions by now, and the right to resume it.

    Attributes:
        tunnel: Set by whoever makes both, before anything else.
        lost_at: When its link was lost, in seconds.
        ready_since: Since when the server sends sessions on the attached link; None when it does not.

    Args:
        response: With which the server took the registration.
        client_id: Who this client is.
        configuration: Takes snapshots.
        clock: Time.
        telemetry: Told of comings and goings.
        on_ready: Called with True when the server sends sessions here, with False when it does not any more.
    """

    tunnel: Tunnel

    def __init__(
        self,
        response: RegisterResponse,
        *,
        client_id: ClientId,
        configuration: ClientConfiguration,
        clock: Clock,
        telemetry: Telemetry,
        on_ready: Callable[[bool], None],
    ) -> None:
        self._ticket = ResumeTicket(
            tunnel_id=response.tunnel_id, token=response.resume_token, server_id=response.server_id
        )
        self._client_id = client_id
        self._configuration = configuration
        self._clock = clock
        self._telemetry = telemetry
        self._on_ready = on_ready
        self._life = LinkLife()
        self._link: Link | None = None
        self._url = ""
        self._config_hash = ""
        self._configured = False
        self._has_applied = False
        """Whether a configuration was ever applied on this tunnel."""
        self.lost_at = 0.0
        self.ready_since: float | None = None

    @property
    def server_id(self) -> str:
        """Which server process has the other end."""
        return self._ticket.server_id

    @property
    def tunnel_id(self) -> str:
        """As the server named it."""
        return self._ticket.tunnel_id

    @property
    def url(self) -> str:
        """Which server was dialled for the last link."""
        return self._url

    def next_attempt(self, *, only: bool) -> ResumeRequest:
        """What to say in the next registration, in order to go on with this tunnel, and with ``only`` no other."""
        return self._ticket.next_attempt(self.tunnel.mux.received, only=only)

    async def carry(
        self, link: Link, life: LinkLife, response: RegisterResponse, *, url: str, timeout_s: float
    ) -> LinkError:
        """Carry a link that the server accepted, to its end.

        Args:
            link: The link.
            life: Where it is in its life.
            response: The server's answer to the registration.
            url: Which server was dialled.
            timeout_s: For the configuration to come.

        Returns:
            How it ended.
        """
        self._life, self._link, self._url, self._config_hash = life, link, url, response.config_hash
        self._configured = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._expect_configuration, timeout_s)
            resume = response.received if response.resumed else None
            try:
                end = await self.tunnel.carry(link, greet=_nothing_to_say, resume=resume)
            finally:
                self._not_ready()
            tasks.cancel_scope.cancel()
        return end

    async def _expect_configuration(self, timeout_s: float) -> None:
        """Close a tunnel whose server does not send a configuration that can be applied."""
        await anyio.sleep(timeout_s)
        if not self._configured and self._life.state is not LinkState.OPEN:
            self.tunnel.close(ErrorCode.PROTOCOL_ERROR.value, f"no configuration within {timeout_s:g} s")

    def _applied(self, answer: ConfigApplied) -> None:
        """Tell the server, and find out when it has heard: from then on it sends sessions."""
        self._life.on(LinkInput.CONFIGURED)
        self._has_applied = True
        self._answered(answer)

    def _answered(self, answer: ConfigApplied | ConfigRejected) -> None:
        self._configured = True
        self.tunnel.mux.settle()
        self.tunnel.say(answer)
        self.tunnel.ping()

    def _not_ready(self) -> None:
        if self.ready_since is not None:
            self.ready_since = None
            self._on_ready(False)

    # -- TunnelOwner

    def on_message(self, message: TunnelMessage) -> None:
        if not isinstance(message, ConfigSyncResponse):
            raise LinkError(LinkEnd.VIOLATED, f"unexpected {type(message).__name__}")
        answer = self._configuration.take(message)
        if isinstance(answer, ConfigApplied):
            self._applied(answer)
        elif isinstance(answer, ConfigRejected):
            if self._has_applied:
                # What was applied before stays in force.
                self._answered(answer)
            else:
                self.tunnel.say(answer)

    def on_attached(self, *, resumed: bool) -> None:
        if resumed:
            self._life.on(LinkInput.RESUMED)
            assert self._link is not None
            peer = self._link.peer
            self._telemetry.record(TunnelResumed(self._client_id, self.tunnel_id, peer.transport, peer.address))
        else:
            self._life.on(LinkInput.ACCEPTED)
        if self._config_hash and self._config_hash == self._configuration.hash:
            self._applied(ConfigApplied(0, self._config_hash))

    def on_pong(self) -> None:
        if self._configured and self.ready_since is None:
            self.ready_since = self._clock.now()
            self._telemetry.record(TunnelReady(self._client_id, self._url, self.tunnel_id))
            self._on_ready(True)

    def on_go_away(self) -> None:
        """Sessions under way finish; the server closes the tunnel when they have."""

    def on_detached(self, reason: str) -> None:
        self.lost_at = self._clock.now()
        self._telemetry.record(TunnelDetached(self._client_id, self.tunnel_id, reason))

    def on_ended(self, reason: str) -> None:
        self._not_ready()


async def _nothing_to_say() -> None:
    """The client's part of the handshake ends with register."""
