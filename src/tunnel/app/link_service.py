"""The server's side of a link: who comes in, what they are told, and how they leave."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Final, assert_never

import anyio
import msgspec
from anyio.abc import TaskGroup

from tunnel.app.claims import Claims
from tunnel.app.forward_target import ForwardTargets
from tunnel.app.handshake import CAPABILITIES, deadline, expect, negotiate_version, refuse
from tunnel.app.server_visit import ServerVisit
from tunnel.app.snapshots import CLAIM_SNAPSHOT, PublishedSnapshot, Snapshots
from tunnel.app.tunnel import Tunnel
from tunnel.domain.claims.claim import Claim
from tunnel.domain.configuration import LimitsSettings
from tunnel.domain.envelopes import ConfigSyncRequest, ConfigSyncResponse, Register, RegisterResponse
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.identity import ClientId, InstanceId, PeerInfo, Principal, ServerId, TunnelId
from tunnel.domain.limits import MAX_TEXT_CHARS
from tunnel.domain.link_state import LinkInput, LinkLife
from tunnel.domain.mux.budget import Budget
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.registry import MemberKey, Registry
from tunnel.domain.resumption import Verdict
from tunnel.ports.authenticator import Authenticator
from tunnel.ports.clock import Clock
from tunnel.ports.signal import SignalFactory
from tunnel.ports.telemetry import RegistrationDenied, Telemetry
from tunnel.ports.transport import Link, LinkService

__all__ = ["ServerLinks"]

_logger = logging.getLogger("tunnel.links")

_MAX_UNAUTHENTICATED = 256
"""Links that may be between connecting and being authenticated at the same time."""

_MAX_ID_CHARACTERS = 128
_INSTANCE_ID_BYTES = 16
_RESUME_TOKEN_BYTES: Final = 32


class ServerLinks(LinkService):
    """Registers clients, keeps their tunnels, and carries their links.

    What clients open is served by ``forward``, of which each tunnel gets a target of its own. Where that serves nothing
    of a group, openings are answered with ``forbidden``.

    A client is selectable once it has applied its group's configuration, and never after its link has ended: one path
    cleans up, however a link ends. Links are carried while ``run`` runs.

    Args:
        server_id: Random per process.
        limits: Announced to clients.
        authenticator: Whose credential it is.
        registry: Where clients are published.
        claims: Hosts that clients serve by themselves.
        public_url: Where visitors find a claim; None where that cannot be told.
        snapshots: What they are told.
        clock: Time.
        signals: Finds what tasks wait with on the running event loop.
        telemetry: Told of comings and goings.
        budget: The process's receive windows.
        forward: Handles the sessions that clients open.
    """

    def __init__(
        self,
        *,
        server_id: ServerId,
        limits: LimitsSettings,
        authenticator: Authenticator,
        registry: Registry[Tunnel],
        claims: Claims,
        public_url: Callable[[Claim], str | None],
        snapshots: Snapshots,
        clock: Clock,
        signals: Callable[[], SignalFactory],
        telemetry: Telemetry,
        budget: Budget,
        forward: ForwardTargets,
    ) -> None:
        self._server_id = server_id
        self._limits = limits
        self._authenticator = authenticator
        self._registry = registry
        self._claims = claims
        self._public_url = public_url
        self._snapshots = snapshots
        self._clock = clock
        self._signals = signals
        self._telemetry = telemetry
        self._budget = budget
        self._forward = forward
        self._unauthenticated = 0
        self.links = 0
        """Links that are open."""
        self._visits: dict[TunnelId, ServerVisit] = {}
        self._tasks: TaskGroup | None = None

    async def run(self, started: Callable[[], None]) -> None:
        """Keep tunnels, which outlive their links, until cancelled; then end them all.

        Args:
            started: Called once links may come in.
        """
        try:
            async with anyio.create_task_group() as self._tasks:
                started()
                await anyio.sleep_forever()
        finally:
            self._tasks = None
            for visit in list(self._visits.values()):
                visit.tunnel.end("the server stopped")

    def configure(self, *, limits: LimitsSettings, authenticator: Authenticator, snapshots: Snapshots) -> None:
        """Go on with other settings.

        Tunnels registered from now on get all of them. Those there keep their limits, are pushed their group's
        configuration if it is another, and are closed with ``forbidden`` when their credential does not let them into
        their group any more, or does not cover what they have claimed. Whether their sessions are taken is as
        ``forward`` says by now.

        Args:
            limits: Announced to clients.
            authenticator: Whose credential it is, and what it is worth now.
            snapshots: What clients are told.
        """
        self._limits = limits
        self._authenticator = authenticator
        self._snapshots = snapshots
        remaining: list[tuple[ServerVisit, Principal]] = []
        for visit in list(self._visits.values()):
            visit.tunnel.mux.accept(accepts=self._forward.serves(visit.group))
            principal = authenticator.current(visit.principal)
            if principal is None:
                visit.revoke("the credential was revoked")
                continue
            remaining.append((visit, principal))
            if visit.claim is not None:
                self._claims.renew(principal, visit.tunnel_id)
        for visit, principal in remaining:
            try:
                if visit.claim is None:
                    visit.configure(principal, self._snapshot(principal, visit.group))
                else:
                    # Who may share a host depends on what all credentials are worth now.
                    self._claims.review(visit.tunnel_id)
                    visit.configure(principal, CLAIM_SNAPSHOT)
            except RegistrationRefused as refusal:
                visit.revoke(refusal.reason)

    # -- LinkService

    async def proxy(self, link: Link) -> None:
        self.links += 1
        try:
            await self._proxy(link)
        finally:
            self.links -= 1

    async def _proxy(self, link: Link) -> None:
        life = LinkLife()
        try:
            request, principal, snapshot = await self._authenticated(link, life)
            # Nothing is awaited from here until an older link of the same tunnel is fenced.
            visit = self._resumed(request, principal)
            if visit is None:
                visit = self._registered(request, principal, snapshot)
                await visit.carry(link, life, request, resumes=False)
            else:
                await visit.carry(link, life, request, resumes=True)
        except RegistrationRefused as refusal:
            # It may quote what came, whose length nobody has looked at.
            reason = refusal.reason[:MAX_TEXT_CHARS]
            self._telemetry.record(RegistrationDenied(link.peer.address, refusal.code.value, reason))
            await refuse(link, RegistrationRefused(refusal.code, reason))
        except LinkError as exc:
            # Nobody in particular: public ports are knocked at all day.
            _logger.debug("a link from %s ended unregistered: %s", link.peer.address, exc)

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        version = _checked(request)
        principal = await self._authentic(request.credential, peer)
        granted, snapshot = self._admissible(request, principal)
        # A host that this server chooses is another with each registration: one of a mere question means nothing.
        claim = None if request.claim is None or not request.claim.host else granted.claim
        return RegisterResponse(
            tunnel_id="",
            resume_token=b"",
            server_id=self._server_id,
            version=version,
            capabilities=CAPABILITIES,
            limits=self._limits.limits(),
            config_hash=snapshot.hash,
            claim=claim,
            public_url="" if claim is None else self._public_url(claim) or "",
        )

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        snapshot = self._snapshot(await self._authentic(request.credential, peer), request.group_id)
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
                principal = await self._authentic(request.credential, link.peer)
            request, snapshot = self._admissible(request, principal)
        finally:
            self._unauthenticated -= 1
        return request, principal, snapshot

    async def _authentic(self, credential: str, peer: PeerInfo) -> Principal:
        proven = await self._authenticator.authenticate(credential, peer)
        # Other settings may have come into force meanwhile, and looked through those there are.
        principal = self._authenticator.current(proven)
        if principal is None:
            raise RegistrationRefused(ErrorCode.UNAUTHENTICATED, "the credential was revoked")
        return principal

    def _admissible(self, request: Register, principal: Principal) -> tuple[Register, PublishedSnapshot]:
        """The request with its claim as it is granted, and what a client is told that serves what it asks for.

        Raises:
            RegistrationRefused: ``forbidden`` or ``overloaded``.
        """
        if request.claim is None:
            return request, self._snapshot(principal, request.group_id)
        if request.group_id:
            raise RegistrationRefused(ErrorCode.FORBIDDEN, "either a group or a claim is asked for, not both")
        granted = self._claims.grant(principal, request.claim)
        return msgspec.structs.replace(request, claim=granted), CLAIM_SNAPSHOT

    def _snapshot(self, principal: Principal, group: str) -> PublishedSnapshot:
        if not principal.may_join(group):
            raise RegistrationRefused(ErrorCode.FORBIDDEN, f'this credential may not join the group "{group}"')
        return self._snapshots.of(group)

    # -- tunnels

    def _resumed(self, request: Register, principal: Principal) -> ServerVisit | None:
        """The tunnel that ``request`` continues; None when it is to get one of its own.

        Raises:
            LinkError: A later attempt has been accepted: this link is of no use.
            RegistrationRefused: ``REFUSED``: no other tunnel is wanted, and that one is not here.
        """
        resume = request.resume
        if resume is None:
            return None
        visit = self._visits.get(TunnelId(resume.tunnel_id))
        match Verdict.UNKNOWN if visit is None else visit.judge(request, principal):
            case Verdict.ACCEPTED:
                return visit
            case Verdict.STALE:
                raise LinkError(LinkEnd.VIOLATED, "an attempt to resume that a later one has overtaken")
            case Verdict.UNKNOWN:
                if resume.only:
                    raise RegistrationRefused(ErrorCode.REFUSED, "the tunnel cannot be resumed here")
                return None
            case verdict:
                assert_never(verdict)

    def _registered(self, request: Register, principal: Principal, snapshot: PublishedSnapshot) -> ServerVisit:
        """A new tunnel, running and in the registry.

        Raises:
            LinkError: ``CLOSED``: the server has stopped while the client was being authenticated.
            RegistrationRefused: The registry does not take it.
        """
        if self._tasks is None:
            raise LinkError(LinkEnd.CLOSED, "the server has stopped")
        visit = ServerVisit(
            request=request,
            principal=principal,
            snapshot=snapshot,
            tunnel_id=TunnelId(secrets.token_hex(16)),
            server_id=self._server_id,
            limits=self._limits,
            resume_token=secrets.token_bytes(_RESUME_TOKEN_BYTES),
            registry=self._registry,
            claims=self._claims,
            public_url=self._public_url,
            telemetry=self._telemetry,
            visits=self._visits,
        )
        mux = Multiplexer(
            opens_odd=False,
            local=self._limits.limits(),
            remote=request.limits,
            budget=self._budget,
            now=self._clock.now(),
            # What was claimed is not to be somebody else's, because a link is lost.
            keeps_idle=visit.claim is not None,
            accepts=self._forward.serves(request.group_id),
            settled=False,
        )
        visit.tunnel = Tunnel(
            mux=mux,
            target=self._forward.of(MemberKey(principal.name, ClientId(request.client_id)), request.group_id),
            owner=visit,
            clock=self._clock,
            signals=self._signals(),
            telemetry=self._telemetry,
        )
        visit.admit(InstanceId(request.instance_id))
        self._visits[visit.tunnel_id] = visit
        self._tasks.start_soon(visit.tunnel.run)
        return visit


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
