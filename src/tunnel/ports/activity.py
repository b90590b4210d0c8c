"""What a server or a client is doing, as operators are shown it: frozen values, copies of one moment."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = [
    "ClientPage",
    "ClientView",
    "GroupLoad",
    "ListenerView",
    "Measurement",
    "ProcessLoad",
    "Readiness",
    "Stats",
    "Status",
    "TunnelView",
]


class Readiness(msgspec.Struct, frozen=True):
    """Whether traffic should be sent here.

    Args:
        ready: Whether it should.
        reasons: Why not; empty when it should.
    """

    ready: bool
    reasons: tuple[str, ...] = ()


class ListenerView(msgspec.Struct, frozen=True):
    """One listener.

    Args:
        kind: ``transport``, ``ingress``, ``entry`` or ``admin``.
        name: Of its configuration table.
        address: Where it listens, with the real port.
        accepting: Whether it accepts.
    """

    kind: str
    name: str
    address: str
    accepting: bool


class ProcessLoad(msgspec.Struct, frozen=True):
    """What a process holds.

    Args:
        tasks: Of the event loop.
        open_files: Files and sockets; None where the system does not tell.
    """

    tasks: int
    open_files: int | None


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What is held at this moment. At rest every figure is what it was at rest before, or something has leaked.

    Args:
        links: Physical connections between clients and servers, those in their handshake included.
        tunnels: Attached and detached.
        sessions: Not finished, in all tunnels.
        handlers: Conversations opened by the peer that are being handled here.
        waiting_requests: Requests that wait for a client; on a client for a tunnel.
        waiting_sends: Openings, messages and sessions that wait for the next frame.
        unframed_bytes: Cost of what waits to be framed.
        retained_frames: Frames sent and not acknowledged.
        retained_bytes: Their cost.
        unread_bytes: Cost of what arrived and waits to be read.
        promised_bytes: Credit promised to peers, all sessions together.
        tasks: As ``ProcessLoad.tasks``; some rest and wait for the next request, so it settles after the first ones.
        open_files: As ``ProcessLoad.open_files``; connections that are kept alive are among them.
    """

    links: int = 0
    tunnels: int = 0
    sessions: int = 0
    handlers: int = 0
    waiting_requests: int = 0
    waiting_sends: int = 0
    unframed_bytes: int = 0
    retained_frames: int = 0
    retained_bytes: int = 0
    unread_bytes: int = 0
    promised_bytes: int = 0
    tasks: int = 0
    open_files: int | None = None


class GroupLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One group of a server.

    Args:
        group: Its name.
        clients: By health: ``healthy``, ``ejected`` and so on.
        tunnels: By state: ``attached``, ``draining``, ``detached``.
        sessions: That its clients are serving.
        waiting_requests: Requests that wait for a client.
    """

    group: str
    clients: Mapping[str, int]
    tunnels: Mapping[str, int]
    sessions: int
    waiting_requests: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A server or a client as a whole.

    Args:
        kind: ``server`` or ``client``.
        version: Of the software.
        uptime_s: Seconds since it was started.
        settings_version: 1 at the start, one more with each reload.
        ready: As ``Readiness.ready``.
        reasons: As ``Readiness.reasons``.
        listeners: Its listeners.
        clients: Clients connected to a server; on a client 0.
        tunnels: Attached and detached.
        sessions: That are under way.
        groups: Names of a server's groups; the one that a client serves.
        client_id: A client's name; None on a server.
        claims: Hosts, or parts of them, that clients of a server have claimed.
        url: Where visitors find what a client has claimed; None where it has not, or its server cannot tell.
        routes: Conversations of a client's entries that ended, by the way they went: ``tunnel``, ``direct``.
    """

    kind: str
    version: str
    uptime_s: float
    settings_version: int
    ready: bool
    reasons: tuple[str, ...]
    listeners: tuple[ListenerView, ...]
    clients: int
    tunnels: int
    sessions: int
    groups: tuple[str, ...]
    client_id: str | None = None
    claims: int = 0
    url: str | None = None
    routes: Mapping[str, int] = {}


class TunnelView(msgspec.Struct, frozen=True, kw_only=True):
    """One tunnel.

    Args:
        tunnel_id: Its id.
        transport: Of its link, ``grpc``, ``ws``, ``memory``; None without a link.
        address: The far end's; None without a link.
        state: ``attached``, ``draining`` or ``detached``.
        published: Whether it is given new sessions.
        sessions: Not finished.
        round_trip_s: The shortest of late, in seconds; None before it is known.
        promised_bytes: Credit promised to the peer.
        retained_bytes: Sent and not acknowledged.
        config_version: Of the configuration that its client has applied, as the server counts; 0: none yet, or unknown,
            as on a client.
        config_hash: Of the same; empty: none yet.
    """

    tunnel_id: str
    transport: str | None
    address: str | None
    state: str
    published: bool
    sessions: int
    round_trip_s: float | None
    promised_bytes: int
    retained_bytes: int
    config_version: int
    config_hash: str


class ClientView(msgspec.Struct, frozen=True, kw_only=True):
    """One client of a server.

    Args:
        principal: Name of its credential.
        client_id: Its name among those of that credential.
        group: Which group it serves.
        health: As a member of that group.
        sessions: That it is serving.
        tunnels: In order of registration.
    """

    principal: str
    client_id: str
    group: str
    health: str
    sessions: int
    tunnels: tuple[TunnelView, ...]


class ClientPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of a server's clients, in order of registration.

    Args:
        total: All there are.
        generation: Another than on the page before: clients have come or gone, and places have shifted.
        next_offset: Where the next page starts; None: this is the last.
        clients: Those of this page.
    """

    total: int
    generation: int
    next_offset: int | None
    clients: tuple[ClientView, ...]


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What metrics are made of.

    Args:
        readiness: Whether traffic should be sent here.
        version: Of the software.
        settings_version: As in ``Status``.
        listeners: Its listeners.
        stats: What is held.
        budget_bytes: Most credit that may be promised at the same time.
        groups: Of a server.
        round_trips_s: Of the attached tunnels, as far as known, in seconds.
    """

    readiness: Readiness
    version: str
    settings_version: int
    listeners: tuple[ListenerView, ...]
    stats: Stats
    budget_bytes: int
    groups: tuple[GroupLoad, ...]
    round_trips_s: tuple[float, ...]
