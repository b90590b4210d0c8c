"""The registry at one moment, for status pages."""

from __future__ import annotations

import msgspec

from tunnel.domain.identity import ClientId, GroupId, TunnelId

__all__ = ["ClientRecord", "RegistrySnapshot", "TunnelRecord"]


class TunnelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One tunnel.

    Args:
        tunnel_id: Its id.
        group: Which group it serves.
        published: Whether it takes new sessions.
        in_flight: Sessions it is serving.
    """

    tunnel_id: TunnelId
    group: GroupId
    published: bool
    in_flight: int


class ClientRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One client.

    Args:
        principal: Name of the credential it came with.
        client_id: Its own name, unique within the principal.
        group: The group its newest tunnel serves.
        tunnels: In order of registration; at least one.
    """

    principal: str
    client_id: ClientId
    group: GroupId
    tunnels: tuple[TunnelRecord, ...]

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
