"""What the targets of an upstream answer, against what its rules lead to them.

A rule matches conversations of some protocols:

1. With ``protocol``, of that one; with ``service`` or ``method``, gRPC calls only.
2. Else any but TCP. To rules a call is a POST and the handshake of a WebSocket is a GET, so a rule with ``methods`` has
   only those of them that it names.

When the targets answer none of these, the rule leads nowhere: each conversation that falls under it fails with
``route_not_found``. When they answer some, it may be meant so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from tunnel.domain.configuration.groups import UpstreamSettings
from tunnel.domain.configuration.mistakes import key_path
from tunnel.domain.configuration.server import ServerSettings
from tunnel.domain.rules.rule import Rule

__all__ = ["answered", "dead_ends"]

_NAMES: Final = {"http": "HTTP", "websocket": "WebSocket", "grpc": "gRPC calls", "tcp": "TCP"}


def answered(protocols: Collection[str]) -> str:
    """Protocols as they are told to a visitor: ``HTTP and WebSocket``."""
    return " and ".join(name for protocol, name in _NAMES.items() if protocol in protocols)


def dead_ends(settings: ServerSettings) -> Iterator[tuple[str, str]]:
    """Key paths of rules that lead only to what answers other protocols, and what about them.

    A client may have an upstream of its own in the place of one that is shipped to it, so such a rule of a group is
    doubtful, and not wrong.
    """
    for index, rule in enumerate(settings.rules):
        assert rule.group is not None, "checked settings"
        group = settings.groups[rule.group]
        led_to = [upstream for each in group.rules for upstream in _of(each, group.upstreams)]
        if led_to:
            yield from _dead_end(f"rules[{index}]", rule, led_to, answer="the upstreams of its group answer")
    for name, group in settings.groups.items():
        for index, rule in enumerate(group.rules):
            yield from _dead_end(key_path("groups", name, "rules", index), rule, _of(rule, group.upstreams))
    for index, rule in enumerate(settings.forward.rules):
        yield from _dead_end(f"forward.rules[{index}]", rule, _of(rule, settings.forward.upstreams))


def _of(rule: Rule, upstreams: Mapping[str, UpstreamSettings]) -> tuple[UpstreamSettings, ...]:
    assert rule.upstream is not None, "checked settings"
    return (upstreams[rule.upstream],)


def _dead_end(
    path: str, rule: Rule, led_to: Iterable[UpstreamSettings], *, answer: str = "its upstream answers"
) -> Iterator[tuple[str, str]]:
    protocols = frozenset[str]().union(*(each.protocols for each in led_to))
    matched = _matched(rule)
    if not matched & protocols:
        yield path, f"it matches {answered(matched)} only, and {answer} {answered(protocols)} only"


def _matched(rule: Rule) -> frozenset[str]:
    if rule.protocol is not None:
        return frozenset({rule.protocol})
    if rule.service is not None or rule.method is not None:
        return frozenset({"grpc"})
    methods = rule.methods
    calls = {"grpc"} if methods is None or "POST" in methods else set[str]()
    handshakes = {"websocket"} if methods is None or "GET" in methods else set[str]()
    return frozenset({"http", *calls, *handshakes})
