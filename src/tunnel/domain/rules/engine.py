"""Rules compiled for lookup: which one a request falls under, by the precedence of the Gateway API.

A host with rules of its own, none of which matches the rest of the request, still falls back to the wildcards above it,
and to the rules without a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.hosts import normal_host
from tunnel.domain.rules.path_table import OrderedRule, PathTable, compile_paths
from tunnel.domain.rules.paths import ASTERISK, normal_path
from tunnel.domain.rules.rule import Rule
from tunnel.domain.rules.validation import validate_rule

__all__ = ["RulesEngine"]

_PERCENT: Final = ord("%")
_DOT: Final = ord(".")


class RulesEngine:
    """Finds the rule for a request. Immutable: a reload builds another and swaps the reference.

    Args:
        rules: In the order of the file.

    Raises:
        ConfigurationError: A rule is not valid; the key path starts with ``rules[N]``.
    """

    __slots__ = ("_rules", "_table", "_tcp_table")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        for order, rule in enumerate(self._rules):
            validate_rule(rule, f"rules[{order}]")
        ordered = list(enumerate(self._rules))
        self._table = _HostTable(each for each in ordered if each[1].protocol != "tcp")
        self._tcp_table = _HostTable(each for each in ordered if each[1].protocol == "tcp")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules this was compiled from, in their order."""
        return self._rules

    def match(self, head: HttpRequest) -> Rule | None:
        """The rule ``head`` falls under; None when no rule matches.

        Of a gRPC call ``head`` has the protocol ``grpc``, the path ``/service/method``, and its metadata as headers.

        Raises:
            SessionError: ``BAD_REQUEST``; host or path are malformed, the path holds dot segments, or it is ``*`` and
                the method is not OPTIONS.
        """
        path = head.path
        if path[:1] != b"/" or _PERCENT in path or _DOT in path:
            if path == ASTERISK and head.method != "OPTIONS":
                raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: * is for OPTIONS only")
            path = normal_path(path)
        table = self._tcp_table if head.protocol == "tcp" else self._table
        return table.match(path, head)


class _HostTable:
    __slots__ = ("_anywhere", "_depth", "_exact", "_wildcards")

    def __init__(self, rules: Iterable[OrderedRule]) -> None:
        by_host: dict[bytes, list[OrderedRule]] = {}
        by_wildcard: dict[bytes, list[OrderedRule]] = {}
        anywhere: list[OrderedRule] = []
        for ordered in rules:
            host = ordered[1].host
            if host is None:
                anywhere.append(ordered)
            elif host.startswith("*."):
                by_wildcard.setdefault(b"." + normal_host(host[2:].encode()), []).append(ordered)
            else:
                by_host.setdefault(normal_host(host.encode()), []).append(ordered)
        self._exact: dict[bytes, PathTable] = {host: compile_paths(those) for host, those in by_host.items()}
        # Wildcards are keyed by what follows their asterisk.
        self._wildcards: dict[bytes, PathTable] = {end: compile_paths(those) for end, those in by_wildcard.items()}
        self._depth = max((end.count(b".") for end in by_wildcard), default=0)
        self._anywhere = compile_paths(anywhere) if anywhere else None

    def match(self, path: bytes, head: HttpRequest) -> Rule | None:
        # 1. Nearly every request names its host in normal form, and is done with one lookup when that host has rules.
        # 2. Else find out the normal form, which also refuses what is no host.
        # 3. From the longest end of the host that a wildcard could have to the shortest.
        # 4. What is asked of every host.
        received = head.host
        table = self._exact.get(received)
        if table is not None:
            rule = table.match(path, head)
            if rule is not None:
                return rule
        host = normal_host(received)
        if host != received:
            table = self._exact.get(host)
            if table is not None:
                rule = table.match(path, head)
                if rule is not None:
                    return rule
        wildcards = self._wildcards
        if wildcards:
            dot = len(host.rsplit(b".", self._depth)[0])
            while dot >= 0:
                table = wildcards.get(host[dot:])
                if table is not None:
                    rule = table.match(path, head)
                    if rule is not None:
                        return rule
                dot = host.find(b".", dot + 1)
        return self._anywhere.match(path, head) if self._anywhere is not None else None
