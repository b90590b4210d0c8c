"""Claims in the configuration: ``[claims]`` of a server, ``[claim]`` of a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from tunnel.domain.balancing import DEFAULT_STRATEGY
from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.normal_form import normal_claim
from tunnel.domain.configuration.balance import DEFAULT_HASH_ON, check_balance
from tunnel.domain.configuration.groups import GroupSettings, UpstreamSettings
from tunnel.domain.configuration.mistakes import key_path, mistake, unknown_name
from tunnel.domain.findings import Findings

__all__ = ["ClaimSettings", "ClaimsSettings"]


class ClaimsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[claims]`` of a server: what holds for every claim. Who may claim what, tokens say.

    Args:
        max_claims: At the same time; further ones are refused as ``overloaded``.
        max_claims_per_principal: Of one credential.
        balance: Strategy that chooses among the clients that share a claim.
        hash_on: What decides which requests go to the same client; as in a group.
        wait_for_client_s: How long a request waits while a claim's clients are all without a link. Long enough for
            one that lost it to be back.
        max_waiting: Requests that wait for the same claim; further ones fail at once.
    """

    max_claims: Annotated[int, Meta(ge=0, le=1_000_000)] = 10_000
    max_claims_per_principal: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    balance: str = DEFAULT_STRATEGY
    hash_on: str = DEFAULT_HASH_ON
    wait_for_client_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    max_waiting: Annotated[int, Meta(ge=0, le=1_000_000)] = 100

    def check(self, found: Findings) -> None:
        """Refuse what types let pass."""
        check_balance("claims", balance=self.balance, weights={}, hash_on=self.hash_on, found=found)

    def group(self) -> GroupSettings:
        """What the group of a claim goes by: it has neither rules nor upstreams, which are the client's own."""
        return GroupSettings(
            balance=self.balance,
            hash_on=self.hash_on,
            wait_for_client_s=self.wait_for_client_s,
            max_waiting=self.max_waiting,
        )


class ClaimSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[claim]`` of a client: what it asks to serve, instead of joining a group.

    Args:
        host: ``demo.example.test``; None: the server chooses one, and the client keeps it for as long as it runs.
        path_prefix: Whole segments; ``/`` for all paths. Forwarded unchanged, the prefix included.
        upstream: Which of the client's ``upstreams`` serves all of it; None: the only one there is.
    """

    host: str | None = None
    path_prefix: str = "/"
    upstream: str | None = None

    def check(self, upstreams: Mapping[str, UpstreamSettings], found: Findings) -> None:
        """Refuse what cannot be claimed, or would have nobody to serve it.

        Args:
            upstreams: The client's own.
            found: Takes the mistakes.
        """
        with found:
            normal_claim(self.host, self.path_prefix, "claim")
        if self.upstream is None and len(upstreams) != 1:
            raise mistake(
                "claim.upstream", "the name of one of [upstreams.NAME], or exactly one of these and no such key"
            )
        if self.upstream is not None and self.upstream not in upstreams:
            raise unknown_name(self.upstream, upstreams, "claim.upstream", kind="upstream", add="[upstreams.NAME]")
        server = self.served_by(upstreams)
        if upstreams[server].tcp and found.clean(f"{key_path('upstreams', server)}.targets"):
            raise mistake("claim.upstream", "an upstream of HTTP or gRPC; TCP has no hosts that could be claimed")

    def served_by(self, upstreams: Mapping[str, UpstreamSettings]) -> str:
        """Name of the upstream that serves it, once checked."""
        return next(iter(upstreams)) if self.upstream is None else self.upstream

    def claim(self) -> Claim:
        """As it is asked for."""
        return normal_claim(self.host, self.path_prefix, "claim")
