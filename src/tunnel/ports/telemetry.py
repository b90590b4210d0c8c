"""What happened, told to whoever watches: frozen records and one callable."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeAlias

import msgspec

__all__ = [
    "ClientPublished",
    "ClientUnpublished",
    "ConfigurationApplied",
    "ConnectFailed",
    "Event",
    "LinkLost",
    "Listening",
    "RegistrationDenied",
    "SessionFailed",
    "Telemetry",
    "TunnelReady",
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


class SessionFailed(msgspec.Struct, frozen=True):
    """A conversation ended with an error. ``detail`` is for operators only."""

    code: str
    message: str
    detail: str


Event: TypeAlias = (
    Listening
    | ClientPublished
    | ClientUnpublished
    | RegistrationDenied
    | TunnelReady
    | ConfigurationApplied
    | LinkLost
    | ConnectFailed
    | SessionFailed
)


class Telemetry(Protocol):
    """Receives events; must neither block nor raise."""

    @abstractmethod
    def record(self, event: Event) -> None:
        """Take note of ``event``."""
