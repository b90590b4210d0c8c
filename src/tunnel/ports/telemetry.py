"""What happened, told to whoever watches: frozen records and one callable."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeAlias

import msgspec

__all__ = [
    "ClaimGranted",
    "CertificateOutOfDate",
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
    "ProtocolUnanswered",
    "AccessLogLost",
    "RegistrationDenied",
    "RequestRefused",
    "SessionEnded",
    "SessionFailed",
    "TargetEjected",
    "TargetReturned",
    "Telemetry",
    "TunnelDetached",
    "TunnelReady",
    "TunnelResumed",
]


class Listening(msgspec.Struct, frozen=True):
    """A listener accepts: kind ``transport``, ``ingress``, ``entry`` or ``admin``."""

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


class ClaimGranted(msgspec.Struct, frozen=True):
    """Client: the server lets it serve a host of its own; told again only when host, prefix or URL are others.

    Args:
        client_id: Its name.
        host: In lower case.
        path_prefix: ``/`` for all paths.
        url: Where visitors find it; None where the server cannot tell.
    """

    client_id: str
    host: str
    path_prefix: str
    url: str | None


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


class CertificateOutOfDate(msgspec.Struct, frozen=True):
    """A certificate of this side is not valid now. It is used all the same; others will hardly accept it.

    Args:
        where: Key path of the setting that names its file.
        reason: Since when, or until when.
    """

    where: str
    reason: str


class LinkLost(msgspec.Struct, frozen=True):
    """A link ended other than by our own closing."""

    peer: str
    end: str
    reason: str


class ConnectFailed(msgspec.Struct, frozen=True):
    """Client: a server address could not be used; the next attempt comes after ``retry_s`` seconds.

    Args:
        server: URL.
        reason: Why.
        retry_s: 0 where the next of the client's servers is tried at once.
    """

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


class ProtocolUnanswered(msgspec.Struct, frozen=True):
    """Conversations were led to an upstream whose targets do not answer their protocol, and got ``route_not_found``.

    Told at most once a minute for each upstream and protocol, by the side that has the upstream.

    Args:
        upstream: Which upstream.
        protocol: ``http``, ``grpc`` or ``websocket``; ``unknown`` for any other.
        conversations: How many, since it was told last.
    """

    upstream: str
    protocol: str
    conversations: int


class SessionFailed(msgspec.Struct, frozen=True):
    """A conversation ended with an error. ``detail`` is for operators only."""

    code: str
    message: str
    detail: str
    request_id: str = ""


class SessionEnded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A conversation is over, however it went; told where it entered, once. Never holds a query, a field or a cookie.

    Told only to those whose ``wants_sessions`` is set.

    Args:
        protocol: ``http``, ``grpc``, ``websocket`` or ``tcp``; ``other`` for whatever else a client wrote there.
        direction: ``to_client``, from a visitor of the server; ``to_server``, from an entry of a client.
        request_id: Its X-Request-Id; empty when it has none.
        peer: Address of whoever is connected: the visitor, or the proxy before it. Empty when it has none, and of what
            came through a tunnel.
        method: Of HTTP, ``GET``; of gRPC, ``POST``.
        host: The authority that was asked for.
        path: Without the query, as received, and cut after 1,024 characters; of gRPC ``/service/method``.
        rule: The server's rule that chose the group, ``rules[N]``, or the upstream, ``forward.rules[N]``; empty when
            none matched.
        group: Which group; empty when none was found. To the server: whose client opened it.
        member: The client that had it last, ``PRINCIPAL/CLIENT_ID``; empty when none had it. To the server: that opened
            it.
        upstream: Where the server chose it, as for TCP and of its own; else the client did, and it is empty.
        route: Which way it went from an entry, ``tunnel`` or ``direct``, past it; empty where it entered elsewhere.
        outcome: ``ok``, or an error code; ``cancelled`` when the visitor left, or was cut off.
        status: What the visitor got: the status of HTTP, the code of gRPC, the close code of a WebSocket or the status
            that refused it; 0 where there is none.
        duration_s: Seconds, from when its head was read to when its answer was handed over whole.
        first_byte_s: Seconds until the answer began; None when it never did.
        received_bytes: From the visitor: of bodies and messages.
        sent_bytes: To the visitor, likewise; documents that tell of errors are not counted.
        tries: How many times it was given to a client, or to the server.
    """

    protocol: str
    direction: str = "to_client"
    request_id: str = ""
    peer: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    rule: str = ""
    group: str = ""
    member: str = ""
    upstream: str = ""
    route: str = ""
    outcome: str
    status: int = 0
    duration_s: float
    first_byte_s: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    tries: int = 0


class RequestRefused(msgspec.Struct, frozen=True, kw_only=True):
    """An ingress turned a request away that no target has seen: malformed, too large, or too slow.

    Args:
        protocol: ``http``, ``grpc``, ``websocket`` or ``tcp``.
        code: Why.
        status: What the visitor was told.
        request_id: Its X-Request-Id; empty when it has none.
        peer: Address of whoever is connected.
        method: Empty when that is not known.
        path: Without query; empty when it is not known, or not certain to be one.
    """

    protocol: str
    code: str
    status: int
    request_id: str = ""
    peer: str = ""
    method: str = ""
    path: str = ""


class AccessLogLost(msgspec.Struct, frozen=True):
    """Records did not make it into the access log. Told at most once in ten seconds.

    Args:
        records: How many, since it was told last.
        reason: Why the last of them did not.
    """

    records: int
    reason: str


Event: TypeAlias = (
    Listening
    | ClientPublished
    | ClientUnpublished
    | ClientConfigured
    | TunnelDetached
    | TunnelResumed
    | RegistrationDenied
    | TunnelReady
    | ClaimGranted
    | ConfigurationApplied
    | ConfigurationReloaded
    | CertificateOutOfDate
    | LinkLost
    | ConnectFailed
    | MemberEjected
    | MemberReturned
    | TargetEjected
    | TargetReturned
    | ProtocolUnanswered
    | SessionFailed
    | SessionEnded
    | RequestRefused
    | AccessLogLost
)


class Telemetry(Protocol):
    """Receives events; must neither block nor raise."""

    wants_sessions: bool = False
    """Whether it is told of every conversation that ended; making that record costs each of them a microsecond."""

    @abstractmethod
    def record(self, event: Event) -> None:
        """Take note of ``event``."""
