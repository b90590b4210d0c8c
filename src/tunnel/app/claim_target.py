"""The server's hop where clients have claimed hosts: a claim, or the group that a rule names."""

from __future__ import annotations

from tunnel.app.accounted_target import AccountedTarget
from tunnel.app.attempt import Attempt
from tunnel.app.claims import Claims
from tunnel.app.group import Group
from tunnel.app.group_target import GroupTarget
from tunnel.app.guarded_group import GuardedGroup
from tunnel.app.ledger import Ledger
from tunnel.domain.call_head import as_request
from tunnel.domain.claims.claim import CLAIM_RULE
from tunnel.domain.envelopes import HttpRequest, Opening
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.precedence import precedes_prefix

__all__ = ["ClaimTarget"]


class ClaimTarget(AccountedTarget):
    """Routes each conversation to a claim or by a rule, whichever is closer; on equals by the rule.

    Takes the place of a ``GroupTarget`` while there are claims, so that without any they cost nothing.

    Args:
        rules: Routes by rules.
        claims: Routes by claims.
        ledger: Keeps account.
    """

    def __init__(self, rules: GroupTarget, claims: Claims, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._rules = rules
        self._claims = claims

    def find(self, head: Opening, attempt: Attempt) -> Group | GuardedGroup:
        request = head if type(head) is HttpRequest else as_request(head)
        # The rules are asked first: they also refuse what is malformed, whoever it is for.
        rule = self._rules.match(request)
        holding = self._claims.find(request)
        if holding is not None and (rule is None or not precedes_prefix(rule, holding.claim.path_prefix)):
            attempt.rule = CLAIM_RULE
            return holding.serving
        if rule is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        return self._rules.group_of(rule, attempt)
