"""Valid settings of servers and clients. Nothing they name is opened, dialled or read by making them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from hypothesis import strategies as st

from tunnel.domain.balancing import KEYED_STRATEGIES, STRATEGIES, UNWEIGHTED_STRATEGIES
from tunnel.domain.configuration import (
    AuthSettings,
    ClientSettings,
    EjectionSettings,
    GroupSettings,
    GrpcTransportSettings,
    HttpIngressSettings,
    IngressSettings,
    LimitsSettings,
    MemoryTransportSettings,
    Secret,
    ServerSettings,
    TcpIngressSettings,
    TokenSettings,
    TransportsSettings,
    UpstreamSettings,
    WebSocketTransportSettings,
)
from tunnel.domain.limits import KIB, MIB
from tunnel.domain.rules.rule import Rule
from tunnel.testing.strategies.rules import group_rules, rules

__all__ = ["client_settings", "group_settings", "limits_settings", "server_settings", "upstream_settings"]

_NAMES: Final = ("web", "api", "jobs")
_LISTEN: Final = ("127.0.0.1:0", "[::1]:0", "localhost:0")
_HTTP_TARGETS: Final = ("http://127.0.0.1:3000", "http://app.test", "https://[::1]:8443", "unix:/run/app.sock")
_GRPC_TARGETS: Final = ("grpc://127.0.0.1:50051", "grpcs://app.test:50051")
_TCP_TARGETS: Final = ("tcp://127.0.0.1:22", "tcp://[::1]:5432")
_SERVERS: Final = ("grpc://127.0.0.1:7000", "ws://127.0.0.1:7001", "wss://edge.test/tunnel", "memory://edge")
_ALLOWED: Final = ("127.0.0.0/8", "[::1]:80", "*.internal.test:443", "unix:/run/app.sock")
_HASHED_ON: Final = ("address", "header:x-env", "cookie:session")


def _tenths(least: float, most: float) -> st.SearchStrategy[float]:
    return st.integers(round(least * 10), round(most * 10)).map(lambda tenths: tenths / 10)


def limits_settings() -> st.SearchStrategy[LimitsSettings]:
    """``[limits]`` within their ranges."""

    def made(window: int, larger: int, **others: object) -> LimitsSettings:
        return msgspec.convert(
            {"session_window_bytes": window, "session_window_max_bytes": max(window, larger), **others},
            LimitsSettings,
        )

    windows = st.integers(8 * KIB, 16 * MIB)
    return st.builds(
        made,
        windows,
        windows,
        tunnel_receive_bytes=st.integers(16 * MIB, 1024 * MIB),
        replay_window_bytes=st.integers(256 * KIB, 256 * MIB),
        max_sessions=st.integers(1, 1_000_000),
        max_links=st.integers(1, 1_000),
        heartbeat_s=_tenths(0.1, 300),
        resume_s=_tenths(0, 3600),
        drain_s=_tenths(0, 3600),
    )


@st.composite
def upstream_settings(draw: st.DrawFn) -> UpstreamSettings:
    """``[groups.NAME.upstreams.NAME]``, of targets of HTTP, of gRPC or of TCP."""
    carries_tcp = draw(st.booleans())
    offered = _TCP_TARGETS if carries_tcp else draw(st.sampled_from([_HTTP_TARGETS, _GRPC_TARGETS]))
    targets = tuple(draw(st.lists(st.sampled_from(offered), min_size=1, unique=True)))
    balance, weights, hash_on = draw(_balances(targets))
    return UpstreamSettings(
        targets=targets,
        balance=balance,
        weights=weights,
        hash_on="address" if carries_tcp else hash_on,
        ejection=draw(_ejections()),
        connect_timeout_s=draw(_tenths(0.1, 60)),
        max_connections=draw(st.integers(1, 10_000)),
    )


@st.composite
def group_settings(draw: st.DrawFn) -> GroupSettings:
    """``[groups.NAME]``, with rules where it has an upstream that rules can lead to."""
    upstreams = draw(st.dictionaries(st.sampled_from(_NAMES), upstream_settings(), max_size=2))
    routed = sorted(name for name, upstream in upstreams.items() if not upstream.tcp)
    balance, weights, hash_on = draw(_balances(("laptop-1", "laptop-2")))
    return GroupSettings(
        balance=balance,
        weights=weights,
        hash_on=hash_on,
        ejection=draw(_ejections()),
        wait_for_client_s=draw(_tenths(0, 60)),
        max_waiting=draw(st.integers(0, 10_000)),
        rules=draw(group_rules(routed)) if routed else (),
        upstreams=upstreams,
    )


@st.composite
def server_settings(draw: st.DrawFn) -> ServerSettings:
    """Everything a server is told: it listens on loopback addresses with port 0, without TLS."""
    groups = draw(st.dictionaries(st.sampled_from(_NAMES), group_settings(), max_size=2))
    return ServerSettings(
        transports=draw(_transports()),
        ingress=IngressSettings(http=draw(_http_ingresses()), tcp=_tcp_ingresses(groups)),
        auth=AuthSettings(tokens=draw(_tokens(sorted(groups)))),
        rules=draw(_server_rules(sorted(groups))),
        groups=groups,
        limits=draw(limits_settings()),
    )


@st.composite
def client_settings(draw: st.DrawFn) -> ClientSettings:
    """Everything a client of a group is told, its token included."""
    return ClientSettings(
        servers=tuple(draw(st.lists(st.sampled_from(_SERVERS), min_size=1, unique=True))),
        group=draw(st.sampled_from(_NAMES)),
        client_id=draw(st.none() | st.sampled_from(["laptop-1", "laptop-2"])),
        token=Secret(draw(st.text("abc123", min_size=1, max_size=8))),
        allow_targets=tuple(draw(st.lists(st.sampled_from(_ALLOWED), unique=True))),
        upstreams=draw(st.dictionaries(st.sampled_from(_NAMES), upstream_settings(), max_size=2)),
        limits=draw(limits_settings()),
    )


@st.composite
def _balances(draw: st.DrawFn, weighted: Sequence[str]) -> tuple[str, dict[str, int], str]:
    balance = draw(st.sampled_from(sorted(STRATEGIES)))
    weights: dict[str, int] = {}
    if balance not in UNWEIGHTED_STRATEGIES:
        weights = draw(st.dictionaries(st.sampled_from(weighted), st.integers(0, 10), max_size=2))
    hash_on = draw(st.sampled_from(_HASHED_ON)) if balance in KEYED_STRATEGIES else "address"
    return balance, weights, hash_on


def _ejections() -> st.SearchStrategy[EjectionSettings]:
    return st.builds(
        lambda after_failures, base_s, longer_s: EjectionSettings(
            after_failures=after_failures, base_s=base_s, max_s=base_s + longer_s
        ),
        st.integers(0, 10),
        _tenths(0.1, 60),
        _tenths(0, 300),
    )


def _transports() -> st.SearchStrategy[TransportsSettings]:
    listen = st.sampled_from(_LISTEN)
    return st.builds(
        TransportsSettings,
        grpc=st.none() | st.builds(GrpcTransportSettings, listen=listen),
        websocket=st.none() | st.builds(WebSocketTransportSettings, listen=listen),
        memory=st.just(MemoryTransportSettings(name="edge")),
    )


def _http_ingresses() -> st.SearchStrategy[HttpIngressSettings | None]:
    return st.none() | st.builds(HttpIngressSettings, listen=st.sampled_from(_LISTEN))


def _tcp_ingresses(groups: dict[str, GroupSettings]) -> tuple[TcpIngressSettings, ...]:
    return tuple(
        TcpIngressSettings(listen="127.0.0.1:0", group=group, upstream=upstream, name=f"{group}-{upstream}")
        for group, settings in groups.items()
        for upstream, made in settings.upstreams.items()
        if made.tcp
    )


@st.composite
def _tokens(draw: st.DrawFn, groups: Sequence[str]) -> dict[str, TokenSettings]:
    names = draw(st.lists(st.sampled_from(["laptop", "phone"]), unique=True))
    joined = st.lists(st.sampled_from(groups), unique=True).map(tuple) if groups else st.just(())
    return {
        name: TokenSettings(
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            groups=draw(joined),
            hosts=draw(st.sampled_from([(), ("*.laptop.test",), ("app.test",)])),
        )
        for name in names
    }


def _server_rules(groups: Sequence[str]) -> st.SearchStrategy[tuple[Rule, ...]]:
    if not groups:
        return st.just(())
    rule = st.sampled_from(groups).flatmap(lambda group: rules(group=group))
    # TCP listeners ask no rule.
    rule = rule.filter(lambda made: made.protocol != "tcp")
    return st.lists(rule, max_size=6).map(tuple)
