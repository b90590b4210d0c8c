"""The ``[forward]`` table: what a server serves of the sessions that its clients open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from tunnel.domain.configuration.groups import UpstreamSettings, check_upstreams
from tunnel.domain.configuration.mistakes import key_path, mistake, unknown_name
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.domain.rules.rule import Rule
from tunnel.domain.rules.validation import check_rule

__all__ = ["ForwardRule", "ForwardSettings", "check_forward"]

_NO_PREDICATE: Final = frozenset({"protocol", "upstream", "groups"})
"""Keys of a rule for TCP, of which nothing is known but the upstream that the client's entry names."""


class ForwardRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """``[[forward.rules]]``: says which sessions of clients go to an upstream of the server.

    Args:
        groups: Whose clients it serves; none: nobody's.
    """

    groups: tuple[str, ...] = ()


class ForwardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[forward]``.

    Args:
        rules: Which upstream serves a session. One of ``protocol = "tcp"`` has nothing beside it but ``upstream`` and
            ``groups``: it permits those groups' entries to name that upstream.
        upstreams: By name. Applications among their targets run in the server's process.
    """

    rules: tuple[ForwardRule, ...] = ()
    upstreams: Mapping[str, UpstreamSettings] = {}


def check_forward(forward: ForwardSettings, groups: Collection[str], found: Findings) -> None:
    """Refuse malformed upstreams, and rules that are malformed, lead to none of these or serve no group there is."""
    with found:
        check_upstreams(forward.upstreams, "forward", found)
    for index, rule in enumerate(forward.rules):
        with found:
            _check_rule(rule, forward.upstreams, groups, f"forward.rules[{index}]", found)


def _check_rule(
    rule: ForwardRule,
    upstreams: Mapping[str, UpstreamSettings],
    groups: Collection[str],
    path: str,
    found: Findings,
) -> None:
    check_rule(rule, path, found)
    with found:
        _check_upstream(rule, upstreams, path, found)
    for place, name in enumerate(rule.groups):
        with found:
            if name not in groups:
                raise unknown_name(name, groups, f"{path}.groups[{place}]", kind="group", add="[groups.NAME]")


def _check_upstream(rule: ForwardRule, upstreams: Mapping[str, UpstreamSettings], path: str, found: Findings) -> None:
    with found:
        if rule.group is not None:
            expected = 'an "upstream"; "groups" names those whose clients may use the rule'
            raise mistake(f"{path}.group", expected, got=rule.group)
    if rule.upstream is None:
        if rule.group is None:
            raise ConfigurationError('missing the required key "upstream"', key_path=path)
        return
    upstream = upstreams.get(rule.upstream)
    if upstream is None:
        add = "[forward.upstreams.NAME]"
        raise unknown_name(rule.upstream, upstreams, f"{path}.upstream", kind="upstream", add=add)
    if not found.clean(f"{key_path('forward', 'upstreams', rule.upstream)}.targets"):
        return
    if rule.protocol == "tcp":
        if not upstream.tcp:
            expected = 'an upstream whose targets are "tcp://HOST:PORT", as "protocol" is "tcp"'
            raise mistake(f"{path}.upstream", expected, got=rule.upstream)
        for key in rule.__struct_fields__:
            with found:
                if key not in _NO_PREDICATE and getattr(rule, key) is not None and found.clean(f"{path}.{key}"):
                    text = 'nothing is known of TCP but the upstream that an entry names, and "protocol" is "tcp"'
                    raise ConfigurationError(text, key_path=f"{path}.{key}")
    elif upstream.tcp:
        raise mistake(f"{path}.protocol", '"tcp", as the targets of that upstream are "tcp://"')
