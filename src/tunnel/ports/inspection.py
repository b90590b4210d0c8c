"""What operators are shown of a server or a client at work: frozen values, and where they come from.

Whatever is read is a copy of one moment. Reading yields to other tasks after every few hundred tunnels or sessions, so
that it never holds up the data path; parts of a large picture may then be some milliseconds apart.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

from tunnel.ports.activity import (
    ClientPage,
    ClientView,
    GroupLoad,
    ListenerView,
    Measurement,
    ProcessLoad,
    Readiness,
    Stats,
    Status,
    TunnelView,
)
from tunnel.ports.rule_views import Explained, NearMissView, RulePage, RuleView

__all__ = [
    "ClientInspection",
    "ClientPage",
    "ClientView",
    "Explained",
    "GroupLoad",
    "Inspection",
    "ListenerView",
    "Measurement",
    "NearMissView",
    "ProcessLoad",
    "Readiness",
    "RulePage",
    "RuleView",
    "ServerInspection",
    "Stats",
    "Status",
    "TunnelView",
]


class Inspection(Protocol):
    """Looks at a server or a client. Nothing that is returned holds a secret."""

    @abstractmethod
    def readiness(self) -> Readiness:
        """Whether traffic should be sent here now."""

    @abstractmethod
    async def status(self) -> Status:
        """It as a whole."""

    @abstractmethod
    async def stats(self) -> Stats:
        """What it holds."""

    @abstractmethod
    async def measure(self) -> Measurement:
        """What metrics are made of."""

    @abstractmethod
    async def config(self) -> Mapping[str, object]:
        """The settings in force, of JSON types, each secret replaced by ``***``."""


class ServerInspection(Inspection, Protocol):
    """Looks at a server."""

    @abstractmethod
    async def clients(self, *, offset: int, limit: int) -> ClientPage:
        """Up to ``limit`` clients, after the first ``offset``."""

    @abstractmethod
    async def rules(self, *, group: str | None, offset: int, limit: int, forward: str | None = None) -> RulePage | None:
        """Up to ``limit`` rules of the server, or of a group, after the first ``offset``; None: no such group.

        Args:
            group: Whose rules; None: the server's.
            offset: How many to pass over.
            limit: How many at most.
            forward: The forward rules that name this group instead.
        """

    @abstractmethod
    async def explain(self, url: str, *, method: str | None, forward: str | None = None) -> Explained:
        """Where a request goes.

        Args:
            url: What is asked for, ``http(s)://`` or ``ws(s)://``.
            method: Of the request; None: GET.
            forward: Of which group a client makes it, at its entry; None: a visitor of the server does.

        Raises:
            ConfigurationError: This is no such request; the key path is ``url`` or ``method``, or it is ``forward``:
                there is no such group.
        """


class ClientInspection(Inspection, Protocol):
    """Looks at a client."""

    @abstractmethod
    async def tunnels(self) -> tuple[TunnelView, ...]:
        """Its tunnels: one, two while it changes over to other settings."""
