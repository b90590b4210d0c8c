"""Who is connected, and who of them may be given a session."""

from __future__ import annotations

from tunnel.domain.registry.records import ClientRecord, RegistrySnapshot, TunnelRecord
from tunnel.domain.registry.registry import Admission, Registry
from tunnel.domain.registry.selectable import Lease, MemberKey, Selectable

__all__ = [
    "Admission",
    "ClientRecord",
    "Lease",
    "MemberKey",
    "Registry",
    "RegistrySnapshot",
    "Selectable",
    "TunnelRecord",
]
