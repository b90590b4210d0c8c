"""Makes a client's lines of its settings, with the parts that its container names."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tunnel.app.applications import Applications
from tunnel.app.asked_claim import AskedClaim
from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.client_line import ClientLine
from tunnel.app.client_registration import Identity
from tunnel.app.container import ClientContainer
from tunnel.app.dialer import Dialer
from tunnel.app.upstreams import by_scheme
from tunnel.domain.configuration import ClientSettings
from tunnel.domain.configuration.addresses import parse_server_url
from tunnel.domain.configuration.proxies import PROXIED_SCHEMES, Proxy, proxy_towards
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.identity import ClientId, GroupId, InstanceId
from tunnel.ports.transport import Transport

__all__ = ["LineMaker"]

_TLS_SCHEMES: Final = frozenset({"grpcs", "wss"})


_INSTANCE_ID_BYTES: Final = 16


class LineMaker:
    """Makes lines that are all of one instance: to a server the same process, whatever it is told to be.

    So a tunnel that is dialled beside another does not supersede it.

    Args:
        container: Names the parts.
        applications: Those that targets in this process are.
        start: Runs something in the background.
        on_change: Called when a line is ready, not any more, or over.
    """

    def __init__(
        self,
        container: ClientContainer,
        *,
        applications: Applications,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._container = container
        self._make_target = by_scheme(container.targets, applications)
        self._start = start
        self._on_change = on_change
        self._instance_id: Final = InstanceId(secrets.token_bytes(_INSTANCE_ID_BYTES))

    def make(self, settings: ClientSettings, before: ClientLine | None = None) -> ClientLine:
        """A line that is yet to be run.

        Args:
            settings: With a token and a ``client_id``.
            before: The line it is to replace: where both claim the same, a host that the server chose is kept.

        Raises:
            ConfigurationError: No transport serves a server's scheme, or a file that TLS needs is missing or wrong.
        """
        assert settings.token is not None
        assert settings.client_id is not None
        container = self._container
        line = ClientLine(settings, self._on_change)
        line.claim = _asked(settings, before)
        line.configuration = ClientConfiguration(
            settings.policy(),
            self._make_target,
            container.random(),
            container.ledger(),
            clock=container.clock(),
            kinds=container.middleware,
            start=self._start,
            on_rejected=line.changed,
        )
        line.dialer = Dialer(
            servers=settings.servers,
            transports=self.transports(settings),
            identity=Identity(
                ClientId(settings.client_id),
                GroupId(settings.group or ""),
                self._instance_id,
                settings.token,
                claim=line.claim,
            ),
            configuration=line.configuration,
            target=container.front()(line.configuration),
            limits=settings.limits,
            clock=container.clock(),
            signals=container.signals,
            random=container.random(),
            telemetry=container.ledger(),
            budget=container.budget(),
            on_ready=line.on_ready,
        )
        return line

    def transports(self, settings: ClientSettings) -> dict[str, Transport]:
        """What the servers are dialled with, by scheme, with the certificates that are in the files now.

        Raises:
            ConfigurationError: No transport serves a server's scheme, a file that TLS needs is missing or wrong, or a
                proxy that is to be used cannot be.
        """
        schemes = dict.fromkeys(url.partition(":")[0] for url in settings.servers)
        return {scheme: self._transport(scheme, settings) for scheme in schemes}

    def _transport(self, scheme: str, settings: ClientSettings) -> Transport:
        known = self._container.transports.providers
        if scheme not in known:
            schemes = ", ".join(sorted(known))
            raise ConfigurationError(f'no transport is known for "{scheme}://", only for {schemes}', key_path="servers")
        given = (settings.tls,) if scheme in _TLS_SCHEMES else ()
        proxies = {} if scheme not in PROXIED_SCHEMES else _proxies(scheme, settings)
        # A maker of others that goes through none need not know of proxies.
        named = {"proxies": proxies} if proxies else {}
        transport: Transport = self._container.transports(scheme, *given, **named)
        return transport


def _asked(settings: ClientSettings, before: ClientLine | None) -> AskedClaim | None:
    if settings.claim is None:
        return None
    asked = settings.claim.claim()
    earlier = None if before is None else before.claim
    return AskedClaim(asked, earlier.grant if earlier is not None and earlier.asked == asked else None)


def _proxies(scheme: str, settings: ClientSettings) -> dict[str, Proxy]:
    """Through which proxies servers are reached, by their URLs; those reached directly are left out."""
    found: dict[str, Proxy] = {}
    for url in settings.servers:
        server = parse_server_url(url, "servers")
        if server.scheme == scheme:
            proxy = proxy_towards(scheme, server.host, server.port, setting=settings.proxy, environment=os.environ)
            if proxy is not None:
                found[url] = proxy
    return found
