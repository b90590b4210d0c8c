"""What happened, told to whoever watches: frozen records and one callable."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeAlias

import msgspec

__all__ = [
    "ClientConfigured",
    "ClientPublished",
    "ClientUnpublished",
    "ConfigurationApplied",
    "ConfigurationReloaded",
    "ConnectFailed",
    "Event",
    "LinkLost",
    "Listening",
    "MemberEjected",
    "MemberReturned",
    "RegistrationDenied",
    "SessionFailed",
    "TargetEjected",
    "TargetReturned",
    "Telemetry",
    "TunnelDetached",
    "TunnelReady",
    "TunnelResumed",
]


class Listening(msgspec.Struct, frozen=True):
    """A listener accepts: kind ``transport`` or ``ingress``."""

    kind: str
    name: str
    address: str


class ClientPublished(msgspec.Struct, frozen=True):
    """Server: a client's tunnel can be selected from now on."""

    client_id: str
    group: str
    principal: str
    tunnel_id: str
    transport: str
    address: str


class ClientUnpublished(msgspec.Struct, frozen=True):
    """Server: a client's tunnel is not selected any more."""

    client_id: str
    group: str
    tunnel_id: str
    reason: str


class ClientConfigured(msgspec.Struct, frozen=True):
    """Server: a client took over a version of its group's configuration, or kept its own because of ``rejected``."""

    client_id: str
    group: str
    version: int
    rejected: str = ""


class TunnelDetached(msgspec.Struct, frozen=True):
    """A tunnel lost its link, and is kept for a while in case the client comes back on another."""

    client_id: str
    tunnel_id: str
    reason: str


class TunnelResumed(msgspec.Struct, frozen=True):
    """A tunnel goes on, on another link, with everything inside it. ``address`` is the far end's."""

    client_id: str
    tunnel_id: str
    transport: str
    address: str


class RegistrationDenied(msgspec.Struct, frozen=True):
    """Server: somebody was turned away."""

    address: str
    code: str
    reason: str


class TunnelReady(msgspec.Struct, frozen=True):
    """Client: registered and configured; the server may send sessions."""

    client_id: str
    server: str
    tunnel_id: str


class ConfigurationApplied(msgspec.Struct, frozen=True):
    """Client: took over a pushed configuration, or rejected it with ``rejected`` saying why."""

    version: int
    hash: str
    rejected: str = ""


class ConfigurationReloaded(msgspec.Struct, frozen=True):
    """Other settings are in force since now, or were refused with ``error`` saying why.

    Args:
        source: Where they are kept.
        version: Of the settings in force: 1 those at the start, one more with each reload.
        error: Why the settings of before were kept; empty when they were not.
    """

    source: str
    version: int
    error: str = ""


class LinkLost(msgspec.Struct, frozen=True):
    """A link ended other than by our own closing."""

    peer: str
    end: str
    reason: str


class ConnectFailed(msgspec.Struct, frozen=True):
    """Client: a server address could not be used; the next attempt comes after ``retry_s`` seconds."""

    server: str
    reason: str
    retry_s: float


class MemberEjected(msgspec.Struct, frozen=True):
    """Server: a client of a group failed too often, and is given no sessions for ``ejection_s`` seconds.

    Args:
        group: Which group.
        member: ``PRINCIPAL/CLIENT_ID``.
        reason: The last failure: an error code, or ``status 503``.
        ejection_s: Seconds.
    """

    group: str
    member: str
    reason: str
    ejection_s: float


class MemberReturned(msgspec.Struct, frozen=True):
    """Server: an ejected client answered again; its share grows from now on."""

    group: str
    member: str


class TargetEjected(msgspec.Struct, frozen=True):
    """Client: a target of an upstream failed too often, and is given no sessions for ``ejection_s`` seconds.

    Args:
        upstream: Which upstream.
        target: Its URL.
        reason: The last failure: an error code, or ``status 503``.
        ejection_s: Seconds.
    """

    upstream: str
    target: str
    reason: str
    ejection_s: float


class TargetReturned(msgspec.Struct, frozen=True):
    """Client: an ejected target answered again; its share grows from now on."""

    upstream: str
    target: str


class SessionFailed(msgspec.Struct, frozen=True):
    """A conversation ended with an error. ``detail`` is for operators only."""

    code: str
    message: str
    detail: str


Event: TypeAlias = (
    Listening
    | ClientPublished
    | ClientUnpublished
    | ClientConfigured
    | TunnelDetached
    | TunnelResumed
    | RegistrationDenied
    | TunnelReady
    | ConfigurationApplied
    | ConfigurationReloaded
    | LinkLost
    | ConnectFailed
    | MemberEjected
    | MemberReturned
    | TargetEjected
    | TargetReturned
    | SessionFailed
)


class Telemetry(Protocol):
    """Receives events; must neither block nor raise."""

    @abstractmethod
    def record(self, event: Event) -> None:
        """Take note of ``event``."""
