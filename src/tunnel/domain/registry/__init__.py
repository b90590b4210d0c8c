"""Who is connected, and who of them may be given a session."""

from __future__ import annotations

from tunnel.domain.registry.group_member import GroupMember, MemberKey
from tunnel.domain.registry.records import Attachment, ClientRecord, RegistrySnapshot, TunnelRecord
from tunnel.domain.registry.registry import Admission, Registry
from tunnel.domain.registry.roster import Roster
from tunnel.domain.registry.selectable import Lease, Selectable

__all__ = [
    "Admission",
    "Attachment",
    "ClientRecord",
    "GroupMember",
    "Lease",
    "MemberKey",
    "Registry",
    "RegistrySnapshot",
    "Roster",
    "Selectable",
    "TunnelRecord",
]
