"""The server's side of a link: who comes in, what they are told, and how they leave."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

import anyio

from tunnel.app.handshake import config_parts, deadline, expect, negotiate_version, refuse, say
from tunnel.app.snapshots import PublishedSnapshot, Snapshots
from tunnel.app.tunnel import Tunnel, TunnelClosed
from tunnel.domain.configuration import LimitsSettings
from tunnel.domain.envelopes import (
    ConfigApplied,
    ConfigRejected,
    ConfigSyncRequest,
    ConfigSyncResponse,
    Register,
    RegisterResponse,
)
from tunnel.domain.errors import ErrorCode, LinkError, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId, PeerInfo, Principal, ServerId, TunnelId
from tunnel.domain.link_state import LinkInput, LinkLife, LinkState
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer, TunnelMessage
from tunnel.domain.registry import Registry
from tunnel.ports.authenticator import Authenticator
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory
from tunnel.ports.telemetry import (
    ClientPublished,
    ClientUnpublished,
    LinkLost,
    RegistrationDenied,
    Telemetry,
)
from tunnel.ports.transport import Link, LinkService

__all__ = ["ServerLinks"]

_logger = logging.getLogger("tunnel.links")

_MAX_UNAUTHENTICATED = 256
"""Links that may be between connecting and being authenticated at the same time."""

_MAX_ID_CHARACTERS = 128
_INSTANCE_ID_BYTES = 16


class ServerLinks(LinkService):
    """Registers clients and carries their links.

    Clients may not open sessions: nothing is forwarded for them.

    A client is selectable once it has applied its group's configuration, and never after its link has ended: one path
    cleans up, however a link ends.

    Args:
        server_id: Random per process.
        limits: Announced to clients.
        authenticator: Whose credential it is.
        registry: Where clients are published.
        snapshots: What they are told.
        clock: Time.
        signals: Finds what tasks wait with on the running event loop.
        telemetry: Told of comings and goings.
        budget: The process's receive windows.
    """

    def __init__(
        self,
        *,
        server_id: ServerId,
        limits: LimitsSettings,
        authenticator: Authenticator,
        registry: Registry[Tunnel],
        snapshots: Snapshots,
        clock: Clock,
        signals: Callable[[], SignalFactory],
        telemetry: Telemetry,
        budget: Budget,
    ) -> None:
        self._server_id = server_id
        self._limits = limits
        self._authenticator = authenticator
        self._registry = registry
        self._snapshots = snapshots
        self._clock = clock
        self._signals = signals
        self._telemetry = telemetry
        self._budget = budget
        self._unauthenticated = 0

    # -- LinkService

    async def proxy(self, link: Link) -> None:
        life = LinkLife()
        try:
            request, principal, snapshot = await self._authenticated(link, life)
            await self._serve(link, life, request, principal, snapshot)
        except RegistrationRefused as refusal:
            self._telemetry.record(RegistrationDenied(link.peer.address, refusal.code.value, refusal.reason))
            await refuse(link, refusal)
        except LinkError as exc:
            # Nobody in particular: public ports are knocked at all day.
            _logger.debug("a link from %s ended unregistered: %s", link.peer.address, exc)

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        version = _checked(request)
        _, snapshot = await self._admissible(request.credential, request.group_id, peer)
        return RegisterResponse(
            tunnel_id="",
            resume_token=b"",
            server_id=self._server_id,
            version=version,
            limits=self._limits.limits(),
            config_hash=snapshot.hash,
        )

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        _, snapshot = await self._admissible(request.credential, request.group_id, peer)
        return ConfigSyncResponse(snapshot.version, snapshot.hash, snapshot.encoded)

    # -- one link

    async def _authenticated(self, link: Link, life: LinkLife) -> tuple[Register, Principal, PublishedSnapshot]:
        if self._unauthenticated >= _MAX_UNAUTHENTICATED:
            raise RegistrationRefused(ErrorCode.OVERLOADED, "too many clients are registering")
        self._unauthenticated += 1
        try:
            request = await expect(link, Register, self._limits.handshake_s)
            life.on(LinkInput.REGISTER)
            _checked(request)
            with deadline(self._limits.handshake_s, "authentication"):
                principal, snapshot = await self._admissible(request.credential, request.group_id, link.peer)
        finally:
            self._unauthenticated -= 1
        return request, principal, snapshot

    async def _admissible(self, credential: str, group: str, peer: PeerInfo) -> tuple[Principal, PublishedSnapshot]:
        principal = await self._authenticator.authenticate(credential, peer)
        if not principal.may_join(group):
            raise RegistrationRefused(ErrorCode.FORBIDDEN, f'this credential may not join the group "{group}"')
        return principal, self._snapshots.of(group)

    async def _serve(
        self, link: Link, life: LinkLife, request: Register, principal: Principal, snapshot: PublishedSnapshot
    ) -> None:
        tunnel_id = TunnelId(secrets.token_hex(16))
        mux = Multiplexer(
            opens_odd=False,
            local=self._limits.limits(),
            remote=request.limits,
            budget=self._budget,
            now=self._clock.now(),
            accepts=False,
            settled=False,
        )
        refusal: RegistrationRefused | None = None
        async with anyio.create_task_group() as tasks:
            visit = _Visit(
                link=link,
                life=life,
                request=request,
                principal=principal,
                snapshot=snapshot,
                tunnel_id=tunnel_id,
                registry=self._registry,
                telemetry=self._telemetry,
            )
            tunnel = visit.tunnel = Tunnel(
                mux=mux,
                target=None,
                tasks=tasks,
                clock=self._clock,
                signals=self._signals(),
                telemetry=self._telemetry,
                on_message=visit.on_message,
                on_go_away=visit.on_go_away,
                on_pong=visit.on_pong,
            )
            reason = "the server stopped"
            try:
                visit.admit()
                life.on(LinkInput.ACCEPTED)
                await self._accept(link, tunnel_id, request, snapshot)
                tasks.start_soon(visit.expect_configuration, self._limits.handshake_s)
                await tunnel.carry(link)
            except RegistrationRefused as exc:
                # Raised again outside, since a task group wraps what leaves it.
                refusal = exc
            except TunnelClosed as exc:
                reason = exc.close.message or exc.close.code or "closed by the client"
            except LinkError as exc:
                reason = exc.reason
                self._telemetry.record(LinkLost(link.peer.address, exc.end.value, exc.reason))
            finally:
                visit.leave(reason)
                tasks.cancel_scope.cancel()
        if refusal is not None:
            raise refusal

    async def _accept(self, link: Link, tunnel_id: TunnelId, request: Register, snapshot: PublishedSnapshot) -> None:
        response = RegisterResponse(
            tunnel_id=tunnel_id,
            resume_token=secrets.token_bytes(32),
            server_id=self._server_id,
            version=negotiate_version(request.versions),
            limits=self._limits.limits(),
            config_hash=snapshot.hash,
        )
        with deadline(self._limits.handshake_s, "telling the client its configuration"):
            await say(link, response)
            if request.config_hash != snapshot.hash:
                for part in config_parts(snapshot.version, snapshot.hash, snapshot.encoded):
                    await say(link, part)


def _checked(request: Register) -> int:
    """The protocol version to speak, when the request is sound.

    Raises:
        RegistrationRefused: ``forbidden``: no common version; ``protocol_error``: somebody without a proper name.
    """
    version = negotiate_version(request.versions)
    problem = request.limits.problem()
    if problem is not None:
        raise RegistrationRefused(ErrorCode.PROTOCOL_ERROR, problem)
    client_id = request.client_id
    if not 1 <= len(client_id) <= _MAX_ID_CHARACTERS or not client_id.isprintable():
        raise RegistrationRefused(ErrorCode.PROTOCOL_ERROR, "client_id is not a name of 1 to 128 printable characters")
    if len(request.instance_id) != _INSTANCE_ID_BYTES:
        raise RegistrationRefused(ErrorCode.PROTOCOL_ERROR, "instance_id is not 16 bytes")
    return version


class _Visit:
    """One registered tunnel from its admission to its removal."""

    tunnel: Tunnel

    def __init__(
        self,
        *,
        link: Link,
        life: LinkLife,
        request: Register,
        principal: Principal,
        snapshot: PublishedSnapshot,
        tunnel_id: TunnelId,
        registry: Registry[Tunnel],
        telemetry: Telemetry,
    ) -> None:
        self._link = link
        self._life = life
        self._request = request
        self._principal = principal
        self._snapshot = snapshot
        self._tunnel_id = tunnel_id
        self._registry = registry
        self._telemetry = telemetry
        self._published = False
        self._leaving = False

    def admit(self) -> None:
        request = self._request
        admission = self._registry.admit(
            self._principal,
            client_id=ClientId(request.client_id),
            group=GroupId(request.group_id),
            instance_id=InstanceId(request.instance_id),
            tunnel_id=self._tunnel_id,
            tunnel=self.tunnel,
        )
        for displaced in admission.displaced:
            displaced.close(ErrorCode.SUPERSEDED.value, "another instance of this client has registered")
        # A process that dials again may have lost what it had: nothing is sent there until it has answered.
        for sibling in self._registry.siblings(self._tunnel_id):
            self._registry.unpublish(sibling.tunnel_id)
            sibling.tunnel.ping()

    async def expect_configuration(self, timeout_s: float) -> None:
        """Close a tunnel whose client does not say what became of its configuration."""
        await anyio.sleep(timeout_s)
        if self._life.state is not LinkState.OPEN:
            self.tunnel.close(ErrorCode.PROTOCOL_ERROR.value, f"no config_applied within {timeout_s:g} s")

    def on_message(self, message: TunnelMessage) -> None:
        match message:
            case ConfigApplied(hash=digest) if digest == self._snapshot.hash:
                self._life.on(LinkInput.CONFIGURED)
                self.tunnel.mux.settle()
                self._publish()
            case ConfigRejected(why=why):
                self.tunnel.close(ErrorCode.REFUSED.value, f"the client rejected its configuration: {why}")
            case _:
                self.tunnel.close(ErrorCode.PROTOCOL_ERROR.value, f"unexpected {type(message).__name__}")

    def _publish(self) -> None:
        if self._registry.publish(self._tunnel_id) and not self._published:
            self._published = True
            self._telemetry.record(
                ClientPublished(
                    client_id=self._request.client_id,
                    group=self._request.group_id,
                    principal=self._principal.name,
                    tunnel_id=self._tunnel_id,
                    transport=self._link.peer.transport,
                    address=self._link.peer.address,
                )
            )

    def on_go_away(self) -> None:
        self._leaving = True
        self._registry.unpublish(self._tunnel_id)

    def on_pong(self) -> None:
        """The client is there after all, should it have been doubted."""
        if self._published and not self._leaving:
            self._registry.publish(self._tunnel_id)

    def leave(self, reason: str) -> None:
        """Forget the tunnel and end what is inside it. The one way out, however the link ended."""
        self._registry.remove(self._tunnel_id)
        self.tunnel.end(reason)
        if self._published:
            self._telemetry.record(
                ClientUnpublished(
                    client_id=self._request.client_id,
                    group=self._request.group_id,
                    tunnel_id=self._tunnel_id,
                    reason=reason,
                )
            )
