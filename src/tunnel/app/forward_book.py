"""A server's forward rules, to be asked about: in which order they count for a group, and where a session goes."""

from __future__ import annotations

import msgspec

from tunnel.app.rule_book import Hop, Route, arrived
from tunnel.domain.configuration import ForwardRule, ForwardSettings
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.explain import Explanation, explain
from tunnel.domain.rules.precedence import rank

__all__ = ["FORWARD_RULES", "ForwardBook"]

FORWARD_RULES = "forward.rules"
"""Key path of the rules."""


class ForwardBook:
    """Answers questions about what the clients of one group may reach. Takes time linear in the number of rules.

    Args:
        forward: Whose rules these are.
        group: Whose clients.
    """

    def __init__(self, forward: ForwardSettings, group: str) -> None:
        self._forward = forward
        self._group = group
        self._places = [place for place, rule in enumerate(forward.rules) if group in rule.groups]

    def order(self) -> tuple[int, ...]:
        """Places in the file of the rules that name the group, those first that are considered first."""
        return tuple(sorted(self._places, key=lambda place: rank(self._forward.rules[place], place)))

    def rule(self, place: int) -> ForwardRule:
        """The rule at a place in the file."""
        return self._forward.rules[place]

    def route(self, head: HttpRequest) -> Route:
        """Where the session goes that a client of the group opens with ``head``."""
        try:
            explanation = explain(RulesEngine([self.rule(place) for place in self._places]), head)
        except SessionError as error:
            return Route(group=self._group, reason=f"{error.code.value}: {error.message}")
        hop = Hop("upstream", FORWARD_RULES, self._placed(explanation))
        rule = explanation.rule
        if rule is None or rule.upstream is None:
            why = "no forward rule names the group" if not self._places else "no forward rule matches for the group"
            return Route(hops=(hop,), group=self._group, reason=f"{why} {self._group}")
        upstream = self._forward.upstreams[rule.upstream]
        return arrived(head, upstream, hops=(hop,), group=self._group, name=rule.upstream)

    def _placed(self, explanation: Explanation) -> Explanation:
        """``explanation`` with places in the file, instead of places among the group's rules."""
        places = self._places
        return msgspec.structs.replace(
            explanation,
            order=None if explanation.order is None else places[explanation.order],
            near_misses=tuple(
                msgspec.structs.replace(miss, order=places[miss.order]) for miss in explanation.near_misses
            ),
        )
