"""The registry at one moment, for status pages."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tunnel.domain.health.state import HealthState
from tunnel.domain.identity import ClientId, GroupId, TunnelId

__all__ = ["ClientRecord", "Attachment", "RegistrySnapshot", "TunnelRecord"]


class Attachment(StrEnum):
    """How a tunnel stands to links."""

    ATTACHED = "attached"
    DRAINING = "draining"
    """Attached, and takes no more sessions, ever."""
    DETACHED = "detached"
    """Without a link; waits for another."""


class TunnelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One tunnel.

    Args:
        tunnel_id: Its id.
        group: Which group it serves.
        published: Whether it takes new sessions.
        in_flight: Sessions it is serving.
        state: How it stands to links.
        config_version: Of the configuration its client has applied; 0: none yet.
        config_hash: Of the same; empty: none yet.
    """

    tunnel_id: TunnelId
    group: GroupId
    published: bool
    in_flight: int
    state: Attachment = Attachment.ATTACHED
    config_version: int = 0
    config_hash: str = ""


class ClientRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One client.

    Args:
        principal: Name of the credential it came with.
        client_id: Its own name, unique within the principal.
        group: The group its newest tunnel serves.
        tunnels: In order of registration; at least one.
        health: As a member of that group.
    """

    principal: str
    client_id: ClientId
    group: GroupId
    tunnels: tuple[TunnelRecord, ...]
    health: HealthState = HealthState.HEALTHY

    @property
    def in_flight(self) -> int:
        """Sessions it is serving over all its tunnels."""
        return sum(tunnel.in_flight for tunnel in self.tunnels)


class RegistrySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Every client, in order of registration.

    Args:
        generation: As ``Registry.generation``.
        clients: All that have a tunnel.
    """

    generation: int
    clients: tuple[ClientRecord, ...]
