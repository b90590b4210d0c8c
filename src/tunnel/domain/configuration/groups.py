"""The ``[groups.NAME]`` tables: clients that serve the same things, and what they serve."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tunnel.domain.balancing import DEFAULT_STRATEGY
from tunnel.domain.claims.claim import CLAIM_PREFIX
from tunnel.domain.configuration.balance import DEFAULT_HASH_ON, Weight, check_balance
from tunnel.domain.configuration.ejection import EjectionSettings, check_ejection
from tunnel.domain.configuration.mistakes import check_name, key_path, mistake, unknown_name
from tunnel.domain.configuration.target_url import is_in_process, is_tcp, parse_target, protocols_of
from tunnel.domain.configuration.upstream_tls import UpstreamTlsSettings, check_upstream_tls
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.domain.limits import GIB, KIB
from tunnel.domain.rules.rule import Rule
from tunnel.domain.rules.validation import check_rule

__all__ = ["GroupSettings", "UpstreamSettings", "check_group", "check_routes", "check_server_rule", "check_upstreams"]

_GRPC: Final = ("grpc:", "grpcs:")
_HOST_HEADER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253})(:[0-9]{1,5})?")

_Seconds = Annotated[float, Meta(ge=0, le=3600)]
_Timeout = Annotated[float, Meta(gt=0, le=3600)]


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[groups.NAME.upstreams.NAME]``: what finally answers.

    Args:
        targets: Interchangeable, at least one: ``http://HOST[:PORT]``, ``https://HOST[:PORT]``, ``unix:/PATH``; or of
            gRPC: ``grpc://HOST:PORT``, ``grpcs://HOST:PORT``; or all of them ``tcp://HOST:PORT``. Applications in the
            client's process count among those of HTTP: ``asgi:MODULE:ATTRIBUTE``, ``wsgi:MODULE:ATTRIBUTE``, and
            ``app:NAME`` for an object that the client was given in code.
        balance: Strategy that chooses among them.
        weights: Of targets, by URL; 1 for those not named.
        hash_on: What decides which requests go to the same target, for ``consistent_hash``: ``address``,
            ``header:NAME`` or ``cookie:NAME``.
        ejection: When a target is left out for a while.
        connect_timeout_s: For connecting to a target.
        first_byte_timeout_s: From the request's end to the response's start; None: no limit.
        keepalive_s: How long an idle connection is kept. Below the 5 s after which common servers close theirs.
        max_connections: To each target, from one client; further requests wait. WebSockets are not counted.
        tls: What is required of targets that speak TLS.
        host_header: Host the target sees: None the visitor's, ``"target"`` its own, else this literal. A visitor's is
            not known of gRPC calls: None is the target's own.
        max_message_bytes: Largest message of a WebSocket that is taken from a target, None: 16 MiB; and of a gRPC
            call, in either direction, None: 64 MiB.
    """

    targets: tuple[str, ...]
    balance: str = DEFAULT_STRATEGY
    weights: Mapping[str, Weight] = {}
    hash_on: str = DEFAULT_HASH_ON
    ejection: EjectionSettings = EjectionSettings()
    connect_timeout_s: _Timeout = 5.0
    first_byte_timeout_s: _Timeout | None = None
    keepalive_s: _Seconds = 4.0
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    tls: UpstreamTlsSettings = UpstreamTlsSettings()
    host_header: str | None = None
    max_message_bytes: Annotated[int, Meta(ge=KIB, le=GIB)] | None = None

    @property
    def tcp(self) -> bool:
        """Whether it takes TCP connections, and nothing else."""
        return bool(self.targets) and is_tcp(self.targets[0])

    @property
    def protocols(self) -> frozenset[str]:
        """Protocols of the conversations that its targets answer."""
        return frozenset[str]().union(*map(protocols_of, self.targets))


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[groups.NAME]``.

    Args:
        balance: Strategy that chooses among the group's clients.
        weights: Of clients, by ``client_id``; 1 for those not named.
        hash_on: What decides which requests go to the same client; as in ``UpstreamSettings``.
        ejection: When a client is left out for a while.
        wait_for_client_s: How long a request waits while no client of the group can be selected; 0: not at all.
        max_waiting: Requests that wait at the same time; further ones fail at once.
        rules: Which upstream serves a request; shipped to the clients.
        upstreams: By name.
    """

    balance: str = DEFAULT_STRATEGY
    weights: Mapping[str, Weight] = {}
    hash_on: str = DEFAULT_HASH_ON
    ejection: EjectionSettings = EjectionSettings()
    wait_for_client_s: _Seconds = 0.0
    max_waiting: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    rules: tuple[Rule, ...] = ()
    upstreams: Mapping[str, UpstreamSettings] = {}


_CONNECTED_ONLY: Final = ("keepalive_s", "tls", "host_header")
_HTTP_ONLY: Final = ("first_byte_timeout_s", "tls", "host_header")
_NOTHING_SET: Final = UpstreamSettings(targets=())


def check_group(name: str, group: GroupSettings, found: Findings) -> None:
    """Refuse what the types of a group's table let pass."""
    path = key_path("groups", name)
    with found:
        check_name(name, path, what="a name")
        if name.startswith(CLAIM_PREFIX):
            raise mistake(path, f'a name that does not begin with "{CLAIM_PREFIX}", as those of claims do', got=name)
    with found:
        for client_id in group.weights:
            with found:
                check_name(client_id, f"{path}.{key_path('weights', client_id)}", what="a client_id")
    with found:
        check_balance(path, balance=group.balance, weights=group.weights, hash_on=group.hash_on, found=found)
    with found:
        check_ejection(group.ejection, f"{path}.ejection")
    with found:
        check_routes(group.rules, group.upstreams, path, found)
    for index, rule in enumerate(group.rules):
        with found:
            _check_is_asked(rule, f"{path}.rules[{index}]")


