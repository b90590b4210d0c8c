"""The ``[groups.NAME]`` tables: clients that serve the same things, and what they serve."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tunnel.domain.balancing import STRATEGIES, STRATEGY_NAMES
from tunnel.domain.configuration.mistakes import check_name, key_path, mistake, not_built, shown, unknown_name
from tunnel.domain.configuration.target_url import parse_target
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule, validate_rule

__all__ = ["GroupSettings", "UpstreamSettings", "check_group", "check_routes", "check_server_rule"]

DEFAULT_BALANCE: Final = "power_of_two"

_PLANNED_PROTOCOLS: Final = frozenset({"grpc", "websocket", "tcp"})
_HOST_HEADER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253})(:[0-9]{1,5})?")

_Seconds = Annotated[float, Meta(ge=0, le=3600)]
_Timeout = Annotated[float, Meta(gt=0, le=3600)]


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[groups.NAME.upstreams.NAME]``: what finally answers.

    Args:
        targets: Equal targets, at least one: ``http://HOST[:PORT]``, ``https://HOST[:PORT]``, ``unix:/PATH``.
        balance: Strategy that chooses among them.
        connect_timeout_s: For connecting to a target.
        first_byte_timeout_s: From the request's end to the response's start; None: no limit.
        keepalive_s: How long an idle connection is kept. Below the 5 s after which common servers close theirs.
        host_header: Host the target sees: None the visitor's, ``"target"`` its own, else this literal.
    """

    targets: tuple[str, ...]
    balance: str = DEFAULT_BALANCE
    connect_timeout_s: _Timeout = 5.0
    first_byte_timeout_s: _Timeout | None = None
    keepalive_s: _Seconds = 4.0
    host_header: str | None = None


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[groups.NAME]``.

    Args:
        balance: Strategy that chooses among the group's clients.
        wait_for_client_s: How long a request waits while no client of the group can be selected; 0: not at all.
        max_waiting: Requests that wait at the same time; further ones fail at once.
        rules: Which upstream serves a request; shipped to the clients.
        upstreams: By name.
    """

    balance: str = DEFAULT_BALANCE
    wait_for_client_s: _Seconds = 0.0
    max_waiting: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    rules: tuple[Rule, ...] = ()
    upstreams: Mapping[str, UpstreamSettings] = {}


def check_group(name: str, group: GroupSettings) -> None:
    """Refuse what the types of a group's table let pass.

    Raises:
        ConfigurationError: Naming the key.
    """
    path = key_path("groups", name)
    check_name(name, path, what="a name")
    _check_balance(group.balance, f"{path}.balance")
    check_routes(group.rules, group.upstreams, path)


def check_routes(rules: tuple[Rule, ...], upstreams: Mapping[str, UpstreamSettings], path: str) -> None:
    """Refuse malformed upstreams, and rules that are malformed or lead to none of them.

    Args:
        rules: Rules that name an upstream.
        upstreams: By name.
        path: Key path of the table that holds both; empty for the whole file.

    Raises:
        ConfigurationError: Naming the key.
    """
    prefix = f"{path}." if path else ""
    for name, upstream in upstreams.items():
        where = prefix + key_path("upstreams", name)
        check_name(name, where, what="a name")
        _check_upstream(upstream, where)
    for index, rule in enumerate(rules):
        _check_upstream_rule(rule, upstreams, f"{prefix}rules[{index}]")


def check_server_rule(rule: Rule, groups: Collection[str], path: str) -> None:
    """Refuse a rule of the server that is malformed or leads to no group.

    Raises:
        ConfigurationError: Naming the key.
    """
    _check_predicates(rule, path)
    if rule.upstream is not None:
        raise mistake(f"{path}.upstream", 'a "group"; the rules of that group choose the upstream', got=rule.upstream)
    if rule.group is None:
        raise ConfigurationError('missing the required key "group"', key_path=path)
    if rule.group not in groups:
        raise unknown_name(rule.group, groups, f"{path}.group", kind="group", add="[groups.NAME]")


def _check_upstream_rule(rule: Rule, upstreams: Collection[str], path: str) -> None:
    _check_predicates(rule, path)
    if rule.group is not None:
        raise mistake(f"{path}.group", 'an "upstream"; this rule is already inside a group', got=rule.group)
    if rule.upstream is None:
        raise ConfigurationError('missing the required key "upstream"', key_path=path)
    if rule.upstream not in upstreams:
        where = f"{path}.upstream"
        raise unknown_name(rule.upstream, upstreams, where, kind="upstream", add="[groups.NAME.upstreams.NAME]")


def _check_predicates(rule: Rule, path: str) -> None:
    if rule.protocol in _PLANNED_PROTOCOLS:
        raise not_built(f"{path}.protocol", f'the protocol "{rule.protocol}"')
    validate_rule(rule, path)


def _check_upstream(upstream: UpstreamSettings, path: str) -> None:
    if not upstream.targets:
        raise mistake(f"{path}.targets", 'at least one target such as "http://127.0.0.1:3000"', got=upstream.targets)
    for index, target in enumerate(upstream.targets):
        parse_target(target, f"{path}.targets[{index}]")
    _check_balance(upstream.balance, f"{path}.balance")
    header = upstream.host_header
    if header is not None and not _HOST_HEADER.fullmatch(header):
        raise mistake(f"{path}.host_header", '"target" or a host such as "app.example.test"', got=header)


def _check_balance(balance: str, path: str) -> None:
    if balance in STRATEGIES:
        return
    if balance in STRATEGY_NAMES:
        raise not_built(path, f"the strategy {shown(balance)}")
    raise unknown_name(balance, STRATEGIES, path, kind="strategy")
