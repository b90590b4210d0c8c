"""A server's rules of both hops, to be asked about: in which order they count, and where a request goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from tunnel.domain.configuration import ServerSettings, UpstreamSettings
from tunnel.domain.configuration.mistakes import key_path
from tunnel.domain.configuration.target_protocols import answered
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.explain import Explanation, NearMiss, explain
from tunnel.domain.rules.precedence import rank
from tunnel.domain.rules.rule import Rule
from tunnel.ports.inspection import Explained, NearMissView

__all__ = ["Hop", "Route", "RuleBook", "arrived", "explained", "given", "reason"]


class Hop(msgspec.Struct, frozen=True):
    """What one set of rules makes of a request.

    Args:
        name: ``group`` or ``upstream``: what its rules choose.
        place: Key path of the rules.
        explanation: Of the rules' choice.
    """

    name: str
    place: str
    explanation: Explanation


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes: None for what it does not reach, and then ``reason`` says why."""

    hops: tuple[Hop, ...] = ()
    group: str | None = None
    upstream: str | None = None
    targets: tuple[str, ...] = ()
    reason: str | None = None


class RuleBook:
    """Answers questions about rules, which are compiled and sorted when they are first asked about.

    Takes time linear in the number of rules. May be asked by several threads.

    Args:
        settings: Whose rules these are.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._engines: dict[str | None, RulesEngine] = {}
        self._orders: dict[str | None, tuple[int, ...]] = {}

    def order(self, group: str | None) -> tuple[int, ...]:
        """Places of the rules in the file, those first that are considered first.

        Args:
            group: Whose rules; None: the server's own.
        """
        order = self._orders.get(group)
        if order is None:
            rules = self.rules(group)
            order = self._orders[group] = tuple(sorted(range(len(rules)), key=lambda place: rank(rules[place], place)))
        return order

    def rules(self, group: str | None) -> tuple[Rule, ...]:
        """The rules of a group; with None the server's own."""
        return self.settings.rules if group is None else self.settings.groups[group].rules

    def route(self, head: HttpRequest, group: str | None = None) -> Route:
        """Where the request goes that ``head`` opens.

        Args:
            head: The opening.
            group: Where to start, as if the server had chosen it; None: with the server's rules.
        """
        calls = self.settings.ingress.grpc
        if head.protocol == "grpc" and not head.host and calls is not None and calls.host is not None:
            head = msgspec.structs.replace(head, host=calls.host.encode())
        hops: list[Hop] = []
        try:
            if group is None:
                hops.append(Hop("group", "rules", explain(self._engine(None), head)))
                rule = hops[-1].explanation.rule
                if rule is None or rule.group is None:
                    return Route(hops=tuple(hops), reason="no rule of the server matches")
                group = rule.group
            hops.append(Hop("upstream", key_path("groups", group, "rules"), explain(self._engine(group), head)))
        except SessionError as error:
            return Route(hops=tuple(hops), group=group, reason=f"{error.code.value}: {error.message}")
        rule = hops[-1].explanation.rule
        if rule is None or rule.upstream is None:
            return Route(hops=tuple(hops), group=group, reason=f"no rule of the group {group} matches")
        upstream = self.settings.groups[group].upstreams[rule.upstream]
        return arrived(head, upstream, hops=tuple(hops), group=group, name=rule.upstream)

    def _engine(self, group: str | None) -> RulesEngine:
        engine = self._engines.get(group)
        if engine is None:
            engine = self._engines[group] = RulesEngine(self.rules(group))
        return engine


def arrived(head: HttpRequest, upstream: UpstreamSettings, *, hops: tuple[Hop, ...], group: str, name: str) -> Route:
    """The route of a request whose rules lead to an upstream, if that answers its protocol.

    Args:
        head: The opening.
        upstream: Where it arrives.
        hops: How.
        group: Of which group.
        name: Of the upstream.
    """
    if head.protocol in upstream.protocols:
        return Route(hops=hops, group=group, upstream=name, targets=upstream.targets)
    return Route(hops=hops, group=group, reason=f"the upstream {name} answers {answered(upstream.protocols)} only")


def given(rule: Rule) -> dict[str, object]:
    """A rule as it is written, what is not given left out."""
    table: dict[str, object] = msgspec.to_builtins(rule)
    return {key: value for key, value in table.items() if value is not None}


def explained(route: Route, table: Callable[[Rule], Mapping[str, object]] = given) -> Explained:
    """A route for those who read JSON.

    Args:
        route: The route.
        table: How rules are shown.
    """
    rules = {hop.name: _chosen(hop, table) for hop in route.hops}
    return Explained(
        group=route.group,
        upstream=route.upstream,
        targets=route.targets,
        rule=next(iter(rules.values()), None),
        upstream_rule=rules.get("upstream"),
        near_misses=tuple(
            NearMissView(f"{hop.place}[{miss.order}]", miss.failed, reason(miss, hop))
            for hop in route.hops
            for miss in hop.explanation.near_misses
        ),
        reason=route.reason,
    )


def reason(miss: NearMiss, hop: Hop) -> str:
    """Why a rule was not chosen."""
    if miss.outranked_at is not None:
        return f"outranked by {hop.place}[{hop.explanation.order}] ({miss.outranked_at})"
    return ", ".join(miss.failed)


def _chosen(hop: Hop, table: Callable[[Rule], Mapping[str, object]]) -> dict[str, object] | None:
    rule, order = hop.explanation.rule, hop.explanation.order
    return None if rule is None else {"key": f"{hop.place}[{order}]", **table(rule)}
