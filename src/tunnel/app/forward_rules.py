"""Forward rules compiled for lookup: which upstream serves what a client of some group opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tunnel.domain.call_head import as_request
from tunnel.domain.configuration import ForwardRule
from tunnel.domain.envelopes import HttpRequest, Opening, TcpOpen
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule

__all__ = ["Forwarded", "ForwardRules"]


class Forwarded(NamedTuple):
    """What a rule makes of a session.

    Args:
        rule: ``forward.rules[N]``.
        upstream: Of ``[forward.upstreams]``.
    """

    rule: str
    upstream: str


class ForwardRules:
    """Finds the upstream for a session, among the rules that name its client's group. Immutable.

    Each group has rules compiled of its own, so that those of others cost it nothing.

    Args:
        rules: Checked, in the order of the file.

    Raises:
        ConfigurationError: A rule cannot be compiled.
    """

    def __init__(self, rules: Sequence[ForwardRule] = ()) -> None:
        # Rules are told apart by what they are and not by what they say: two may say the same.
        self._names = {id(rule): f"forward.rules[{order}]" for order, rule in enumerate(rules)}
        self.groups = frozenset(group for rule in rules for group in rule.groups)
        """That any rule names."""
        self._engines: dict[str, RulesEngine] = {}
        self._tcp: dict[tuple[str, str], ForwardRule] = {}
        by_group: dict[str, list[Rule]] = {}
        for rule in rules:
            for group in rule.groups:
                if rule.protocol != "tcp":
                    by_group.setdefault(group, []).append(rule)
                elif rule.upstream is not None:
                    self._tcp.setdefault((group, rule.upstream), rule)
        for group, those in by_group.items():
            self._engines[group] = RulesEngine(those)

    def match(self, head: Opening, group: str) -> Forwarded | None:
        """Where a session goes that a client of ``group`` opened with ``head``; None: nowhere.

        Raises:
            SessionError: The head is malformed, or opens nothing that rules could be about.
        """
        rule: Rule | None
        if type(head) is TcpOpen:
            rule = self._tcp.get((group, head.upstream))
        else:
            engine = self._engines.get(group)
            rule = None if engine is None else engine.match(head if type(head) is HttpRequest else as_request(head))
        if rule is None or rule.upstream is None:
            return None
        return Forwarded(self._names[id(rule)], rule.upstream)
