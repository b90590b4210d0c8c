"""``use = "ip_filter"``: lets pass by address."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tunnel.domain.errors import ConfigurationError, ErrorCode
from tunnel.domain.middleware.visitor import Networks, visitor_of
from tunnel.domain.refusal import Refusal
from tunnel.ports.middleware import Middleware
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["IpFilterMiddleware", "IpFilterOptions"]


class IpFilterOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``: addresses and CIDR networks.

    Args:
        allow: Who may pass; empty: everybody that is not denied.
        deny: Who may not, even if allowed.
        trusted_proxies: Who may say for whom it asks.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()


class IpFilterMiddleware(Middleware):
    """Refuses visitors by address with ``forbidden``, and those whose address nobody knows.

    Args:
        options: Who may pass.

    Raises:
        ConfigurationError: Something is no network, or there is none.

    Source: Traefik, IPAllowList; Envoy, RBAC by ``remote_ip``.
    """

    Options: ClassVar[type[msgspec.Struct]] = IpFilterOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "grpc", "websocket", "tcp"})

    def __init__(self, options: IpFilterOptions) -> None:
        self._allow = Networks(options.allow, "allow")
        self._deny = Networks(options.deny, "deny")
        self._trusted = Networks(options.trusted_proxies, "trusted_proxies")
        if not self._allow and not self._deny:
            raise ConfigurationError("expected at least one network in allow or deny")

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        visitor = visitor_of(stream.head, stream.peer, self._trusted)
        if visitor is None or visitor in self._deny or (self._allow and visitor not in self._allow):
            raise Refusal(ErrorCode.FORBIDDEN, "this address may not ask for this")
        await target.handle(stream)
