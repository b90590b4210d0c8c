"""Who is at the other end."""

from __future__ import annotations

from typing import NewType

import msgspec

from tunnel.domain.certificate import Certificate

__all__ = ["ClientId", "GroupId", "InstanceId", "PeerInfo", "Principal", "ServerId", "TunnelId"]

ClientId = NewType("ClientId", str)
GroupId = NewType("GroupId", str)
TunnelId = NewType("TunnelId", str)
ServerId = NewType("ServerId", str)
InstanceId = NewType("InstanceId", bytes)
"""128 random bits that tell one client process from the next."""


class PeerInfo(msgspec.Struct, frozen=True):
    """The far end of a link, as its transport sees it.

    Args:
        transport: Scheme of the transport, ``grpc``, ``grpcs``, ``ws``, ``wss``, ``memory``.
        address: ``host:port`` of the peer, for logs; empty when there is none.
        certificate: The client's, where the listener verified one in the handshake; None otherwise.
    """

    transport: str
    address: str = ""
    certificate: Certificate | None = None


class Principal(msgspec.Struct, frozen=True):
    """An authenticated identity and what it may do.

    Args:
        name: Unique within the server; registry keys are (principal, client_id).
        groups: Groups it may join. None listed: none.
        hosts: Hosts it may claim, exact or ``*.suffix``. None listed: none.
        credential_id: Tells the credential that proved it from others of the same name. Opaque, and no secret: nothing
            can be proved with it. Empty where an authenticator does not tell credentials apart.
    """

    name: str
    groups: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    credential_id: str = ""

    def may_join(self, group: str) -> bool:
        """Whether this identity may register as a member of ``group``."""
        return group in self.groups
