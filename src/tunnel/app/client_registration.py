"""What a client says of itself on a new link, and what the server answers."""

from __future__ import annotations

from tunnel.app.asked_claim import AskedClaim, no_claims
from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.handshake import CLAIMS, PROTOCOL_VERSION, check_limits, deadline, expect, say
from tunnel.domain.configuration import LimitsSettings, Secret
from tunnel.domain.envelopes import Register, RegisterResponse, ResumeRequest
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId
from tunnel.domain.link_state import LinkInput, LinkLife
from tunnel.ports.telemetry import ClaimGranted, Telemetry
from tunnel.ports.transport import Link

__all__ = ["ClientRegistration", "Identity"]


class Identity:
    """Who this client is to a server.

    Args:
        client_id: Its name.
        group: What it serves; empty with a claim.
        claim: What it serves instead; None: its group.
        instance_id: Random per process.
        credential: Its token.
    """

    def __init__(
        self,
        client_id: ClientId,
        group: GroupId,
        instance_id: InstanceId,
        credential: Secret,
        *,
        claim: AskedClaim | None = None,
    ) -> None:
        self.client_id = client_id
        self.group = group
        self.claim = claim
        self.instance_id = instance_id
        self.credential = credential


class ClientRegistration:
    """Registers a client, on one link after another.

    Args:
        identity: Who it is.
        configuration: What it goes by now, and takes snapshots.
        limits: Announced to the server.
        telemetry: Told what claims are granted.
    """

    def __init__(
        self,
        identity: Identity,
        configuration: ClientConfiguration,
        *,
        limits: LimitsSettings,
        telemetry: Telemetry,
    ) -> None:
        self._identity = identity
        self._configuration = configuration
        self._limits = limits
        self._telemetry = telemetry

    async def ask(self, link: Link, life: LinkLife, resume: ResumeRequest | None) -> RegisterResponse:
        """Register on ``link``.

        Args:
            link: Nothing has been said on it.
            life: Where it is in its life.
            resume: The tunnel to go on with; None for a new one.

        Returns:
            What the server accepted.

        Raises:
            RegistrationRefused: The server will not have this client, for now or for good.
            LinkError: The link is lost, or the answer did not come in time or makes no sense.
        """
        identity = self._identity
        claim = identity.claim
        request = Register(
            versions=(PROTOCOL_VERSION,),
            client_id=identity.client_id,
            group_id=identity.group,
            instance_id=identity.instance_id,
            credential=identity.credential.reveal(),
            capabilities=() if claim is None else (CLAIMS,),
            config_hash=self._configuration.hash,
            resume=resume,
            limits=self._limits.limits(),
            claim=None if claim is None else claim.next,
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
        try:
            response = await expect(link, RegisterResponse, self._limits.handshake_s)
        except RegistrationRefused as refusal:
            if claim is not None and claim.ignored_by(refusal):
                raise no_claims() from refusal
            if claim is not None and claim.begins_anew(refusal):
                # Not for good: the next attempt asks for any host.
                raise RegistrationRefused(ErrorCode.REFUSED, refusal.reason) from refusal
            raise
        check_limits(response.limits)
        if claim is not None:
            before = claim.grant
            grant = claim.answered(response)
            if grant != before:
                self._telemetry.record(ClaimGranted(identity.client_id, grant.host, grant.path_prefix, grant.url))
        return response