def check_routes(
    rules: tuple[Rule, ...], upstreams: Mapping[str, UpstreamSettings], path: str, found: Findings
) -> None:
    """Refuse malformed upstreams, and rules that are malformed or lead to none of them.

    Args:
        rules: Rules that name an upstream.
        upstreams: By name.
        path: Key path of the table that holds both; empty for the whole file.
        found: Takes the mistakes.
    """
    with found:
        check_upstreams(upstreams, path, found)
    prefix = f"{path}." if path else ""
    for index, rule in enumerate(rules):
        with found:
            _check_upstream_rule(rule, upstreams, prefix, f"{prefix}rules[{index}]", found)


def check_upstreams(upstreams: Mapping[str, UpstreamSettings], path: str, found: Findings) -> None:
    """Refuse malformed upstreams.

    Args:
        upstreams: By name.
        path: Key path of the table that holds them; empty for the whole file.
        found: Takes the mistakes.
    """
    prefix = f"{path}." if path else ""
    for name, upstream in upstreams.items():
        where = prefix + key_path("upstreams", name)
        with found:
            check_name(name, where, what="a name")
        with found:
            _check_upstream(upstream, where, found)


def check_server_rule(rule: Rule, groups: Collection[str], path: str, found: Findings) -> None:
    """Refuse a rule of the server that is malformed or leads to no group."""
    check_rule(rule, path, found)
    with found:
        _check_is_asked(rule, path)
    with found:
        if rule.upstream is not None:
            expected = 'a "group"; the rules of that group choose the upstream'
            raise mistake(f"{path}.upstream", expected, got=rule.upstream)
    if rule.group is None:
        # Which is not missing where the other was written in its place.
        if rule.upstream is None:
            raise ConfigurationError('missing the required key "group"', key_path=path)
        return
    if rule.group not in groups:
        raise unknown_name(rule.group, groups, f"{path}.group", kind="group", add="[groups.NAME]")


def _check_is_asked(rule: Rule, path: str) -> None:
    if rule.protocol == "tcp":
        expected = '"http", "grpc" or "websocket"; [[ingress.tcp]] names its group and upstream itself and asks no rule'
        raise mistake(f"{path}.protocol", expected, got=rule.protocol)


def _check_upstream_rule(
    rule: Rule, upstreams: Mapping[str, UpstreamSettings], prefix: str, path: str, found: Findings
) -> None:
    check_rule(rule, path, found)
    with found:
        if rule.group is not None:
            raise mistake(f"{path}.group", 'an "upstream"; this rule is already inside a group', got=rule.group)
    if rule.upstream is None:
        if rule.group is None:
            raise ConfigurationError('missing the required key "upstream"', key_path=path)
        return
    if rule.upstream not in upstreams:
        where = f"{path}.upstream"
        raise unknown_name(rule.upstream, upstreams, where, kind="upstream", add="[groups.NAME.upstreams.NAME]")
    if upstreams[rule.upstream].tcp and found.clean(f"{prefix}{key_path('upstreams', rule.upstream)}.targets"):
        expected = 'an upstream that speaks HTTP; those of "tcp://" are for [[ingress.tcp]], which name them'
        raise mistake(f"{path}.upstream", expected, got=rule.upstream)


