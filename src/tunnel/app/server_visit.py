"""One registered client's tunnel as the server keeps it, from its admission to its removal, over however many links."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio

from tunnel.app.claims import Claims
from tunnel.app.handshake import CAPABILITIES, PROTOCOL_VERSION, config_parts, deadline, say
from tunnel.app.link_work import PeerClosed
from tunnel.app.snapshots import PublishedSnapshot
from tunnel.app.tunnel import Tunnel
from tunnel.app.tunnel_owner import TunnelOwner
from tunnel.domain.claims.claim import Claim
from tunnel.domain.configuration import LimitsSettings
from tunnel.domain.envelopes import ConfigApplied, ConfigRejected, Register, RegisterResponse
from tunnel.domain.errors import ErrorCode, LinkEnd, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId, Principal, ServerId, TunnelId
from tunnel.domain.link_state import LinkInput, LinkLife, LinkState
from tunnel.domain.mux.multiplexer import TunnelMessage
from tunnel.domain.offers import Offers
from tunnel.domain.registry import Registry
from tunnel.domain.resumption import Resumption, Verdict
from tunnel.ports.telemetry import (
    ClientConfigured,
    ClientPublished,
    ClientUnpublished,
    LinkLost,
    Telemetry,
    TunnelDetached,
    TunnelResumed,
)
from tunnel.ports.transport import Link

__all__ = ["ServerVisit"]


class ServerVisit(TunnelOwner):
    """A tunnel's place in the registry, its configuration, and its right to be resumed.

    Attributes:
        tunnel: Set by whoever makes both, before anything else.

    Args:
        request: With which it was registered; its claim, if any, as it was granted.
        principal: Whose it is.
        snapshot: What its group's clients are told.
        tunnel_id: Its id.
        server_id: This process.
        limits: Announced to it.
        resume_token: Proves that a later link is the same client's.
        registry: Where it is published.
        claims: Where what it serves is held, if it is a claim.
        public_url: Where visitors find a claim; None where that cannot be told.
        telemetry: Told of comings and goings.
        visits: All that there are, by tunnel; this one takes itself out when it is over.
    """

    tunnel: Tunnel

    def __init__(
        self,
        *,
        request: Register,
        principal: Principal,
        snapshot: PublishedSnapshot,
        tunnel_id: TunnelId,
        server_id: ServerId,
        limits: LimitsSettings,
        resume_token: bytes,
        registry: Registry[Tunnel],
        claims: Claims,
        public_url: Callable[[Claim], str | None],
        telemetry: Telemetry,
        visits: dict[TunnelId, ServerVisit],
    ) -> None:
        self.principal = principal
        self.claim = request.claim
        self.group = request.group_id if request.claim is None else request.claim.group
        self.tunnel_id = tunnel_id
        self._client_id = request.client_id
        self._snapshot = snapshot
        self._server_id = server_id
        self._limits = limits
        self._resumption = Resumption(resume_token, principal, request)
        self._registry = registry
        self._claims = claims
        self._public_url = public_url
        self._telemetry = telemetry
        self._visits = visits
        self._life = LinkLife()
        self._link: Link | None = None
        self._offers = Offers()
        self._configured = False
        self._has_applied = False
        self._published = False
        self._answered = True

    def admit(self, instance_id: InstanceId) -> None:
        """Enter the registry; tunnels of another process of the same client are displaced.

        Raises:
            RegistrationRefused: The registry does not take it, or what it claims is not to be had; nothing has changed.
        """
        if self.claim is not None:
            self._claims.hold(self.principal, self.claim, self.tunnel_id)
        try:
            self._enter(instance_id)
        except RegistrationRefused:
            self._claims.release(self.tunnel_id)
            raise

    def _enter(self, instance_id: InstanceId) -> None:
        admission = self._registry.admit(
            self.principal,
            client_id=ClientId(self._client_id),
            group=GroupId(self.group),
            instance_id=instance_id,
            tunnel_id=self.tunnel_id,
            tunnel=self.tunnel,
        )
        for displaced in admission.displaced:
            displaced.close(ErrorCode.SUPERSEDED.value, "another instance of this client has registered")
        # A process that dials again may have lost what it had, without anybody here having noticed.
        for sibling in self._siblings():
            sibling.doubt()

    def _siblings(self) -> list[ServerVisit]:
        siblings = (self._visits.get(each.tunnel_id) for each in self._registry.siblings(self.tunnel_id))
        return [each for each in siblings if each is not None]

    def doubt(self) -> None:
        """Ask the client for a sign of life."""
        self._answered = False
        self.tunnel.ping()

    def judge(self, request: Register, principal: Principal) -> Verdict:
        """Whether ``request``, freshly authenticated, continues this tunnel.

        One that was closed ends instead: its client has left the link on which it is being told so.
        """
        verdict = self._resumption.judge(request, principal)
        return Verdict.UNKNOWN if verdict is Verdict.ACCEPTED and self.tunnel.end_if_closed() else verdict

    # -- links

    async def carry(self, link: Link, life: LinkLife, request: Register, *, resumes: bool) -> None:
        """Answer the registration and carry the link to its end.

        Args:
            link: On which the registration came.
            life: Where that link is in its life.
            request: The registration.
            resumes: Whether it was accepted as the continuation of this tunnel; a link it had until now is fenced
                before anything is awaited.
        """
        self._life, self._link = life, link
        resume = request.resume.received if resumes and request.resume is not None else None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._expect_configuration, life)
            end = await self.tunnel.carry(link, greet=partial(self._greet, link, life, request), resume=resume)
            tasks.cancel_scope.cancel()
        if not isinstance(end, PeerClosed) and end.end is not LinkEnd.CLOSED:
            self._telemetry.record(LinkLost(link.peer.address, end.end.value, end.reason))

    async def _greet(self, link: Link, life: LinkLife, request: Register) -> None:
        resumes = self.tunnel.mux.detached
        snapshot = self._snapshot
        response = RegisterResponse(
            tunnel_id=self.tunnel_id,
            resume_token=self._resumption.token,
            server_id=self._server_id,
            version=PROTOCOL_VERSION,
            resumed=resumes,
            received=self.tunnel.mux.received if resumes else 0,
            capabilities=CAPABILITIES,
            limits=self._limits.limits(),
            config_hash=snapshot.hash,
            claim=self.claim,
            public_url="" if self.claim is None else self._public_url(self.claim) or "",
        )
        self._offers.clear()
        self._offers.add(snapshot.version, snapshot.hash)
        with deadline(self._limits.handshake_s, "telling the client its configuration"):
            await say(link, response)
            if request.config_hash != snapshot.hash:
                for part in config_parts(snapshot.version, snapshot.hash, snapshot.encoded):
                    await say(link, part)
        life.on(LinkInput.RESUMED if resumes else LinkInput.ACCEPTED)
        self._configured = resumes and request.config_hash == snapshot.hash

    async def _expect_configuration(self, life: LinkLife) -> None:
        """Close a tunnel whose client does not say what became of its configuration."""
        await anyio.sleep(self._limits.handshake_s)
        # Greeting it has a deadline of its own, and a tunnel that is being resumed outlives a link that misses it.
        if life.state is LinkState.CONFIGURING:
            timeout_s = self._limits.handshake_s
            self.tunnel.close(ErrorCode.PROTOCOL_ERROR.value, f"no config_applied within {timeout_s:g} s")

    # -- configuration

    def configure(self, principal: Principal, snapshot: PublishedSnapshot) -> None:
        """Go on under what the credential is worth now, and push the group's configuration if it is another."""
        self.principal = principal
        known = self._snapshot.hash
        self._snapshot = snapshot
        if snapshot.hash != known:
            self._push()

    def _push(self) -> None:
        snapshot = self._snapshot
        if self._life.state is LinkState.OPEN or self._life.state is LinkState.CONFIGURING:
            self._offers.add(snapshot.version, snapshot.hash)
            self.tunnel.say(*config_parts(snapshot.version, snapshot.hash, snapshot.encoded))

    def on_message(self, message: TunnelMessage) -> None:
        match message:
            case ConfigApplied(version, digest) if offered := self._offers.answered(version, digest):
                self._life.on(LinkInput.CONFIGURED)
                self.tunnel.mux.settle()
                self._has_applied = True
                self._registry.configured(self.tunnel_id, offered, digest)
                self._decided(offered)
            case ConfigRejected(version, digest, why) if offered := self._offers.answered(version, digest):
                self._decided(offered, rejected=why or "no reason given")
            case _:
                self.tunnel.close(ErrorCode.PROTOCOL_ERROR.value, f"unexpected {type(message).__name__}")

    def _decided(self, version: int, *, rejected: str = "") -> None:
        """The client has applied the configuration of this version, or says why not."""
        self._telemetry.record(ClientConfigured(self._client_id, self.group, version, rejected=rejected))
        if not self._has_applied:
            self.tunnel.close(ErrorCode.REFUSED.value, f"the client rejected its configuration: {rejected}")
            return
        # With one that is rejected it goes on by the configuration it had.
        self._configured = True
        self._publish()

    # -- in and out of the registry

    def _publish(self) -> None:
        if not self._registry.publish(self.tunnel_id) or self._published:
            return
        self._published = True
        for sibling in self._siblings():
            if not sibling._answered:
                # Until it does, this tunnel serves.
                self._registry.unpublish(sibling.tunnel_id)
        assert self._link is not None
        self._telemetry.record(
            ClientPublished(
                client_id=self._client_id,
                group=self.group,
                principal=self.principal.name,
                tunnel_id=self.tunnel_id,
                transport=self._link.peer.transport,
                address=self._link.peer.address,
            )
        )

    def on_go_away(self) -> None:
        self._registry.drain(self.tunnel_id)

    def on_pong(self) -> None:
        """The client is there after all, should it have been doubted."""
        self._answered = True
        if self._published and self._configured:
            self._publish()

    def on_attached(self, *, resumed: bool) -> None:
        self._answered = True
        if resumed:
            assert self._link is not None
            peer = self._link.peer
            self._telemetry.record(TunnelResumed(self._client_id, self.tunnel_id, peer.transport, peer.address))
        if self._snapshot.version not in self._offers:
            # Changed while the client was being told.
            self._push()
        if self._configured:
            self._publish()

    def on_detached(self, reason: str) -> None:
        self._registry.detach(self.tunnel_id)
        self._telemetry.record(TunnelDetached(self._client_id, self.tunnel_id, reason))

    def revoke(self, why: str) -> None:
        """The client may not be here any more: it is told, and cut off."""
        if self.claim is None:
            self._registry.drain(self.tunnel_id)
        else:
            # What it has claimed is somebody else's to have, whether or not it listens.
            self._registry.remove(self.tunnel_id)
            self._claims.release(self.tunnel_id)
        self.tunnel.close(ErrorCode.FORBIDDEN.value, why)

    def on_ended(self, reason: str) -> None:
        """Forget the tunnel. The one way out, however it ended."""
        self._registry.remove(self.tunnel_id)
        self._claims.release(self.tunnel_id)
        self._visits.pop(self.tunnel_id, None)
        if self._published:
            self._telemetry.record(
                ClientUnpublished(client_id=self._client_id, group=self.group, tunnel_id=self.tunnel_id, reason=reason)
            )
