"""Servers that grant claims, and clients that make them, for tests of the application layer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from support.app_kit import EDGE, OTHER_TOKEN, TOKEN, FakeUpstream, Recorder, World

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    AuthSettings,
    ClaimSettings,
    ClaimsSettings,
    ClientSettings,
    GroupSettings,
    LimitsSettings,
    MemoryTransportSettings,
    Secret,
    ServerSettings,
    TokenSettings,
    TransportsSettings,
    UpstreamSettings,
)
from tunnel.domain.envelopes import HttpResponse
from tunnel.domain.rules.rule import Rule
from tunnel.ports.target import Stream

__all__ = ["APP", "claiming", "granting", "says", "server_settings"]

APP = {"app": UpstreamSettings(targets=("http://127.0.0.1:3000",))}
LAPTOP = ("*.laptop.test", "app.test")
PHONE = ("*.phone.test", "*.laptop.test")


def server_settings(
    *,
    laptop: tuple[str, ...] = LAPTOP,
    phone: tuple[str, ...] = PHONE,
    rules: tuple[Rule, ...] = (),
    groups: Mapping[str, GroupSettings] | None = None,
    claims: ClaimsSettings | None = None,
    **limits: Any,
) -> ServerSettings:
    """A server at ``memory://edge`` with two credentials and what each may claim."""
    known = {} if groups is None else groups

    def token(text: str, hosts: tuple[str, ...]) -> TokenSettings:
        return TokenSettings(sha256=hashlib.sha256(text.encode()).hexdigest(), groups=tuple(known), hosts=hosts)

    return ServerSettings(
        transports=TransportsSettings(memory=MemoryTransportSettings(name="edge")),
        auth=AuthSettings(tokens={"laptop": token(TOKEN, laptop), "phone": token(OTHER_TOKEN, phone)}),
        rules=rules,
        groups=known,
        claims=ClaimsSettings() if claims is None else claims,
        limits=LimitsSettings(**limits),
    )


def granting(world: World, telemetry: Recorder | None = None, **settings: Any) -> Server:
    """A server by ``server_settings``."""
    return Server(server_settings(**settings), container=world.server_container(telemetry))


def claiming(
    world: World,
    host: str | None = None,
    path_prefix: str = "/",
    *,
    token: str = TOKEN,
    client_id: str | None = None,
    upstream: FakeUpstream | None = None,
    telemetry: Recorder | None = None,
    servers: tuple[str, ...] = (EDGE,),
    **limits: Any,
) -> Client:
    """A client that claims ``host``, served by ``upstream``."""
    settings = ClientSettings(
        claim=ClaimSettings(host=host, path_prefix=path_prefix),
        upstreams=APP,
        servers=servers,
        client_id=client_id,
        token=Secret(token),
        limits=LimitsSettings(**limits),
    )
    container = world.client_container(upstream or FakeUpstream(), telemetry=telemetry)
    return Client(settings, container=container)


def says(text: bytes) -> FakeUpstream:
    """An upstream that answers everything with ``text``."""

    async def handler(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), text, end=True))

    return FakeUpstream(handler)