def _check_upstream(upstream: UpstreamSettings, path: str, found: Findings) -> None:
    with found:
        _check_targets(upstream, f"{path}.targets", found)
    with found:
        for target in upstream.weights:
            with found:
                if target not in upstream.targets and found.clean(f"{path}.targets"):
                    where = f"{path}.{key_path('weights', target)}"
                    raise unknown_name(target, upstream.targets, where, kind="target")
    with found:
        check_balance(path, balance=upstream.balance, weights=upstream.weights, hash_on=upstream.hash_on, found=found)
    # Most upstreams say nothing of these.
    if upstream.ejection is not _NOTHING_SET.ejection:
        with found:
            check_ejection(upstream.ejection, f"{path}.ejection")
    if upstream.tls is not _NOTHING_SET.tls:
        with found:
            check_upstream_tls(upstream.tls, f"{path}.tls", found)
    header = upstream.host_header
    if header is not None:
        with found:
            if not _HOST_HEADER.fullmatch(header):
                raise mistake(f"{path}.host_header", '"target" or a host such as "app.example.test"', got=header)
    if not found.clean(f"{path}.targets"):
        return
    if upstream.tcp:
        _check_tcp_upstream(upstream, path, found)
    else:
        _check_kinds(upstream, path)
    if all(map(is_in_process, upstream.targets)):
        _check_in_process_upstream(upstream, path, found)


def _check_targets(upstream: UpstreamSettings, path: str, found: Findings) -> None:
    if not upstream.targets:
        raise mistake(path, 'at least one target such as "http://127.0.0.1:3000"', got=upstream.targets)
    for index, target in enumerate(upstream.targets):
        with found:
            parse_target(target, f"{path}[{index}]")
            if target in upstream.targets[:index]:
                raise mistake(f"{path}[{index}]", "a target not listed before; weights give it more", got=target)
            if found.clean(f"{path}[0]") and is_tcp(target) is not upstream.tcp:
                expected = 'either "tcp://" for all targets or for none; they have to be interchangeable'
                raise mistake(f"{path}[{index}]", expected, got=target)


def _check_in_process_upstream(upstream: UpstreamSettings, path: str, found: Findings) -> None:
    """Refuse what has no meaning where nothing is dialled."""
    for key in _CONNECTED_ONLY:
        with found:
            if found.clean(f"{path}.{key}") and getattr(upstream, key) != getattr(_NOTHING_SET, key):
                raise ConfigurationError(
                    "this is of connections, and the targets are applications in the process", key_path=f"{path}.{key}"
                )


def _check_tcp_upstream(upstream: UpstreamSettings, path: str, found: Findings) -> None:
    """Refuse what has no meaning for bytes that nobody looks at."""
    for key in _HTTP_ONLY:
        with found:
            if found.clean(f"{path}.{key}") and getattr(upstream, key) != getattr(_NOTHING_SET, key):
                raise ConfigurationError('this is of HTTP, and the targets are "tcp://"', key_path=f"{path}.{key}")
    with found:
        if found.clean(f"{path}.hash_on") and upstream.hash_on != DEFAULT_HASH_ON:
            expected = f'"{DEFAULT_HASH_ON}", all that is known of a TCP visitor'
            raise mistake(f"{path}.hash_on", expected, got=upstream.hash_on)
    if upstream.ejection.statuses and found.clean(f"{path}.ejection.statuses"):
        raise ConfigurationError(
            'TCP has no statuses, and the targets are "tcp://"', key_path=f"{path}.ejection.statuses"
        )


def _check_kinds(upstream: UpstreamSettings, path: str) -> None:
    """Refuse targets of which each could answer only part of the conversations, and what gRPC cannot do."""
    calls = [target.startswith(_GRPC) for target in upstream.targets]
    if any(calls) and not all(calls):
        index = calls.index(not calls[0])
        raise mistake(
            f"{path}.targets[{index}]", "targets of gRPC or of HTTP, not of both", got=upstream.targets[index]
        )
    if not upstream.tls.verify and any(target.startswith("grpcs:") for target in upstream.targets):
        raise mistake(f"{path}.tls.verify", "true for grpcs: targets; gRPC always verifies", got=False)
