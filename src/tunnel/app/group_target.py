"""The server's hop: which group serves a conversation."""

from __future__ import annotations

from collections.abc import Mapping

from tunnel.app.accounted_target import AccountedTarget
from tunnel.app.attempt import Attempt
from tunnel.app.group import Group
from tunnel.app.guarded_group import GuardedGroup
from tunnel.app.ledger import Ledger
from tunnel.app.middlewares import Middlewares
from tunnel.domain.call_head import as_request
from tunnel.domain.envelopes import HttpRequest, Opening
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule
from tunnel.ports.clock import Clock

__all__ = ["GroupTarget"]


class GroupTarget(AccountedTarget):
    """Routes each conversation to the group that its rule names.

    Args:
        rules: Compiled; each names a group.
        groups: By name.
        ledger: Keeps account.
        middleware: What the rules send their conversations through.
        clock: Time.
    """

    def __init__(
        self,
        rules: RulesEngine,
        groups: Mapping[str, Group],
        ledger: Ledger,
        *,
        middleware: Middlewares | None = None,
        clock: Clock,
    ) -> None:
        super().__init__(ledger)
        self._rules = rules
        self._ways = {id(rule): _way(rule, groups, middleware, clock) for rule in rules.rules}
        # Rules are told apart by what they are and not by what they say: two may say the same.
        self._names = {id(rule): f"rules[{order}]" for order, rule in enumerate(rules.rules)}

    def find(self, head: Opening, attempt: Attempt) -> Group | GuardedGroup:
        rule = self._rules.match(head if type(head) is HttpRequest else as_request(head))
        if rule is None or rule.group is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        attempt.rule = self._names[id(rule)]
        return self._ways[id(rule)]

    # -- for those who choose between rules and something else

    def match(self, head: HttpRequest) -> Rule | None:
        """The rule that ``head`` falls under; None when no rule matches.

        Raises:
            SessionError: ``bad_request``; host or path are malformed.
        """
        return self._rules.match(head)

    def group_of(self, rule: Rule, attempt: Attempt) -> Group | GuardedGroup:
        """The group that a rule names which ``match`` has returned; notes the rule in ``attempt``."""
        attempt.rule = self._names[id(rule)]
        assert rule.group is not None, "rules of a server name a group"
        return self._ways[id(rule)]


def _way(rule: Rule, groups: Mapping[str, Group], middleware: Middlewares | None, clock: Clock) -> Group | GuardedGroup:
    assert rule.group is not None
    chain = None if middleware is None else middleware.chain(rule)
    group = groups[rule.group]
    return group if chain is None else GuardedGroup(group, chain, clock)
